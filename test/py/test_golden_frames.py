"""The frames that the orchestrator sends, as committed in protocol/golden, are read here as they were meant."""

from pathlib import Path

import numpy as np
import pytest
from immiscible_worker import codec

GOLDEN = Path(__file__).parents[2] / "protocol" / "golden"


def read_frames(name: str) -> list[bytes]:
    """The container of test/fixture/golden-frames.ts: a little-endian u32 length and the bytes, for each frame."""
    data = (GOLDEN / f"{name}.frames").read_bytes()
    frames, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "little")
        frames.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return frames
