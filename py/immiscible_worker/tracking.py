"""Trackers: the numbers of steps and validations to TensorBoard and its like, through accelerate's own trackers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

from .errors import ConfigError
from .protocol import Evaluated, StepDone, TelemetryValue, TrackingConfig, Validated

Track = Callable[[int, Mapping[str, float]], str | None]
"""Hands the numbers of a step to every tracker. Answers what went wrong, once: that tracker is left alone from then on.

A step is as its event counts it. By name: `step_figures`, `validation_figures`.
"""


def open_tracking(config: TrackingConfig, run_folder: Path, run_id: str, first_step: int) -> Track:
    """Starts the trackers that the config names; after the trainer, whose PartialState they ask for the rank.

    TensorBoard writes into `<run folder>/tensorboard`, and forgets steps that are trained again. Raises ConfigError
    where a package is missing: accelerate itself would leave the tracker out in silence.
    """
    installed = [str(name) for name in get_available_trackers()]
    for name in config.report_to:
        if name not in installed:
            message = f"tracking.reportTo: expected a tracker that is installed, got {name}"
            raise ConfigError("TRACKER", f"{message}; install it by {sys.executable} -m pip install {name}")
    options: dict[str, dict[str, Any]] = {
        "tensorboard": {"run_name": "tensorboard", "logging_dir": str(run_folder), "purge_step": first_step},
        "wandb": {"run_name": "immiscible", "dir": str(run_folder), "id": run_id, "resume": "allow"},
    }
    trackers = {name: LOGGER_TYPE_TO_CLASS[name](**options[name]) for name in dict.fromkeys(config.report_to)}
    for tracker in trackers.values():
        tracker.start()

    def track(step: int, values: Mapping[str, float]) -> str | None:
        for name, tracker in list(trackers.items()):
            try:
                tracker.log(dict(values), step=step)
            except Exception as error:
                del trackers[name]
                return f"{name} gets no more steps, training goes on: {type(error).__name__}: {error}"
        return None

    return track


def step_figures(done: StepDone, telemetry: Sequence[TelemetryValue]) -> dict[str, float]:
    """`train/...` of what the worker reports of a step, and what the orchestrator knows of its batch."""
    return _figures("train", done) | {item.name: item.value for item in telemetry}


def validation_figures(validated: Validated) -> dict[str, float]:
    """`validation/...`"""
    return _figures("validation", validated)


def evaluation_figures(evaluated: Evaluated) -> dict[str, float]:
    """`evaluation/<metric>`, and its floor; of samples of S steps."""
    values = {
        f"evaluation/{measure.name}{suffix} S={evaluated.num_inference_steps}": value
        for measure in evaluated.measures
        for suffix, value in (("", measure.value), (" floor", measure.floor))
    }
    return {name: value for name, value in values.items() if value is not None}


def _figures(group: str, event: StepDone | Validated) -> dict[str, float]:
    """The finite numbers of an event by name, but for its step."""
    fields: dict[str, Any] = msgspec.to_builtins(event)
    return {
        f"{group}/{name}": value
        for name, value in fields.items()
        if name not in ("step", "kind") and isinstance(value, (int, float))
    }
