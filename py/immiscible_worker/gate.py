"""The pairing gate: what reaches the network and the loss is what the images and noise received give, by SHA-256."""

from __future__ import annotations

import inspect
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from .codec import StagedBatch, tensor_sha256
from .errors import PairingError
from .objective import Objective

Call = dict[str, str]
"""SHA-256 (hex) of each tensor argument of one call of the network, under the name that its `forward` gives it."""


@dataclass(frozen=True)
class Expected:
    """Hashes of what must enter the network and the loss, made before the objective ran. target: None if unknown."""

    calls: list[Call]
    target: str | None


@contextmanager
def watch(network: torch.nn.Module) -> Generator[list[Call]]:
    """Records what enters the network, call by call, through a forward pre-hook that is gone afterwards."""
    seen: list[Call] = []
    signature = inspect.signature(type(network).forward)

    def record(module: torch.nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen.append(_hash(signature.bind(module, *positional, **named).arguments))

    handle = network.register_forward_pre_hook(record, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


def expect(objective: Objective, batch: StagedBatch, image_scale: float) -> Expected:
    """What must be seen for a batch as received, by the objective's own closed form."""
    # Not by pixels.py: a fault in it must not be repeated here.
    images = (batch.images.to(torch.float32) / 127.5 - 1.0) * image_scale
    noise = batch.noise.to(torch.float32)
    calls, target = objective.expect(images, noise, batch.uniforms, objective.scheduler)
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


def _hash(arguments: dict[str, Any]) -> Call:
    return {name: tensor_sha256(value) for name, value in arguments.items() if isinstance(value, torch.Tensor)}
