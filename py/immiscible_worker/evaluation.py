"""Sample quality while training: samples of the EMA weights beside the real images, as often as the config says."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from .errors import ConfigError, UsageError
from .images import read_pixels
from .pixels import to_pixels
from .protocol import Evaluated, MeasureValue, Welcome
from .sampling import Settings

if TYPE_CHECKING:
    import torch

    from .trainer import Trainer

Evaluate = Callable[["Trainer"], list[Evaluated]]


def open_evaluation(welcome: Welcome, device: torch.device) -> Evaluate | None:
    """What measures the trainer's EMA weights at its step, an `Evaluated` for each `evaluation.numInferenceSteps`.

    None where nothing is evaluated. A small classifier is trained, or the Inception network loaded, before it returns.
    Raises ConfigError where the file of the Inception network is not what was named.
    """
    real = welcome.real_images
    if real is None:
        return None
    from .quality import InceptionFile, open_judge
    from .sampler import sample, settings_of

    config, dataset = welcome.config.evaluation, welcome.dataset
    images, labels = read_pixels(real.images, real.labels, dataset.image_shape, dataset.num_classes)
    file = config.inception
    split = getattr(welcome.config.dataset, "split", None)
    try:
        judge = open_judge(
            images,
            labels,
            dataset.num_classes,
            name=dataset.name if split is None else f"{dataset.name}, split {split}",
            inception=file and InceptionFile(file.weights, file.sha256, file.backend, file.mode),
            num_images=config.num_images,
            seed=config.seed,
            num_bootstrap=config.num_bootstrap,
            device=device,
        )
    except UsageError as error:
        raise ConfigError("EVALUATION", f"evaluation: {error}") from error
    sampling = settings_of(welcome.config.sampling)
    step_counts = config.num_inference_steps or [sampling.num_inference_steps]

    def measure(trainer: Trainer, settings: Settings) -> Evaluated:
        started = time.perf_counter()
        scheduler, scale = trainer.objective.scheduler, welcome.config.dataset.image_scale
        network = trainer.ema_network()
        samples = sample(network, scheduler, config.num_images, settings, config.seed, image_scale=scale)
        quality = judge(to_pixels(samples))
        return Evaluated(
            step=trainer.step,
            num_inference_steps=settings.num_inference_steps,
            num_images=quality.num_images,
            features=quality.features,
            features_sha256=quality.features_sha256,
            reference=quality.reference,
            num_reference=quality.num_reference,
            measures=[
                MeasureValue(
                    name=measure.name,
                    value=_finite(measure.value),
                    low=_finite(measure.low),
                    high=_finite(measure.high),
                    floor=_finite(measure.floor),
                )
                for measure in quality.measures
            ],
            duration_ms=(time.perf_counter() - started) * 1000,
        )

    return lambda trainer: [measure(trainer, replace(sampling, num_inference_steps=count)) for count in step_counts]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
