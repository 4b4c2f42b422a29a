"""The pairing gate: the noise that reaches the loss is the noise that reaches the input is the noise received."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from .codec import tensor_sha256
from .errors import PairingError
from .objective.ddim import timesteps_of
from .pixels import to_model_scale

CHECK_EVERY_STEPS = 100


@dataclass
class Seen:
    """SHA-256 of what entered the network while it was watched, call by call."""

    inputs: list[str] = field(default_factory=list[str])
    timesteps: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class Expected:
    """SHA-256 of what must enter the network and the loss, computed before the objective ran."""

    input: str
    timesteps: str
    target: str


@contextmanager
def watch(network: torch.nn.Module) -> Generator[Seen]:
    """Records what enters the network, through a forward pre-hook that is gone afterwards."""
    seen = Seen()

    def record(_module: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
        seen.inputs.append(tensor_sha256(arguments[0]))
        seen.timesteps.append(tensor_sha256(arguments[1]))

    handle = network.register_forward_pre_hook(record)
    try:
        yield seen
    finally:
        handle.remove()


def expect(images: torch.Tensor, noise: torch.Tensor, uniforms: torch.Tensor, scheduler: DDIMScheduler) -> Expected:
    """What must be seen for a batch as received (images uint8, noise float16 or float32, uniforms float32).

    Computed from the closed form of the forward process (Ho et al. 2020, eq. 4), in the order of operations of
    diffusers' `add_noise` so that the bits agree, but without calling it: a fault in it must not be repeated here.
    """
    target = noise.to(torch.float32)
    timesteps = timesteps_of(uniforms, scheduler.config.num_train_timesteps)  # pyright: ignore[reportAttributeAccessIssue]
    alphas = scheduler.alphas_cumprod.to(device=images.device, dtype=torch.float32)[timesteps].view(-1, 1, 1, 1)
    noisy_images = alphas**0.5 * to_model_scale(images) + (1 - alphas) ** 0.5 * target
    return Expected(tensor_sha256(noisy_images), tensor_sha256(timesteps), tensor_sha256(target))


def verify(expected: Expected, seen: Seen, target: torch.Tensor, step: int) -> None:
    """Raises PairingError unless the network was called once, on exactly the expected input, timesteps and target."""
    complaints: list[str] = []
    if len(seen.inputs) != 1:
        complaints.append(f"the network was called {len(seen.inputs)} times, expected once")
    if seen.inputs and seen.inputs[-1] != expected.input:
        complaints.append("its input is not the received images with the received noise added once, row by row")
    if seen.timesteps and seen.timesteps[-1] != expected.timesteps:
        complaints.append("its timesteps are not those of the received uniforms")
    if tensor_sha256(target) != expected.target:
        complaints.append("the target is not the received noise, row by row")
    if complaints:
        raise PairingError(f"[immiscible] [worker:gate] step {step}: " + "; ".join(complaints))
