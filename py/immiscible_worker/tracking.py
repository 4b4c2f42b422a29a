"""Trackers: each step's numbers to TensorBoard and its like, through accelerate's own trackers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

from .errors import ConfigError
from .protocol import StepDone, TelemetryValue, TrackingConfig

Track = Callable[[StepDone, Sequence[TelemetryValue]], str | None]
"""Hands a step's numbers to every tracker. Answers what went wrong, once: from then on that tracker is left alone."""


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

    def track(done: StepDone, telemetry: Sequence[TelemetryValue]) -> str | None:
        values = {
            f"train/{name}": value for name, value in msgspec.to_builtins(done).items() if _is_figure(name, value)
        }
        values |= {item.name: item.value for item in telemetry}
        for name, tracker in list(trackers.items()):
            try:
                tracker.log(values, step=done.step)
            except Exception as error:
                del trackers[name]
                return f"{name} gets no more steps, training goes on: {type(error).__name__}: {error}"
        return None

    return track


def _is_figure(name: str, value: object) -> bool:
    return name != "step" and isinstance(value, (int, float))
