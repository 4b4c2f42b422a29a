"""The one-shot tools: one JSON object on stdin, one JSON line on stdout, errors on stderr."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
import numpy as np

from .codec import MALFORMED
from .errors import EXIT_OTHER, ConfigError, UsageError

if TYPE_CHECKING:
    from .record import PipelineRecord
    from .sampling import Settings

_Answer = TypeVar("_Answer")
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
    """classLabels: cycled over the images; null: every class in turn. output: a PNG, or a folder for them."""

    class_labels: list[int] | None
    output: str


class EvaluateRequest(_Request, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """images: file of raw uint8 [N, C, H, W]. labels: file of raw little-endian int32 [N]. image_shape: C, H, W."""

    images: str
    labels: str
    image_shape: Annotated[list[_Positive], msgspec.Meta(min_length=3, max_length=3)]
    num_classes: _Positive


def run_tool(arguments: list[str]) -> int:
    """`sample`, `sample-files` or `evaluate`; returns the exit code."""
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
    from .sampler import write_grid

    pixels, warnings = _draw(request)
    write_grid(pixels, Path(request.output))
    return {"path": request.output, "warnings": warnings}


def _sample_files(request: SampleRequest) -> dict[str, Any]:
    from .sampler import write_files

    folder = Path(request.output)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"output: expected an empty or new folder, got {folder}")
    pixels, warnings = _draw(request)
    paths = write_files(pixels, folder)
    return {"path": request.output, "files": [str(path) for path in paths], "warnings": warnings}


def _draw(request: SampleRequest) -> tuple[Any, list[dict[str, str]]]:
    """Pixels uint8 [B, C, H, W], and what to warn of."""
    from .notice import SAMPLER_COUPLED, describe_sampler
    from .pixels import to_pixels
    from .sampler import load_pipeline, sample
    from .sampling import labels_of, sampler_of

    record = _read_record(request.pipeline)
    network, scheduler = load_pipeline(Path(request.pipeline), request.trust_remote_code)
    settings = _settings(request, record, scheduler)
    labels = request.class_labels
    _or_usage(lambda: labels_of(network, labels, request.num_images))
    notice = None
    if record:
        kind, sampler = str(record.assignment["kind"]), sampler_of(scheduler)
        notice = describe_sampler(kind, record.is_coupled, sampler, settings.eta)
    if notice:
        sys.stderr.write(f"[immiscible] [worker:tool] {SAMPLER_COUPLED}: {notice}\n")
    images = sample(
        network,
        scheduler,
        request.num_images,
        settings,
        request.seed,
        class_labels=labels,
        image_scale=record.image_scale if record else 1.0,
    )
    return to_pixels(images), [{"code": SAMPLER_COUPLED, "message": notice}] if notice else []


def _evaluate(request: EvaluateRequest) -> dict[str, Any]:
    import torch

    from .metric import evaluate
    from .sampler import load_pipeline

    images = np.fromfile(request.images, np.uint8)
    labels = np.fromfile(request.labels, "<i4")
    if len(labels) == 0 or images.size != len(labels) * int(np.prod(request.image_shape)):
        raise UsageError(f"images: expected {len(labels)} of shape {request.image_shape}, got {images.size} bytes")
    if labels.min() < 0 or labels.max() >= request.num_classes:
        raise UsageError(f"labels: expected 0..{request.num_classes - 1}, got {labels.min()}..{labels.max()}")
    record = _read_record(request.pipeline)
    network, scheduler = load_pipeline(Path(request.pipeline), request.trust_remote_code)
    result = evaluate(
        network,
        scheduler,
        torch.from_numpy(images.reshape(-1, *request.image_shape)),
        torch.from_numpy(labels.astype(np.int64)),
        request.num_classes,
        request.num_images,
        _settings(request, record, scheduler),
        request.seed,
        image_scale=record.image_scale if record else 1.0,
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


def _read_record(pipeline: str) -> PipelineRecord | None:
    from .record import read_record

    if not Path(pipeline, "model_index.json").is_file():
        raise UsageError(f"pipeline: expected a folder with model_index.json, got {pipeline}")
    return read_record(Path(pipeline))


def _settings(request: _Request, record: PipelineRecord | None, scheduler: Any) -> Settings:
    """What is asked, else what the record says, else what fits the scheduler. Raises UsageError where it cannot be."""
    from .sampler import default_settings, settings_of
    from .sampling import Settings, choose

    defaults = settings_of(record.sampling) if record else default_settings(scheduler)
    given = {field.name: getattr(request, field.name) for field in fields(Settings)}
    settings = _or_usage(lambda: choose(defaults, scheduler, **given))
    is_guidable = record is not None and record.conditioning.class_labels and record.conditioning.label_dropout > 0
    if settings.guidance_scale != 1 and not is_guidable:
        expected = "expected 1, since the model was not trained on labels with label dropout"
        raise UsageError(f"guidance scale: {expected}, got {settings.guidance_scale:g}")
    return settings


def _or_usage(run: Callable[[], _Answer]) -> _Answer:
    """The answer; a ValueError is the user's mistake."""
    try:
        return run()
    except ValueError as error:
        raise UsageError(str(error)) from error


_TOOLS: dict[str, tuple[type[Any], Callable[[Any], dict[str, Any]]]] = {
    "sample": (SampleRequest, _sample),
    "sample-files": (SampleRequest, _sample_files),
    "evaluate": (EvaluateRequest, _evaluate),
}
