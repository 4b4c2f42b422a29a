"""pipeline/immiscible.json: what a sampler elsewhere must know of the training, and diffusers has no field for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from .checkpoint import Origin
from .codec import MALFORMED
from .errors import UsageError
from .notice import is_coupled
from .protocol import ConditioningConfig, DatasetInfo, SamplingConfig, TrainConfig
from .sampling import SamplerKind

RECORD_FILE = "immiscible.json"


class PipelineRecord(msgspec.Struct, frozen=True, rename="camel"):
    """assignment, objective, conditioning, sampling: as in the config. is_coupled: trained on noise assigned to its
    images.

    sampler: ddim, consistency or flow. num_classes: 0 for an unconditional model; else it takes labels 0..num_classes,
    the last of which is "none". recommended_eta: 0 for a coupled model, None where any eta fits, or the sampler has
    none. image_scale: what the network's images are multiplied by; divide its samples by it. scaling_factor: of a model
    of latents, what the autoencoder's were multiplied by: divide the samples by it too, then decode them.
    """

    format: Literal["immiscible-pipeline/2"]
    run_id: str
    config_hash: str
    step: int
    state_sha256: str
    assignment: dict[str, Any]
    objective: dict[str, Any]
    conditioning: ConditioningConfig
    sampler: SamplerKind
    sampling: SamplingConfig
    num_classes: Annotated[int, msgspec.Meta(ge=0)]
    is_coupled: bool
    recommended_eta: float | None
    image_scale: Annotated[float, msgspec.Meta(gt=0)]
    scaling_factor: Annotated[float, msgspec.Meta(gt=0)] | None = None


def write_record(
    config: TrainConfig, dataset: DatasetInfo, sampler: SamplerKind, origin: Origin, step: int, state_sha256: str
) -> bytes:
    """The record of a run's pipeline, as JSON."""
    coupled = is_coupled(config.assignment)
    record = PipelineRecord(
        format="immiscible-pipeline/2",
        run_id=origin.run_id,
        config_hash=origin.config_hash,
        step=step,
        state_sha256=state_sha256,
        assignment=msgspec.to_builtins(config.assignment),
        objective=msgspec.to_builtins(config.objective),
        conditioning=config.conditioning,
        sampler=sampler,
        sampling=config.sampling,
        num_classes=dataset.num_classes if config.conditioning.class_labels else 0,
        is_coupled=coupled,
        recommended_eta=0 if coupled and sampler == "ddim" else None,
        image_scale=config.dataset.image_scale,
        scaling_factor=dataset.scaling_factor,
    )
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def read_record(pipeline: Path) -> PipelineRecord | None:
    """The record in a pipeline folder; None for one that is not ours. Raises UsageError where it is malformed."""
    path = pipeline / RECORD_FILE
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=PipelineRecord)
    except MALFORMED as error:
        raise UsageError(f"{path}: expected an immiscible-pipeline/2 record: {error}") from error
