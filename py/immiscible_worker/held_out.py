"""The held-out images, never trained on: received before the first step, outside the credits, and the loss on them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .channel import Channel
from .codec import Batch, StagedBatch, check_contract, stage
from .errors import ProtocolError
from .protocol import DatasetInfo, Stop, TrainConfig, Validated

if TYPE_CHECKING:
    import torch

    from .trainer import Trainer

Held = tuple[Batch, StagedBatch]
"""A message and its tensors, at most a global batch of images."""


def receive_held_out(
    channel: Channel, config: TrainConfig, dataset: DatasetInfo, device: torch.device
) -> list[Held] | None:
    """The `validation.numImages` held-out images, in order; none where there are none. None: stop came instead.

    To be called once, after ready. Raises ProtocolError, and whatever `channel.receive` raises.
    """
    held: list[Held] = []
    left = config.validation.num_images
    while left > 0:
        received = channel.receive()
        if isinstance(received, Stop):
            return None
        if not isinstance(received, Batch):
            raise ProtocolError("message before the first step", "held-out images", type(received).__name__)
        size = min(left, config.global_batch_size)
        check_contract(received, 0, size, dataset, split="heldOut")
        held.append((received, stage(received, device)))
        left -= size
    return held


def measure(trainer: Trainer, held_out: Sequence[StagedBatch]) -> Validated:
    """The loss on the held-out images at the trainer's step, of its weights and of their EMA."""
    started = time.perf_counter()
    loss, ema_loss = (trainer.measure_loss(held_out, is_ema=is_ema) for is_ema in (False, True))
    return Validated(
        step=trainer.step,
        loss=loss if math.isfinite(loss) else None,
        ema_loss=ema_loss if math.isfinite(ema_loss) else None,
        num_images=sum(len(batch.images) for batch in held_out),
        duration_ms=(time.perf_counter() - started) * 1000,
    )


def describe(validated: Validated) -> dict[str, float]:
    """What a model card shows of it, by the names that a reader should see."""
    images = f"loss on {validated.num_images:,} held-out images"
    named = {f"{images}, EMA weights": validated.ema_loss, f"{images}, last weights": validated.loss}
    return {name: value for name, value in named.items() if value is not None}
