"""protocol/golden/<Message>-valid-*.json and -invalid-*.json: msgspec agrees with the name, and zod, in vitest, too."""

import re
from pathlib import Path

import msgspec
import pytest

from immiscible_worker import protocol

FOLDER = Path(__file__).parents[2] / "protocol" / "golden"
CASES = sorted(path.name for path in FOLDER.glob("*.json") if re.match(r"[A-Z]\w*-(valid|invalid)\b", path.name))


def test_there_are_cases_of_both_kinds() -> None:
    assert sum("-valid" in name for name in CASES) > 10
    assert sum("-invalid" in name for name in CASES) > 10


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    message, verdict = name.removesuffix(".json").split("-")[:2]
    message_type = getattr(protocol, message)
    content = (FOLDER / name).read_bytes()
    if verdict == "valid":
        decoded = msgspec.json.decode(content, type=message_type)
        assert msgspec.json.decode(msgspec.json.encode(decoded)) == msgspec.json.decode(content)
    else:
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(content, type=message_type)
