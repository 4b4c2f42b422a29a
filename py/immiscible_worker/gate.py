"""The pairing gate: what reaches the network and the loss is what the images and noise received give, by SHA-256."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from .codec import StagedBatch, tensor_sha256
from .errors import PairingError
from .objective import Inputs, Network, Objective
from .protocol import TrainConfig

Call = dict[str, str]
"""SHA-256 (hex) of each tensor argument of one call of the network, by the name that UNet2DModel gives it."""


@dataclass(frozen=True)
class Expected:
    """Hashes of what must enter the network and the loss, made before the objective ran. target: None if unknown."""

    calls: list[Call]
    target: str | None


def record(network: Network, seen: list[Call]) -> Network:
    """`network`, with what enters it noted in `seen`, call by call."""

    def recorded(sample: torch.Tensor, timestep: torch.Tensor, class_labels: torch.Tensor | None = None) -> Any:
        seen.append(_hash({"sample": sample, "timestep": timestep, "class_labels": class_labels}))
        return network(sample, timestep, class_labels)

    return recorded


def expect(objective: Objective, batch: StagedBatch, config: TrainConfig, num_classes: int) -> Expected | None:
    """What must be seen for a batch as received, by the objective's own closed form; None where it has none."""
    if objective.expect is None:
        return None
    # Not by pixels.py and uniforms.py: a fault in them must not be repeated here.
    if batch.images.is_floating_point():
        images = batch.images * config.dataset.image_scale
    else:
        images = (batch.images.to(torch.float32) / 127.5 - 1.0) * config.dataset.image_scale
    labels = None
    if config.conditioning.class_labels and batch.labels is not None:
        labels = batch.labels.to(torch.int64)
        labels[batch.uniforms[:, 1] < config.conditioning.label_dropout] = num_classes
    inputs = Inputs(images, batch.noise.to(torch.float32), batch.uniforms, labels, batch.step)
    calls, target = objective.expect(inputs)
    return Expected([_hash(call) for call in calls], None if target is None else tensor_sha256(target))


def verify(expected: Expected, seen: list[Call], target: torch.Tensor, step: int) -> None:
    """Raises PairingError unless the network and the loss got exactly what was expected."""
    complaints: list[str] = []
    if len(seen) != len(expected.calls):
        complaints.append(f"expected {len(expected.calls)} calls of the network, got {len(seen)}")
    for number, (wanted, got) in enumerate(zip(expected.calls, seen, strict=False), start=1):
        if wanted.keys() != got.keys():
            complaints.append(f"call {number} of the network: expected {sorted(wanted)}, got {sorted(got)}")
        wrong = [name for name in wanted if name in got and wanted[name] != got[name]]
        complaints += [f"call {number} of the network: {name} is not made of what was received" for name in wrong]
    if expected.target is not None and tensor_sha256(target) != expected.target:
        complaints.append("the target is not made of what was received")
    if complaints:
        reason = "images, noise and timesteps must arrive row by row, once, and as they were assigned"
        raise PairingError(f"[immiscible] [worker:gate] step {step}: {'; '.join(complaints)} ({reason})")


def _hash(arguments: Mapping[str, torch.Tensor | None]) -> Call:
    return {name: tensor_sha256(value) for name, value in arguments.items() if value is not None}
