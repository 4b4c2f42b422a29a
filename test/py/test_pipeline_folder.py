"""The pipeline folder elsewhere: what diffusers makes of it, what the card says, what warns without a run folder."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline, DiffusionPipeline
from diffusers.utils import dynamic_modules_utils
from PIL import Image
from training import make_trainer, train, write_pipeline

from example import make_config
from immiscible_worker.errors import UsageError
from immiscible_worker.pixels import to_pixels
from immiscible_worker.record import read_record
from immiscible_worker.sampler import sample
from immiscible_worker.tool import run_tool
from immiscible_worker.trainer import Trainer

_ANY: dict[str, Any] = {"within": "pool", "startStep": 0}
COUPLED: dict[str, Any] = {"kind": "quantized", "tolerance": 0.001, **_ANY}
LINEAR: dict[str, Any] = {"kind": "linear", "metric": "l2", "precision": "float16", **_ANY}
CUSTOM: dict[str, Any] = {"kind": "custom", "name": "mine", **_ANY}


@pytest.fixture(scope="module")
def scaled() -> Trainer:
    """Trained for a moment on images times 2."""
    return train(make_trainer(make_config(dataset={"imageScale": 2}, assignment=COUPLED)), 5)


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers copies a folder's pipeline.py to a cache before it imports it: not to the user's."""
    monkeypatch.setattr(dynamic_modules_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))


def run_card(folder: Path) -> list[Image.Image]:
    """Executes the card's code as its reader would, in this folder's name."""
    [code] = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code.replace("path/to/this/folder", str(folder)), names)
    return names["images"]


