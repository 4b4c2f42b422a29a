"""The one-shot tools: one JSON object on stdin, one JSON line on stdout, errors on stderr."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from .codec import MALFORMED
from .errors import EXIT_OTHER, ConfigError, UsageError
from .figure_tools import FIGURE_TOOLS

_Positive = Annotated[int, msgspec.Meta(ge=1)]
_Seed = Annotated[int, msgspec.Meta(ge=0)]


class _Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """pipeline: folder. trustRemoteCode: as `sampler.load_pipeline`.

    From numInferenceSteps on: as `sampling.Settings`, null is as the pipeline's record has it.
    """

    pipeline: str
    trust_remote_code: bool
    num_images: _Positive
    seed: _Seed
    num_inference_steps: _Positive | None
    eta: float | None
    timestep_spacing: str | None
    use_clipped_model_output: bool | None
    solver: str | None
    guidance_scale: float | None


class SampleRequest(_Request, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """classLabels: cycled over the images; null: every class in turn. grid: a PNG; files: a folder of one for each."""

    class_labels: list[int] | None
    grid: str | None
    files: str | None


class EvaluateRequest(_Request, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """images: file of raw uint8 [N, C, H, W]. labels: file of raw little-endian int32 [N]. image_shape: C, H, W."""

    images: str
    labels: str
    image_shape: Annotated[list[_Positive], msgspec.Meta(min_length=3, max_length=3)]
    num_classes: _Positive


class InceptionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """As `quality.InceptionFile`."""

    weights: str
    sha256: str
    backend: Literal["torchscript", "torch-fidelity"]
    mode: Literal["legacy-tensorflow", "pytorch-fid"]


class MeasureRequest(_Request, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """images: file of raw uint8 [N, C, H, W]. labels: file of raw little-endian int32 [N], null without.

    image_shape: C, H, W. name: of the data set. inception: null for the small classifier. device: of the networks.
    """

    images: str
    labels: str | None
    image_shape: Annotated[list[_Positive], msgspec.Meta(min_length=3, max_length=3)]
    num_classes: Annotated[int, msgspec.Meta(ge=0)]
    name: str
    num_bootstrap: Annotated[int, msgspec.Meta(ge=0)]
    inception: InceptionRequest | None
    device: Literal["auto", "cuda", "mps", "cpu"]


class EncodeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """images: file of raw uint8 [N, C, H, W]. labels: file of raw little-endian int32 [N], empty without.

    image_shape: C, H, W. vae: folder of an AutoencoderKL. output: the safetensors file. metadata: written into it.
    """

    images: str
    labels: str
    image_shape: Annotated[list[_Positive], msgspec.Meta(min_length=3, max_length=3)]
    vae: str
    output: str
    batch_size: _Positive
    is_mirrored: bool
    device: Literal["auto", "cuda", "mps", "cpu"]
    metadata: dict[str, str]


def run_tool(arguments: list[str]) -> int:
    """One of the tools in the table, by name; returns the exit code."""
    try:
        if len(arguments) != 1 or arguments[0] not in _TOOLS:
            raise UsageError(f"expected one of {', '.join(_TOOLS)}, got {' '.join(arguments)!r}")
        request_type, tool = _TOOLS[arguments[0]]
        try:
            request = msgspec.json.decode(sys.stdin.buffer.read(), type=request_type)
        except MALFORMED as error:
            raise UsageError(f"stdin: expected a {request_type.__name__} as JSON: {error}") from error
        answer = tool(request)
    except (UsageError, ConfigError) as error:
        sys.stderr.write(f"[immiscible] [worker:tool] {error}\n")
        return error.exit_code
    except Exception as error:
        sys.stderr.write(f"{traceback.format_exc()}[immiscible] [worker:tool] {type(error).__name__}: {error}\n")
        return EXIT_OTHER
    sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    return 0


def _sample(request: SampleRequest) -> dict[str, Any]:
    from .notice import SAMPLER_COUPLED
    from .sampler import refuse_full, write_files, write_grid
    from .trained import draw_images, open_trained

    if request.files is not None:
        refuse_full(Path(request.files))
    trained = open_trained(request.pipeline, request.trust_remote_code)
    drawn = draw_images(trained, _given(request), request.num_images, request.seed, request.class_labels)
    if drawn.notice:
        sys.stderr.write(f"[immiscible] [worker:tool] {SAMPLER_COUPLED}: {drawn.notice}\n")
    pixels = trained.to_pixels(drawn.images)
    if request.grid is not None:
        write_grid(pixels, Path(request.grid))
    files = [] if request.files is None else write_files(pixels, Path(request.files))
    return {"files": [str(path) for path in files], "warnings": drawn.warnings}


def _evaluate(request: EvaluateRequest) -> dict[str, Any]:
    from .images import read_real
    from .metric import evaluate
    from .trained import choose_settings, open_trained

    images, labels = read_real(request.images, request.labels, request.image_shape, request.num_classes)
    trained = open_trained(request.pipeline, request.trust_remote_code)
    result = evaluate(
        trained.network,
        trained.scheduler,
        images,
        labels,
        request.num_classes,
        request.num_images,
        choose_settings(trained, _given(request)),
        request.seed,
        image_scale=trained.image_scale,
    )
    return {
        "confidentShare": result.confident_share,
        "heldOutAccuracy": result.held_out_accuracy,
        "heldOutConfidentShare": result.held_out_confident_share,
        "untrainedShare": result.untrained_share,
        "perClass": result.per_class,
        "labelAgreement": result.label_agreement,
        "threshold": result.threshold,
        "numImages": result.num_images,
        "seed": result.seed,
    }


def _measure(request: MeasureRequest) -> dict[str, Any]:
    from .device import resolve_device
    from .measuring import open_measuring
    from .trained import draw_images, open_trained

    # First of all: a file that is not what was named is found before anything is drawn.
    measure = open_measuring(
        images=request.images,
        labels=request.labels,
        image_shape=request.image_shape,
        num_classes=request.num_classes,
        name=request.name,
        inception=msgspec.structs.asdict(request.inception) if request.inception else None,
        num_images=request.num_images,
        seed=request.seed,
        num_bootstrap=request.num_bootstrap,
        device=request.device,
    )
    trained = open_trained(request.pipeline, request.trust_remote_code)
    trained = replace(trained, network=trained.network.to(resolve_device(request.device)))
    drawn = draw_images(trained, _given(request), request.num_images, request.seed, None)
    return {**measure(trained.to_pixels(drawn.images)), "warnings": drawn.warnings}


def _encode(request: EncodeRequest) -> dict[str, Any]:
    import numpy as np

    from .device import resolve_device
    from .encode import encode_images, open_encoder

    encoder = open_encoder(Path(request.vae), resolve_device(request.device))
    labels = np.fromfile(request.labels, "<i4")
    pixels = np.memmap(request.images, np.uint8, "r").reshape(-1, *request.image_shape)

    def tell(num_images: int) -> None:
        sys.stdout.write(msgspec.json.encode({"encoded": num_images}).decode() + "\n")
        sys.stdout.flush()

    result = encode_images(
        encoder,
        pixels,
        labels if len(labels) > 0 else None,
        Path(request.output),
        batch_size=request.batch_size,
        is_mirrored=request.is_mirrored,
        metadata=request.metadata,
        on_progress=tell,
    )
    return {"shape": result.shape, "scalingFactor": result.scaling_factor, "sha256": result.sha256}


def _given(request: _Request) -> dict[str, Any]:
    """What is asked of the sampler, by the names of `sampling.Settings`; None: not said."""
    from .sampling import Settings

    return {field.name: getattr(request, field.name) for field in fields(Settings)}


_TOOLS: dict[str, tuple[type[Any], Callable[[Any], dict[str, Any]]]] = {
    "sample": (SampleRequest, _sample),
    "evaluate": (EvaluateRequest, _evaluate),
    "measure": (MeasureRequest, _measure),
    "encode": (EncodeRequest, _encode),
    **FIGURE_TOOLS,
}
