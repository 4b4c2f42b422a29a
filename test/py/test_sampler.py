"""Samples are DDIM's, diffusers loads the pipeline, and the classifier that judges samples doubts garbage."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline, FlowMatchEulerDiscreteScheduler
from networks import Known
from PIL import Image
from training import make_trainer, train, write_pipeline

from example import digits
from immiscible_worker import metric
from immiscible_worker.errors import UsageError
from immiscible_worker.metric import (
    classify,
    confident_share,
    evaluate,
    label_agreement,
    make_garbage,
    train_classifier,
)
from immiscible_worker.pixels import to_model_scale, to_pixels
from immiscible_worker.sampler import load_pipeline, sample, write_grid
from immiscible_worker.sampling import Settings, sampler_of
from immiscible_worker.trainer import Trainer
from orchestrator import PYTHON_FOLDER


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    """Trained for a moment: the EMA is not the network."""
    return train(make_trainer(), 5)


def test_the_pipeline_loads_in_diffusers_and_samples_what_we_sample(tmp_path: Path, trainer: Trainer) -> None:
    write_pipeline(trainer, tmp_path / "pipeline")
    pipeline = cast(Any, DDIMPipeline.from_pretrained(tmp_path / "pipeline"))
    pipeline.set_progress_bar_config(disable=True)
    for eta in (0.0, 0.3):
        generator = torch.Generator("cpu").manual_seed(3)
        theirs = pipeline(batch_size=4, num_inference_steps=5, generator=generator, eta=eta, output_type="np").images
        ours = sample(trainer.ema_network(), trainer.objective.scheduler, 4, Settings(5, eta=eta), seed=3)
        np.testing.assert_array_equal((ours / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy(), theirs)
    assert [path.name for path in tmp_path.iterdir()] == ["pipeline"]


def test_the_pipeline_holds_the_ema(tmp_path: Path, trainer: Trainer) -> None:
    write_pipeline(trainer, tmp_path / "pipeline")
    network, _ = load_pipeline(tmp_path / "pipeline")
    for parameter, average in zip(network.parameters(), trainer.ema.shadow_params, strict=True):
        assert torch.equal(parameter, average)
    assert not torch.equal(trainer.ema.shadow_params[0], next(iter(trainer.network.parameters())))


def test_a_second_pipeline_replaces_the_first_and_has_a_card(tmp_path: Path, trainer: Trainer) -> None:
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "old").write_text("old")
    write_pipeline(trainer, tmp_path / "pipeline")
    assert not (tmp_path / "pipeline" / "old").exists()
    card = (tmp_path / "pipeline" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: diffusers\n")
    assert "| assignment | `independent`, poolSize `16` |" in card


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_grid_shows_every_image_enlarged(tmp_path: Path, channels: int, mode: str) -> None:
    pixels = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, channels, 8, 8) * 50
    write_grid(pixels, tmp_path / "samples" / "grid.png")
    with Image.open(tmp_path / "samples" / "grid.png") as grid:
        assert (grid.mode, grid.size) == (mode, (152, 102))
        assert grid.getpixel((75, 75)) == (200 if channels == 1 else (200, 200, 200))
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["grid.png"]


def test_the_classifier_knows_digits_and_doubts_garbage(trainer: Trainer) -> None:
    images = to_model_scale(torch.from_numpy(digits()[0]))
    labels = torch.from_numpy(digits()[1].astype(np.int64))
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    classifier = train_classifier(images[:1400], labels[:1400], 10, generator)
    real = classify(classifier, images[1400:])
    assert (real.argmax(1) == labels[1400:]).float().mean() > 0.9
    assert confident_share(real) > 0.75
    assert confident_share(classify(classifier, make_garbage(images[1400:], labels[1400:], 400, generator))) < 0.1
    assert confident_share(classify(classifier, torch.rand(400, 1, 8, 8) * 2 - 1)) < 0.05
    untrained = sample(trainer.ema_network(), trainer.objective.scheduler, 128, Settings(10), seed=0)
    assert confident_share(classify(classifier, to_model_scale(to_pixels(untrained)))) < 0.1


def run_tool(name: str, request: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "immiscible_worker", name],
        input=json.dumps(request),
        cwd=PYTHON_FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )


ASKED: dict[str, Any] = {
    "trustRemoteCode": False,
    "numImages": 4,
    "seed": 0,
    "numInferenceSteps": None,
    "eta": None,
    "timestepSpacing": None,
    "useClippedModelOutput": None,
    "solver": None,
    "guidanceScale": None,
    "classLabels": None,
}


def test_the_sample_tool_writes_a_grid_and_single_files_of_the_same_images(tmp_path: Path, trainer: Trainer) -> None:
    write_pipeline(trainer, tmp_path / "pipeline")
    grid, folder = tmp_path / "grid.png", tmp_path / "single"
    pipeline = str(tmp_path / "pipeline")
    done = run_tool("sample", {**ASKED, "pipeline": pipeline, "grid": str(grid), "files": str(folder)})
    assert done.returncode == 0, done.stderr
    files = [str(folder / f"00000{index}.png") for index in range(4)]
    assert json.loads(done.stdout) == {"files": files, "warnings": []}
    assert done.stdout.count("\n") == 1
    assert grid.stat().st_size > 0
    assert [str(path) for path in sorted(folder.iterdir())] == files


def test_agreement_counts_the_likeliest_class_with_none_among_them() -> None:
    probabilities = torch.tensor([[0.6, 0.1], [0.3, 0.1], [0.1, 0.8], [0.2, 0.5]])  # the rest of each row is "none"
    assert label_agreement(probabilities, torch.tensor([0, 0, 0, 1])) == 0.5


def test_a_class_conditional_model_is_judged_by_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that answers with real digits of the class asked for, through one Euler step, is seen to agree."""
    monkeypatch.setattr(metric, "_TRAIN_STEPS", 150)
    images, labels = torch.from_numpy(digits()[0]), torch.from_numpy(digits()[1].astype(np.int64))
    scaled, scheduler = to_model_scale(images), FlowMatchEulerDiscreteScheduler()

    class Recall(Known):
        @classmethod
        def from_config(cls, _: object) -> torch.nn.Module:
            return Known(lambda x, *_: x, 11)

    def recall(of: int) -> Recall:
        def velocity(x: torch.Tensor, _: object, classes: torch.Tensor | None) -> torch.Tensor:
            assert classes is not None
            return x - torch.stack([scaled[labels == (c + of) % 10][at // 10] for at, c in enumerate(classes)])

        return Recall(velocity, 11)

    agreements: list[float] = []
    for of in (0, 1):
        result = evaluate(recall(of), scheduler, images, labels, 10, 100, Settings(1), seed=0)
        assert result.label_agreement is not None
        agreements.append(result.label_agreement)
        assert result.untrained_share == 0
    assert agreements[0] > 0.8
    assert agreements[1] < 0.1
    unconditional = Recall(lambda x, *_: x - scaled[: len(x)])
    assert evaluate(unconditional, scheduler, images, labels, 10, 20, Settings(1), seed=0).label_agreement is None


def test_a_pipeline_whose_weights_are_a_pickle_is_refused(tmp_path: Path, trainer: Trainer) -> None:
    write_pipeline(trainer, tmp_path / "pipeline")
    unet = tmp_path / "pipeline" / "unet"
    (unet / "diffusion_pytorch_model.safetensors").unlink()
    torch.save(trainer.network.state_dict(), unet / "diffusion_pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        load_pipeline(tmp_path / "pipeline")


def test_a_folder_of_unknown_classes_is_refused(tmp_path: Path, trainer: Trainer) -> None:
    write_pipeline(trainer, tmp_path / "pipeline")
    for part, base in (("unet/config.json", "ModelMixin"), ("scheduler/scheduler_config.json", "SchedulerMixin")):
        path = tmp_path / "pipeline" / part
        kept = path.read_text()
        assert sampler_of(load_pipeline(tmp_path / "pipeline")[1]) == "ddim"
        path.write_text(json.dumps({**json.loads(kept), "_class_name": "MyOwn"}))
        with pytest.raises(UsageError, match=f"_class_name: expected a {base} of diffusers, got MyOwn"):
            load_pipeline(tmp_path / "pipeline")
        path.write_text(kept)
    path = tmp_path / "pipeline" / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({"_class_name": "LCMScheduler"}))
    with pytest.raises(UsageError, match=r"scheduler: expected one of DDIMScheduler.*, got LCMScheduler"):
        load_pipeline(tmp_path / "pipeline")


@pytest.mark.parametrize(
    ("name", "request_", "message"),
    [
        ("sample", {"pipeline": "x"}, "missing required field `trustRemoteCode`"),
        ("evaluate", [], "expected a EvaluateRequest as JSON"),
        ("draw", {}, "expected one of sample, evaluate, measure, encode, plot, "),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_64(name: str, request_: object, message: str) -> None:
    done = run_tool(name, request_)
    assert (done.returncode, done.stdout) == (64, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