class Tool:
    """The sample tool in this process: the same entry, a process less."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys

    def __call__(self, pipeline: Path, eta: float) -> tuple[list[dict[str, str]], str]:
        """Its warnings, and what it wrote on stderr."""
        request = {"pipeline": str(pipeline), "numImages": 2, "numInferenceSteps": 2, "seed": 0, "eta": eta}
        text = json.dumps({**request, "output": str(pipeline.parent / "grid.png")})
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        code = run_tool(["sample"])
        said = self.capsys.readouterr()
        assert code == 0, said.err
        return json.loads(said.out)["warnings"], said.err


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tool:
    """The sample tool."""
    return Tool(monkeypatch, capsys)


def test_a_scale_of_one_is_diffusers_own_pipeline_and_two_files_more(tmp_path: Path) -> None:
    trainer = make_trainer()
    write_pipeline(trainer, tmp_path / "ours")
    DDIMPipeline(unet=trainer.ema_network(), scheduler=trainer.objective.scheduler).save_pretrained(tmp_path / "theirs")
    ours, theirs = (
        {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "ours", tmp_path / "theirs")
    )
    assert ours.keys() - theirs.keys() == {"README.md", "immiscible.json"}
    assert {name: ours[name] for name in theirs} == theirs


def test_the_cards_code_draws_images(tmp_path: Path, scaled: Trainer) -> None:
    plain = make_trainer()
    for trainer, name in ((plain, "plain"), (scaled, "scaled")):
        write_pipeline(trainer, tmp_path / name)
        images = run_card(tmp_path / name)
        assert [(type(image), image.size) for image in images] == [(Image.Image, (8, 8))] * 16


def test_a_scaled_pipeline_draws_what_we_draw_and_a_plain_one_refuses_it(tmp_path: Path, scaled: Trainer) -> None:
    folder = tmp_path / "pipeline"
    write_pipeline(scaled, folder)
    for given in ({}, {"custom_pipeline": str(folder)}, {"custom_pipeline": str(folder / "pipeline.py")}):
        pipeline = cast(Any, DiffusionPipeline.from_pretrained(folder, trust_remote_code=True, **given))
        assert type(pipeline).__name__ == "ScaledDDIMPipeline"
        assert (pipeline.config.image_scale, pipeline.scheduler.config.clip_sample_range) == (2, 2)
    pipeline.set_progress_bar_config(disable=True)
    for eta in (0.0, 0.6):
        generator = torch.Generator("cpu").manual_seed(3)
        theirs = pipeline(batch_size=4, num_inference_steps=5, generator=generator, eta=eta, output_type="np").images
        scheduler = scaled.objective.scheduler
        ours = sample(scaled.ema_network(), scheduler, 4, 5, seed=3, eta=eta, image_scale=2)
        np.testing.assert_array_equal((ours / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy(), theirs)
        unscaled = sample(scaled.ema_network(), scheduler, 4, 5, seed=3, eta=eta)
        assert not torch.equal(to_pixels(unscaled), to_pixels(ours))
    for load in (DDIMPipeline.from_pretrained, DiffusionPipeline.from_pretrained):
        with pytest.raises(ValueError, match="trust_remote_code=True"):
            load(folder)


def test_a_perfect_network_gives_the_images_back_at_any_scale() -> None:
    """Also those at the ends of the range, which a clip at 1 would halve."""
    image = torch.linspace(-1, 1, 64).view(1, 1, 8, 8)
    for image_scale in (1.0, 2.0, 4.0):
        trainer = make_trainer(make_config(dataset={"imageScale": image_scale}))
        network, scheduler = trainer.ema_network(), trainer.objective.scheduler
        kept = scheduler.alphas_cumprod

        def guess(noisy: torch.Tensor, t: torch.Tensor, kept: Any = kept, scale: float = image_scale) -> Any:
            noise = (noisy - kept[t] ** 0.5 * scale * image) / (1 - kept[t]) ** 0.5
            return type("Answer", (), {"sample": noise})

        network.forward = guess  # pyright: ignore[reportAttributeAccessIssue]
        for eta in (0.0, 1.0):
            samples = sample(network, scheduler, 3, 20, seed=0, eta=eta, image_scale=image_scale)
            torch.testing.assert_close(samples, image.expand(3, 1, 8, 8), rtol=0, atol=1e-3)
    scheduler.register_to_config(clip_sample_range=1.0)
    assert sample(network, scheduler, 3, 20, seed=0, image_scale=4.0).abs().max() < 0.5


@pytest.mark.parametrize("section", [COUPLED, LINEAR, CUSTOM])
def test_a_stochastic_sampler_of_a_coupled_pipeline_warns_wherever_it_lies(
    tmp_path: Path, tool: Tool, section: Any
) -> None:
    write_pipeline(make_trainer(make_config(assignment=section)), tmp_path / "run" / "pipeline")
    elsewhere = tmp_path / "elsewhere"
    shutil.move(tmp_path / "run" / "pipeline", elsewhere)
    [warning], said = tool(elsewhere, 0.2)
    assert warning["code"] == "SAMPLER_COUPLED"
    assert "eta: 0.2 makes the sampler draw fresh noise" in warning["message"]
    assert f"assignment '{section['kind']}'" in warning["message"]
    assert said == f"[immiscible] [worker:tool] SAMPLER_COUPLED: {warning['message']}\n"
    assert tool(elsewhere, 0)[0] == []
    card = (elsewhere / "README.md").read_text()
    assert f"| assignment | `{section['kind']}`" in card
    assert all(f", {name} `{json.dumps(value)}`" in card for name, value in section.items() if name != "kind")
    assert "use eta = 0" in card


def test_an_independent_pipeline_and_one_that_is_not_ours_do_not_warn(tmp_path: Path, tool: Tool) -> None:
    pipeline = tmp_path / "pipeline"
    write_pipeline(make_trainer(), pipeline)
    assert "so any eta fits" in (pipeline / "README.md").read_text()
    assert tool(pipeline, 1)[0] == []
    (pipeline / "immiscible.json").unlink()
    assert tool(pipeline, 1)[0] == []


def test_a_record_that_is_malformed_is_said(tmp_path: Path) -> None:
    (tmp_path / "immiscible.json").write_text('{"format": "immiscible-pipeline/2"}')
    with pytest.raises(UsageError, match=r"immiscible\.json: expected an immiscible-pipeline/1 record"):
        read_record(tmp_path)
