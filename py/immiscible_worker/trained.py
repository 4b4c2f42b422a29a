"""A trained pipeline as its folder has it: opened, told how to sample, and drawn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from .errors import UsageError
from .latents import Latents, load_vae, show
from .notice import SAMPLER_COUPLED, describe_sampler
from .record import PipelineRecord, read_record
from .sampler import default_settings, load_pipeline, sample, settings_of
from .sampling import Settings, choose, labels_of, sampler_of

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Trained:
    """record: None for a pipeline that is not ours. latents: None for pixels. The network is in eval mode."""

    network: torch.nn.Module
    scheduler: Any
    record: PipelineRecord | None
    latents: Latents | None = None

    @property
    def image_scale(self) -> float:
        """What its samples are to be divided by."""
        return self.record.image_scale if self.record else 1.0

    def to_pixels(self, samples: torch.Tensor) -> torch.Tensor:
        """Its samples as `latents.show` has them."""
        return show(samples, self.latents)


@dataclass(frozen=True)
class Drawn:
    """images: float32 [B, C, H, W] on the CPU, about [-1, 1], or latents.

    notice: why the sampler does not fit the model.
    """

    images: torch.Tensor
    notice: str | None

    @property
    def warnings(self) -> list[dict[str, str]]:
        """For the other side, which shows them."""
        return [{"code": SAMPLER_COUPLED, "message": self.notice}] if self.notice else []


def open_trained(pipeline: str, trust_remote_code: bool) -> Trained:
    """A pipeline folder on the CPU. Raises OSError; UsageError where it is none, or its code is not trusted."""
    folder = Path(pipeline)
    if not (folder / "model_index.json").is_file():
        raise UsageError(f"pipeline: expected a folder with model_index.json, got {pipeline}")
    record = read_record(folder)
    network, scheduler = load_pipeline(folder, trust_remote_code)
    factor, vae = record.scaling_factor if record else None, folder / "vae"
    latents = None if factor is None else Latents(factor, load_vae(vae) if vae.is_dir() else None)
    return Trained(network, scheduler, record, latents)


def choose_settings(trained: Trained, given: Mapping[str, Any]) -> Settings:
    """What is asked, else what the record says, else what fits the scheduler. Raises UsageError where it cannot be.

    given: by the names of `Settings`; None: not said.
    """
    record, scheduler = trained.record, trained.scheduler
    defaults = settings_of(record.sampling) if record else default_settings(scheduler)
    settings = _or_usage(lambda: choose(defaults, scheduler, **given))
    is_guidable = record is not None and record.conditioning.class_labels and record.conditioning.label_dropout > 0
    if settings.guidance_scale != 1 and not is_guidable:
        expected = "expected 1, since the model was not trained on labels with label dropout"
        raise UsageError(f"guidance scale: {expected}, got {settings.guidance_scale:g}")
    return settings


def draw_images(
    trained: Trained, given: Mapping[str, Any], num_images: int, seed: int, class_labels: Sequence[int] | None
) -> Drawn:
    """Samples; given: as `choose_settings`, class_labels: as `sampling.labels_of`. Raises UsageError."""
    settings = choose_settings(trained, given)
    _or_usage(lambda: labels_of(trained.network, class_labels, num_images))
    notice = None
    if trained.record:
        kind, sampler = str(trained.record.assignment["kind"]), sampler_of(trained.scheduler)
        notice = describe_sampler(kind, trained.record.is_coupled, sampler, settings.eta)
    images = sample(
        trained.network,
        trained.scheduler,
        num_images,
        settings,
        seed,
        class_labels=class_labels,
        image_scale=trained.image_scale,
        is_latent=trained.latents is not None,
    )
    return Drawn(images, notice)


def _or_usage(run: Callable[[], _Answer]) -> _Answer:
    """The answer; a ValueError is the user's mistake."""
    try:
        return run()
    except ValueError as error:
        raise UsageError(str(error)) from error
