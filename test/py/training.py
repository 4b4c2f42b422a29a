"""Training in this process, for tests: trainers and staged batches from the small config."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from example import digits, make_config, make_dataset
from immiscible_worker.card import pipeline_files
from immiscible_worker.checkpoint import Checkpoint, Origin, save
from immiscible_worker.codec import Batch, StagedBatch, decode_batch, stage
from immiscible_worker.device import configure_torch
from immiscible_worker.fingerprint import take_fingerprint
from immiscible_worker.latents import Latents
from immiscible_worker.protocol import TrainConfig
from immiscible_worker.sampler import save_pipeline, settings_of
from immiscible_worker.trainer import Trainer
from orchestrator import CONFIG_HASH, RUN_ID, make_digit_batches

CPU = torch.device("cpu")


def make_trainer(config: TrainConfig | None = None, images: np.ndarray[Any, Any] | None = None) -> Trainer:
    """A trainer as it is before step 0, of the small config and the digits if no others are given."""
    config = config or make_config()
    device = configure_torch(config.worker, config.training)
    return Trainer(config, make_dataset(digits()[0] if images is None else images), device)


def receive(config: TrainConfig, step: int) -> Batch:
    """The batch of a step, through the codec."""
    batch = decode_batch(make_digit_batches(config, digits()[0])(step), RUN_ID, 0)
    assert batch is not None
    return batch


def make_batch(trainer: Trainer) -> StagedBatch:
    """The batch that a trainer needs next."""
    return stage(receive(trainer.config, trainer.step), trainer.device)


def train(trainer: Trainer, until: int, after_step: Callable[[], None] = lambda: None) -> Trainer:
    """Trains up to a step."""
    while trainer.step < until:
        trainer.train_step(make_batch(trainer))
        after_step()
    return trainer


def make_origin(generation: int = 0) -> Origin:
    """Of the run that all tests share."""
    return Origin(RUN_ID, CONFIG_HASH, generation, take_fingerprint(CPU))


def write_checkpoint(root: Path, trainer: Trainer) -> Checkpoint:
    """A checkpoint of the trainer as it is, into an empty folder."""
    return save(root, trainer.state(), make_origin(), trainer.hyperparameters(), None, 9, print)


def write_pipeline(
    trainer: Trainer, folder: Path, images: np.ndarray[Any, Any] | None = None, latents: Latents | None = None
) -> None:
    """The pipeline folder of the trainer as it is, on the digits if no other images are given."""
    config, scheduler, network = trainer.config, trainer.objective.scheduler, trainer.ema_network()
    dataset, origin = make_dataset(digits()[0] if images is None else images), make_origin()
    files = pipeline_files(config, dataset, scheduler, origin, trainer.step, "5" * 64, network)
    settings = settings_of(config.sampling)
    save_pipeline(network, scheduler, folder, settings, config.dataset.image_scale, files, latents)
