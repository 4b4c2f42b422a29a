"""How good samples are: metrics beside real images, on Inception's features or on a small classifier's."""

from __future__ import annotations

from .contract import InceptionFile, Judge, Measure, Quality
from .judge import open_judge

__all__ = ["InceptionFile", "Judge", "Measure", "Quality", "open_judge"]
