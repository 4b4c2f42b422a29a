"""The one-shot tools: one JSON object on stdin, one JSON line on stdout, errors on stderr."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from .errors import EXIT_OTHER, UsageError

_Positive = Annotated[int, msgspec.Meta(ge=1)]
_Seed = Annotated[int, msgspec.Meta(ge=0)]


class SampleRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """pipeline: folder. eta: 0 is DDIM, 1 is DDPM. output: path of a PNG."""

    pipeline: str
    num_images: _Positive
    num_inference_steps: _Positive
    seed: _Seed
    eta: Annotated[float, msgspec.Meta(ge=0, le=1)]
    output: str


class EvaluateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """images: file of raw uint8 [N, C, H, W]. labels: file of raw little-endian int32 [N]. image_shape: C, H, W."""

    pipeline: str
    images: str
    labels: str
    image_shape: Annotated[list[_Positive], msgspec.Meta(min_length=3, max_length=3)]
    num_classes: _Positive
    num_images: _Positive
    num_inference_steps: _Positive
    seed: _Seed


def run_tool(arguments: list[str]) -> int:
    """`sample` or `evaluate`; returns the exit code."""
    try:
        if len(arguments) != 1 or arguments[0] not in _TOOLS:
            raise UsageError(f"expected one of {', '.join(_TOOLS)}, got {' '.join(arguments)!r}")
        request_type, tool = _TOOLS[arguments[0]]
        try:
            request = msgspec.json.decode(sys.stdin.buffer.read(), type=request_type)
        except msgspec.DecodeError as error:
            raise UsageError(f"stdin: expected a {request_type.__name__} as JSON: {error}") from error
        answer = tool(request)
    except UsageError as error:
        sys.stderr.write(f"[immiscible] [worker:tool] {error}\n")
        return error.exit_code
    except Exception as error:
        sys.stderr.write(f"{traceback.format_exc()}[immiscible] [worker:tool] {type(error).__name__}: {error}\n")
        return EXIT_OTHER
    sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    return 0


def _sample(request: SampleRequest) -> dict[str, Any]:
    from .notice import SAMPLER_COUPLED, describe_sampler
    from .pixels import to_pixels
    from .record import read_record
    from .sampler import load_pipeline, sample, write_grid

    folder = _pipeline_folder(request.pipeline)
    record = read_record(folder)
    network, scheduler = load_pipeline(folder)
    notice = record and describe_sampler(str(record.assignment["kind"]), record.is_coupled, request.eta)
    if notice:
        sys.stderr.write(f"[immiscible] [worker:tool] {SAMPLER_COUPLED}: {notice}\n")
    images = sample(
        network,
        scheduler,
        request.num_images,
        request.num_inference_steps,
        request.seed,
        eta=request.eta,
        image_scale=record.image_scale if record else 1.0,
    )
    write_grid(to_pixels(images), Path(request.output))
    return {"path": request.output, "warnings": [{"code": SAMPLER_COUPLED, "message": notice}] if notice else []}


def _evaluate(request: EvaluateRequest) -> dict[str, Any]:
    import torch

    from .metric import evaluate
    from .record import read_record
    from .sampler import load_pipeline

    images = np.fromfile(request.images, np.uint8)
    labels = np.fromfile(request.labels, "<i4")
    if len(labels) == 0 or images.size != len(labels) * int(np.prod(request.image_shape)):
        raise UsageError(f"images: expected {len(labels)} of shape {request.image_shape}, got {images.size} bytes")
    if labels.min() < 0 or labels.max() >= request.num_classes:
        raise UsageError(f"labels: expected 0..{request.num_classes - 1}, got {labels.min()}..{labels.max()}")
    folder = _pipeline_folder(request.pipeline)
    record = read_record(folder)
    network, scheduler = load_pipeline(folder)
    result = evaluate(
        network,
        scheduler,
        torch.from_numpy(images.reshape(-1, *request.image_shape)),
        torch.from_numpy(labels.astype(np.int64)),
        request.num_classes,
        request.num_images,
        request.num_inference_steps,
        request.seed,
        image_scale=record.image_scale if record else 1.0,
    )
    return {
        "confidentShare": result.confident_share,
        "heldOutAccuracy": result.held_out_accuracy,
        "heldOutConfidentShare": result.held_out_confident_share,
        "untrainedShare": result.untrained_share,
        "perClass": result.per_class,
        "threshold": result.threshold,
        "numImages": result.num_images,
        "seed": result.seed,
    }


def _pipeline_folder(path: str) -> Path:
    folder = Path(path)
    if not (folder / "model_index.json").is_file():
        raise UsageError(f"pipeline: expected a folder with model_index.json, got {path}")
    return folder


_TOOLS: dict[str, tuple[type[Any], Callable[[Any], dict[str, Any]]]] = {
    "sample": (SampleRequest, _sample),
    "evaluate": (EvaluateRequest, _evaluate),
}
