"""The one-shot tools behind figures and tables: what they are asked, and who answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from .errors import UsageError
from .plot_spec import PlotSpec
from .protocol import TrainConfig

_Positive = Annotated[int, msgspec.Meta(ge=1)]
_Device = Literal["auto", "cuda", "mps", "cpu"]


class PlotRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """svg, png: the files that are written."""

    spec: PlotSpec
    svg: str
    png: str


class DescribeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """As `cost.describe_training`."""

    config: TrainConfig
    image_shape: tuple[_Positive, _Positive, _Positive]
    num_classes: Annotated[int, msgspec.Meta(ge=0)]
    is_latent: bool


class DenoisingModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """pipeline: folder. label: in the picture. trustRemoteCode: as `sampler.load_pipeline`."""

    label: str
    pipeline: str
    trust_remote_code: bool


class DenoisingRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """output: the PNG. num_noises: answers that are measured; the first num_images of them are shown.

    num_inference_steps: of the schedule whose first timestep it is, for ddim.
    """

    models: Annotated[list[DenoisingModel], msgspec.Meta(min_length=1)]
    output: str
    num_images: _Positive
    num_noises: Annotated[int, msgspec.Meta(ge=2)]
    num_inference_steps: _Positive
    seed: Annotated[int, msgspec.Meta(ge=0)]
    device: _Device


class MiscibilityRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """pipeline, trustRemoteCode: as `DenoisingModel`. images, labels, imageShape: as `images.read_real`."""

    pipeline: str
    trust_remote_code: bool
    images: str
    labels: str
    image_shape: tuple[_Positive, _Positive, _Positive]
    num_classes: _Positive
    num_images: _Positive
    num_inference_steps: _Positive | None
    num_permutations: _Positive
    seed: Annotated[int, msgspec.Meta(ge=0)]
    device: _Device


class GaussianityRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """file: as `gaussianity.measure_gaussianity`, of num_noises."""

    file: str
    num_noises: Annotated[int, msgspec.Meta(ge=2)]
    dims: _Positive


def _plot(request: PlotRequest) -> dict[str, Any]:
    from .plot import write_plot

    write_plot(request.spec, Path(request.svg), Path(request.png))
    return {}


def _describe(request: DescribeRequest) -> dict[str, Any]:
    from .cost import describe_training

    cost = describe_training(request.config, request.image_shape, request.num_classes, is_latent=request.is_latent)
    return {
        "numParameters": cost.num_parameters,
        "forwardFlops": cost.forward_flops,
        "stateBytes": {**cost.state, "total": sum(cost.state.values())},
        "activationBytes": cost.activation_bytes,
    }


def _denoise(request: DenoisingRequest) -> dict[str, Any]:
    from .denoising import Answer, answer_noise, explain
    from .device import resolve_device
    from .picture import write_rows
    from .sampler import starting_noise
    from .sampling import sampler_of
    from .trained import choose_settings, open_trained

    device = resolve_device(request.device)
    rows: list[tuple[str, Any]] = []
    models: list[dict[str, Any]] = []
    shapes: set[tuple[int, ...]] = set()
    for model in request.models:
        trained = open_trained(model.pipeline, model.trust_remote_code)
        sampler = sampler_of(trained.scheduler)
        asked = {"num_inference_steps": request.num_inference_steps} if sampler == "ddim" else {}
        settings = choose_settings(trained, asked)
        noise = starting_noise(trained.network, request.num_noises, request.seed).to(device)
        shapes.add(tuple(noise.shape[1:]))
        if len(shapes) > 1:
            raise UsageError(f"models: expected images of one shape, got {', '.join(map(str, sorted(shapes)))}")
        answer: Answer = answer_noise(trained.network.to(device), trained.scheduler, noise, settings)
        for what, values in ((answer.what, answer.predicted), ("denoised", answer.denoised)):
            rows.append((f"{model.label}: {what}", values[: request.num_images].cpu()))
        explained = explain(noise, answer)
        models.append(
            {
                "label": model.label,
                "sampler": sampler,
                "predicts": answer.what,
                "level": answer.level,
                "noiseR2": explained.noise_r2,
                "meanShare": explained.mean_share,
                "noiseShare": explained.noise_share,
                "imageShare": explained.image_share,
            }
        )
    write_rows(rows, Path(request.output))
    return {"models": models}


def _measure_miscibility(request: MiscibilityRequest) -> dict[str, Any]:
    from .device import resolve_device
    from .images import read_real
    from .miscibility import Interval, deterministic_settings, measure_clusters, see
    from .sampler import sample, starting_noise
    from .trained import choose_settings, open_trained

    images, labels = read_real(request.images, request.labels, request.image_shape, request.num_classes)
    trained = open_trained(request.pipeline, request.trust_remote_code)
    asked = deterministic_settings(trained.network, trained.scheduler, request.num_inference_steps)
    settings = choose_settings(trained, asked)
    noises = starting_noise(trained.network, request.num_images, request.seed)
    network = trained.network.to(resolve_device(request.device))
    samples = sample(
        network, trained.scheduler, request.num_images, settings, request.seed, image_scale=trained.image_scale
    )
    seen = see(trained.to_pixels(samples), images, labels, request.num_classes, request.seed)
    measured = measure_clusters(
        noises.flatten(1),
        seen.classes,
        request.num_classes,
        num_permutations=request.num_permutations,
        seed=request.seed,
    )

    def show(interval: Interval) -> dict[str, float]:
        return {"value": interval.value, "low": interval.low, "high": interval.high}

    return {
        "distance": measured.distance,
        "floor": show(measured.floor),
        "pValue": measured.p_value,
        "corrected": show(measured.corrected),
        "sizes": measured.sizes,
        "leftOut": measured.left_out,
        "confidentShare": seen.confident_share,
        "heldOutAccuracy": seen.held_out_accuracy,
        "numImages": request.num_images,
        "numInferenceSteps": settings.num_inference_steps,
        "seed": request.seed,
    }


def _measure_gaussianity(request: GaussianityRequest) -> dict[str, Any]:
    from .gaussianity import expected_kl, measure_gaussianity

    measured = measure_gaussianity(Path(request.file), request.dims)
    mean, deviation = expected_kl(request.num_noises, request.dims)
    return {
        "kl": measured.kl,
        "meanSquaredNorm": measured.mean_squared_norm,
        "expectedKl": mean,
        "klDeviation": deviation,
    }


FIGURE_TOOLS: dict[str, tuple[type[Any], Callable[[Any], dict[str, Any]]]] = {
    "plot": (PlotRequest, _plot),
    "describe": (DescribeRequest, _describe),
    "denoise": (DenoisingRequest, _denoise),
    "miscibility": (MiscibilityRequest, _measure_miscibility),
    "gaussianity": (GaussianityRequest, _measure_gaussianity),
}
