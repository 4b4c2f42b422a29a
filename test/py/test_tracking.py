"""Trackers get every number of every step under its name; a missing one is said, a failing one ends no training."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from accelerate.tracking import GeneralTracker
from training import make_trainer

from immiscible_worker import tracking
from immiscible_worker.errors import ConfigError
from immiscible_worker.protocol import StepDone, TelemetryValue, TrackingConfig, Validated
from immiscible_worker.tracking import open_tracking, step_figures, validation_figures

TELEMETRY = [TelemetryValue("assignment/gain", 2.5), TelemetryValue("assignment/drift/norm", 0.99)]


def done(step: int, loss: float | None = 0.5) -> StepDone:
    """A step's report."""
    return StepDone(step, loss, 1.5, 0.001, 0.9, 12.0, 1.0, 0.5, "f" * 64)


class LineTracker(GeneralTracker):
    """By accelerate's contract for trackers: one JSON line a step."""

    name = "tensorboard"
    requires_logging_directory = True

    def __init__(self, run_name: str, logging_dir: str, purge_step: int) -> None:
        super().__init__()
        self.path = Path(logging_dir) / "lines"
        self.purge_step = purge_step

    @property
    def tracker(self) -> Path:
        """Where the lines go."""
        return self.path

    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        """One line."""
        if self.path.is_dir():
            raise OSError("no space left")
        with self.path.open("a") as file:
            file.write(json.dumps({"from": self.purge_step, "step": step, **values}) + "\n")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], list[dict[str, Any]]]:
    """Puts the line tracker where TensorBoard's is."""
    make_trainer()  # accelerate's trackers ask its state for the rank
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "tensorboard", LineTracker)
    monkeypatch.setattr(tracking, "get_available_trackers", lambda: ["tensorboard"])
    return lambda: [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()]


def test_every_number_arrives_under_its_name(tmp_path: Path, lines: Callable[[], list[dict[str, Any]]]) -> None:
    track = open_tracking(TrackingConfig(["tensorboard", "tensorboard"]), tmp_path, "r" * 32, 3)
    assert track(3, step_figures(done(3), TELEMETRY)) is None
    assert track(4, step_figures(done(4, loss=None), [])) is None
    assert track(5, validation_figures(Validated(5, 0.75, None, 64, 8.0))) is None
    shared = {"train/gradNorm": 1.5, "train/learningRate": 0.001, "train/emaDecay": 0.9}
    shared |= {"train/trainMs": 12.0, "train/waitMs": 1.0, "train/stageMs": 0.5, "from": 3}
    assignment = {"assignment/gain": 2.5, "assignment/drift/norm": 0.99}
    validation = {"validation/loss": 0.75, "validation/numImages": 64, "validation/durationMs": 8.0}
    assert lines() == [
        {**shared, "step": 3, "train/loss": 0.5, **assignment},
        {**shared, "step": 4},
        {"from": 3, "step": 5, **validation},
    ]


@pytest.mark.usefixtures("lines")
def test_a_tracker_that_fails_is_said_once_and_left_alone(tmp_path: Path) -> None:
    track = open_tracking(TrackingConfig(["tensorboard"]), tmp_path, "r" * 32, 0)
    (tmp_path / "lines").mkdir()
    assert track(0, {"train/loss": 0.5}) == "tensorboard gets no more steps, training goes on: OSError: no space left"
    assert track(1, {"train/loss": 0.5}) is None


def test_a_tracker_that_is_not_installed_is_said_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tracking, "get_available_trackers", lambda: ["tensorboard"])
    with pytest.raises(
        ConfigError, match=r"tracking\.reportTo: expected a tracker that is installed, got wandb"
    ) as error:
        open_tracking(TrackingConfig(["wandb"]), tmp_path, "r" * 32, 0)
    assert str(error.value).endswith(f"{sys.executable} -m pip install wandb")
    assert (error.value.code, error.value.is_retryable) == ("TRACKER", False)


def test_no_tracker_is_no_work(tmp_path: Path) -> None:
    assert open_tracking(TrackingConfig([]), tmp_path, "r" * 32, 0)(0, {"train/loss": 0.5}) is None
    assert list(tmp_path.iterdir()) == []
