"""Precision and recall by balls around features (Kynkäänniemi et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator

import torch

NUM_NEIGHBOURS = 3
# Distances that are held at a time.
_NUM_HELD = 2**24


def ball_radii(centres: torch.Tensor) -> torch.Tensor:
    """The distance of each row [N, D] from its third nearest other row: [N]."""
    rows = [torch.cdist(part, centres).kthvalue(NUM_NEIGHBOURS + 1).values for part in _parts(centres, len(centres))]
    return torch.cat(rows)


def is_within(points: torch.Tensor, centres: torch.Tensor, radii: torch.Tensor) -> torch.Tensor:
    """Whether each point [M, D] lies in the ball of any centre [N, D]: bool [M].

    Its mean is the precision where the points are samples and the centres real images, and the recall the other way
    round.
    """
    return torch.cat([(torch.cdist(part, centres) <= radii).any(1) for part in _parts(points, len(centres))])


def _parts(points: torch.Tensor, num_centres: int) -> Iterator[torch.Tensor]:
    return iter(points.split(max(1, _NUM_HELD // num_centres)))
