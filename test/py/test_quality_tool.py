"""The tool `measure` and `ready.measure_folder`: what the orchestrator asks is what the judge answers."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from training import make_trainer, train, write_pipeline

from example import digits
from immiscible_worker import metric
from immiscible_worker.errors import UsageError
from immiscible_worker.pixels import to_pixels
from immiscible_worker.quality import open_judge
from immiscible_worker.ready import measure_folder
from immiscible_worker.sampler import sample, write_files
from immiscible_worker.sampling import Settings
from orchestrator import PYTHON_FOLDER


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    """16 samples of a network that was trained for a moment."""
    trainer = train(make_trainer(), 5)
    return to_pixels(sample(trainer.ema_network(), trainer.objective.scheduler, 16, Settings(2), seed=3))


@pytest.fixture
def real(tmp_path: Path) -> dict[str, Any]:
    """Digits in files, as both are asked about them."""
    images, labels = digits()
    images.tofile(tmp_path / "images")
    labels.astype("<i4").tofile(tmp_path / "labels")
    return {
        "images": str(tmp_path / "images"),
        "labels": None,
        "name": "digits, split all",
        "inception": None,
        "seed": 3,
        "device": "cpu",
    }


def measure(request: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "immiscible_worker", "measure"],
        input=json.dumps(request),
        cwd=PYTHON_FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )


def ask(real: dict[str, Any], pipeline: Path) -> dict[str, Any]:
    settings = dict.fromkeys(["eta", "timestepSpacing", "useClippedModelOutput", "solver", "guidanceScale"])
    return {
        **real,
        **settings,
        "pipeline": str(pipeline),
        "trustRemoteCode": False,
        "numImages": 16,
        "numInferenceSteps": 2,
        "imageShape": [1, 8, 8],
        "numClasses": 10,
        "numBootstrap": 4,
    }


def test_the_tool_and_the_folder_answer_as_the_judge(
    tmp_path: Path, real: dict[str, Any], pixels: torch.Tensor
) -> None:
    write_pipeline(train(make_trainer(), 5), tmp_path / "pipeline")
    done = measure(ask(real, tmp_path / "pipeline"))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    judge = open_judge(
        torch.from_numpy(digits()[0]),
        None,
        10,
        name="digits, split all",
        inception=None,
        num_images=16,
        seed=3,
        num_bootstrap=4,
        device=torch.device("cpu"),
    )
    quality = judge(pixels)
    assert answer["warnings"] == []
    assert answer["reference"] == quality.reference == "898 of the 1,797 images of digits, split all; floors: 16 others"
    assert (answer["features"], answer["featuresSha256"]) == ("none", None)
    assert (answer["numImages"], answer["numReference"]) == (16, 898)
    for said, expected in zip(answer["measures"], quality.measures, strict=True):
        assert said.pop("name") == expected.name
        numbers = {name: value for name, value in asdict(expected).items() if name != "name"}
        assert said == pytest.approx(numbers, rel=1e-9)

    write_files(pixels, tmp_path / "drawn")
    asked = {**real, "num_classes": 10, "num_bootstrap": 4}
    answer = json.loads(done.stdout)
    of_folder = measure_folder(str(tmp_path / "drawn"), [1, 8, 8], **asked)
    assert of_folder == {name: value for name, value in answer.items() if name != "warnings"}


def test_a_folder_is_measured_by_the_classifier_where_there_are_labels(
    tmp_path: Path, real: dict[str, Any], pixels: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metric, "_TRAIN_STEPS", 5)
    write_files(pixels, tmp_path / "drawn")
    asked = {**real, "labels": str(tmp_path / "labels"), "num_classes": 10, "num_bootstrap": 0}
    answer = measure_folder(str(tmp_path / "drawn"), [1, 8, 8], **asked)
    assert answer["features"] == "classifier"
    assert answer["measures"][0]["name"] == "fdClassifier"
    with pytest.raises(UsageError, match=r"drawn: expected images of 1x9x8 \(channels, height, width\), got 1x8x8"):
        measure_folder(str(tmp_path / "drawn"), [1, 9, 8], **asked)


def test_an_inception_file_that_is_another_is_one_line_before_anything_is_drawn(
    tmp_path: Path, real: dict[str, Any]
) -> None:
    weights = tmp_path / "inception.pt"
    weights.write_text("no network")
    inception = {
        "weights": str(weights),
        "sha256": "ab" * 32,
        "backend": "torchscript",
        "mode": "legacy-tensorflow",
    }
    done = measure({**ask(real, tmp_path / "no pipeline"), "inception": inception})
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.count("\n") == 1
    assert f"inception: {weights}: expected SHA-256 {'ab' * 32}, got" in done.stderr
    # Control: with nothing wrong about the file it is the pipeline that is missing.
    assert "pipeline: expected a folder" in measure(ask(real, tmp_path / "no pipeline")).stderr
