"""pipeline/immiscible.json: what a sampler elsewhere must know of the training, and diffusers has no field for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from .errors import UsageError
from .notice import is_coupled
from .protocol import TrainConfig

RECORD_FILE = "immiscible.json"


class PipelineRecord(msgspec.Struct, frozen=True, rename="camel"):
    """assignment, objective: as in the config. is_coupled: trained on noise assigned to its images.

    recommended_eta: 0 for a coupled model, None where any eta fits. image_scale: what the network's images are
    multiplied by; divide its samples by it.
    """

    format: Literal["immiscible-pipeline/1"]
    run_id: str
    config_hash: str
    step: int
    state_sha256: str
    assignment: dict[str, Any]
    objective: dict[str, Any]
    is_coupled: bool
    recommended_eta: float | None
    image_scale: Annotated[float, msgspec.Meta(gt=0)]


def write_record(config: TrainConfig, run_id: str, config_hash: str, step: int, state_sha256: str) -> bytes:
    """The record of a run's pipeline, as JSON."""
    coupled = is_coupled(config.assignment)
    record = PipelineRecord(
        format="immiscible-pipeline/1",
        run_id=run_id,
        config_hash=config_hash,
        step=step,
        state_sha256=state_sha256,
        assignment=msgspec.to_builtins(config.assignment),
        objective=msgspec.to_builtins(config.objective),
        is_coupled=coupled,
        recommended_eta=0 if coupled else None,
        image_scale=config.dataset.image_scale,
    )
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def read_record(pipeline: Path) -> PipelineRecord | None:
    """The record in a pipeline folder; None for one that is not ours. Raises UsageError where it is malformed."""
    path = pipeline / RECORD_FILE
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=PipelineRecord)
    except msgspec.DecodeError as error:
        raise UsageError(f"{path}: expected an immiscible-pipeline/1 record: {error}") from error
