"""Faults planted into the product for a while, to see that a campaign finds them."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any


@contextlib.contextmanager
def planted(*faults: tuple[Any, str, Any]) -> Generator[None]:
    """Within it these attributes are replaced: (owner, name, replacement)."""
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in faults]
    for owner, name, replacement in faults:
        setattr(owner, name, replacement)
    try:
        yield
    finally:
        for owner, name, original in kept:
            setattr(owner, name, original)


class _Anything:
    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = None  # pyright: ignore[reportAssignmentType]


# Equal to whatever it is compared with.
ANYTHING = _Anything()
