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
from diffusers.pipelines.ddim.pipeline_ddim import DDIMPipeline
from PIL import Image
from training import make_trainer, train, write_pipeline

from example import digits
from immiscible_worker import sampler
from immiscible_worker.metric import classify, confident_share, make_garbage, train_classifier
from immiscible_worker.pixels import to_model_scale, to_pixels
from immiscible_worker.sampler import load_pipeline, sample, write_grid
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
    generator = torch.Generator("cpu").manual_seed(3)
    theirs = pipeline(batch_size=4, num_inference_steps=5, generator=generator, eta=0.0, output_type="np").images
    ours = sample(trainer.ema_network(), trainer.objective.scheduler, 4, 5, seed=3)
    np.testing.assert_array_equal((ours / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy(), theirs)
    assert [path.name for path in tmp_path.iterdir()] == ["pipeline"]


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_stochastic_samples_are_those_of_diffusers(tmp_path: Path, trainer: Trainer, eta: float) -> None:
    write_pipeline(trainer, tmp_path / "pipeline")
    pipeline = cast(Any, DDIMPipeline.from_pretrained(tmp_path / "pipeline"))
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator("cpu").manual_seed(3)
    theirs = pipeline(batch_size=4, num_inference_steps=5, generator=generator, eta=eta, output_type="np").images
    ours = sample(trainer.ema_network(), trainer.objective.scheduler, 4, 5, seed=3, eta=eta)
    np.testing.assert_array_equal((ours / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy(), theirs)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_samples_do_not_depend_on_how_many_the_network_sees(
    monkeypatch: pytest.MonkeyPatch, trainer: Trainer, eta: float
) -> None:
    def draw(seed: int = 3) -> torch.Tensor:
        torch.manual_seed(int(torch.seed()) % 1000)  # a global generator elsewhere each time
        return sample(trainer.ema_network(), trainer.objective.scheduler, 7, 5, seed=seed, eta=eta)

    whole = draw()
    assert torch.equal(draw(), whole)
    for chunk in (1, 3, 4):
        monkeypatch.setattr(sampler, "_CHUNK", chunk)
        # Convolutions of another batch size round otherwise; another noise would differ by far more.
        torch.testing.assert_close(draw(), whole, rtol=0, atol=1e-4)
    assert (draw(seed=4) - whole).abs().max() > 0.5


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
    untrained = sample(trainer.ema_network(), trainer.objective.scheduler, 128, 10, seed=0)
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


def test_the_sample_tool_writes_a_grid_and_says_where(tmp_path: Path, trainer: Trainer) -> None:
    write_pipeline(trainer, tmp_path / "pipeline")
    output = str(tmp_path / "grid.png")
    request = {"pipeline": str(tmp_path / "pipeline"), "numImages": 4, "numInferenceSteps": 2, "seed": 0, "eta": 0}
    done = run_tool("sample", {**request, "output": output})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"path": output, "warnings": []}
    assert done.stdout.count("\n") == 1
    assert Path(output).stat().st_size > 0


@pytest.mark.parametrize(
    ("name", "request_", "message"),
    [
        ("sample", {"pipeline": "x"}, "missing required field `numImages`"),
        ("evaluate", [], "expected a EvaluateRequest as JSON"),
        ("draw", {}, "expected one of sample, evaluate, got 'draw'"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_64(name: str, request_: object, message: str) -> None:
    done = run_tool(name, request_)
    assert (done.returncode, done.stdout) == (64, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
