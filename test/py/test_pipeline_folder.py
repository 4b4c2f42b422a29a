"""The pipeline folder elsewhere: what diffusers makes of it, what the card says, what warns without a run folder."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import msgspec
import numpy as np
import pytest
import torch
from diffusers import (
    CMStochasticIterativeScheduler,
    DDIMPipeline,
    DDIMScheduler,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
)
from diffusers.utils import dynamic_modules_utils
from networks import Known, random_unet
from PIL import Image
from training import make_origin, make_trainer, train, write_pipeline

import example
from example import digits, make_config, make_dataset
from immiscible_worker.card import pipeline_files
from immiscible_worker.errors import UsageError
from immiscible_worker.pixels import to_pixels
from immiscible_worker.record import read_record
from immiscible_worker.sampler import load_pipeline, sample, save_pipeline, settings_of
from immiscible_worker.sampling import Settings
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
        code, answer, said = self.ask(pipeline, numInferenceSteps=2, eta=eta)
        assert code == 0, said
        return answer["warnings"], said

    def ask(self, pipeline: Path, **asked: Any) -> tuple[int, Any, str]:
        """Its exit code, its answer, and what it wrote on stderr. What is not asked is null."""
        options = ("numInferenceSteps", "eta", "timestepSpacing", "useClippedModelOutput", "solver", "guidanceScale")
        request = {**dict.fromkeys((*options, "classLabels")), "pipeline": str(pipeline), "numImages": 2, "seed": 0}
        request["trustRemoteCode"] = False
        text = json.dumps({**request, "grid": str(pipeline.parent / "grid.png"), "files": None, **asked})
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        code = run_tool(["sample"])
        said = self.capsys.readouterr()
        return code, json.loads(said.out or "null"), said.err


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tool:
    """The sample tool."""
    return Tool(monkeypatch, capsys)


def test_a_scale_of_one_is_diffusers_own_pipeline_and_two_files_more(tmp_path: Path) -> None:
    trainer = make_trainer()
    write_pipeline(trainer, tmp_path / "ours")
    network: Any = trainer.ema_network()
    DDIMPipeline(unet=network, scheduler=trainer.objective.scheduler).save_pretrained(tmp_path / "theirs")
    ours, theirs = (
        {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "ours", tmp_path / "theirs")
    )
    assert ours.keys() - theirs.keys() == {"README.md", "immiscible.json"}
    assert {name: ours[name] for name in theirs} == theirs


class Case(NamedTuple):
    """A pipeline to save: what it must be, of what, and the call that is compared."""

    pipeline: str
    scheduler: Any
    settings: Settings
    channels: int = 1
    num_classes: int = 0
    image_scale: float = 1.0
    call: Mapping[str, Any] = MappingProxyType({})


DDIM, CONSISTENCY = DDIMScheduler(), CMStochasticIterativeScheduler()
FLOW = FlowMatchEulerDiscreteScheduler()
OURS = "ImmisciblePipeline"
CASES = {
    "ddim": Case("DDIMPipeline", DDIM, Settings(5, eta=0.3), call={"num_inference_steps": 5, "eta": 0.3}),
    "trailing": Case("DDIMPipeline", DDIM, Settings(5, timestep_spacing="trailing"), call={"num_inference_steps": 5}),
    "quadratic": Case(OURS, DDIM, Settings(5, timestep_spacing="quadratic", use_clipped_model_output=True)),
    "scaled-ddim": Case(OURS, DDIMScheduler(clip_sample_range=2), Settings(5, eta=0.6), image_scale=2),
    "labelled-ddim": Case(OURS, DDIM, Settings(5, guidance_scale=2), num_classes=3),
    "consistency": Case("ConsistencyModelPipeline", CONSISTENCY, Settings(1), 3),
    "two-steps": Case("ConsistencyModelPipeline", CONSISTENCY, Settings(2), 3, call={"num_inference_steps": 2}),
    "scaled-consistency": Case(OURS, CONSISTENCY, Settings(2), 3, image_scale=2),
    "labelled-consistency": Case(OURS, CONSISTENCY, Settings(1, guidance_scale=0), num_classes=3),
    "flow": Case(OURS, FLOW, Settings(5), 3),
    "dopri5": Case(OURS, FlowMatchEulerDiscreteScheduler(num_train_timesteps=2), Settings(solver="dopri5")),
    "labelled-flow": Case(OURS, FLOW, Settings(5, guidance_scale=3), num_classes=3, image_scale=2),
}

# What somebody has who knows diffusers, and not us.
ELSEWHERE = """
import sys, json
from pathlib import Path
import numpy, torch, diffusers
try:
    import immiscible_worker
    sys.exit("immiscible_worker is there")
except ImportError:
    pass
for name, (stock, call) in json.loads(sys.argv[1]).items():
    if stock:
        pipeline = getattr(diffusers, stock).from_pretrained(name)
    else:
        pipeline = diffusers.DiffusionPipeline.from_pretrained(Path(name).absolute(), trust_remote_code=True)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator("cpu").manual_seed(3)
    images = pipeline(batch_size=4, generator=generator, output_type="np", **call).images
    numpy.save(name + ".npy", images)
"""


def test_every_pipeline_draws_what_we_draw_in_a_process_that_does_not_have_us(tmp_path: Path) -> None:
    calls: dict[str, Any] = {}
    for name, case in CASES.items():
        network = random_unet(case.channels, case.num_classes)
        save_pipeline(network, case.scheduler, tmp_path / name, case.settings, case.image_scale, {})
        [*_, said] = [json.loads((tmp_path / name / "model_index.json").read_text())["_class_name"]]
        assert said == (["pipeline", OURS] if case.pipeline == OURS else case.pipeline), name
        calls[name] = (None if case.pipeline == OURS else case.pipeline, dict(case.call))
    environment = {"HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-I", "-c", ELSEWHERE, json.dumps(calls)]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for name, case in CASES.items():
        network, scheduler = load_pipeline(tmp_path / name)
        ours = sample(network, scheduler, 4, case.settings, seed=3, image_scale=case.image_scale)
        theirs = np.load(tmp_path / f"{name}.npy")
        np.testing.assert_array_equal((ours / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy(), theirs, err_msg=name)
        other = sample(network, scheduler, 4, case.settings, seed=4, image_scale=case.image_scale)
        assert not torch.equal(ours, other), name
    torch.set_num_threads(threads)


def test_a_call_says_what_it_wants_and_a_bad_one_is_refused(tmp_path: Path) -> None:
    network = random_unet(1, num_classes=3)
    save_pipeline(network, FLOW, tmp_path / "flow", Settings(5, guidance_scale=2), 1.0, {})
    pipeline = cast(Any, DiffusionPipeline.from_pretrained(tmp_path / "flow", trust_remote_code=True))
    pipeline.set_progress_bar_config(disable=True)

    def draw(**options: Any) -> torch.Tensor:
        generator = torch.Generator("cpu").manual_seed(3)
        return pipeline(batch_size=4, generator=generator, output_type="pt", **options).images

    def expect(settings: Settings, labels: list[int] | None = None) -> torch.Tensor:
        return (sample(network, FLOW, 4, settings, seed=3, class_labels=labels) / 2 + 0.5).clamp(0, 1)

    assert torch.equal(draw(), expect(Settings(5, guidance_scale=2)))
    assert torch.equal(draw(guidance_scale=1, num_inference_steps=3), expect(Settings(3)))
    assert torch.equal(draw(class_labels=[1, 2]), expect(Settings(5, guidance_scale=2), [1, 2, 1, 2]))
    assert torch.equal(draw(class_labels=1), expect(Settings(5, guidance_scale=2), [1]))
    assert isinstance(pipeline(batch_size=1, num_inference_steps=1, return_dict=False)[0][0], Image.Image)
    with pytest.raises(ValueError, match="eta: only the ddim sampler has it"):
        draw(eta=0.5)
    with pytest.raises(ValueError, match=r"class labels: expected 1\.\.4 of them"):
        draw(class_labels=[3])


def test_the_cards_code_draws_images(tmp_path: Path, scaled: Trainer) -> None:
    plain = make_trainer()
    for trainer, name in ((plain, "plain"), (scaled, "scaled")):
        write_pipeline(trainer, tmp_path / name)
        images = run_card(tmp_path / name)
        assert [(type(image), image.size) for image in images] == [(Image.Image, (8, 8))] * 16


def test_a_pipeline_of_ours_says_its_scale_and_a_plain_one_refuses_it(tmp_path: Path, scaled: Trainer) -> None:
    folder = tmp_path / "pipeline"
    write_pipeline(scaled, folder)
    for given in ({}, {"custom_pipeline": str(folder)}, {"custom_pipeline": str(folder / "pipeline.py")}):
        pipeline = cast(Any, DiffusionPipeline.from_pretrained(folder, trust_remote_code=True, **given))
        assert type(pipeline).__name__ == "ImmisciblePipeline"
        assert (pipeline.config.image_scale, pipeline.scheduler.config.clip_sample_range) == (2, 2)
    network, scheduler = scaled.ema_network(), scaled.objective.scheduler
    drawn, unscaled = (sample(network, scheduler, 4, Settings(5), seed=3, image_scale=scale) for scale in (2, 1))
    assert not torch.equal(to_pixels(unscaled), to_pixels(drawn))
    for load in (DDIMPipeline.from_pretrained, DiffusionPipeline.from_pretrained):
        with pytest.raises(ValueError, match="trust_remote_code=True"):
            load(folder)


def test_a_perfect_network_gives_the_images_back_at_any_scale() -> None:
    """Also those at the ends of the range, which a clip at 1 would halve."""
    image = torch.linspace(-1, 1, 64).view(1, 1, 8, 8)
    for image_scale in (1.0, 2.0, 4.0):
        trainer = make_trainer(make_config(dataset={"imageScale": image_scale}))
        scheduler = trainer.objective.scheduler
        kept = scheduler.alphas_cumprod

        def guess(noisy: torch.Tensor, t: torch.Tensor, _: Any, kept: Any = kept, scale: float = image_scale) -> Any:
            return (noisy - kept[t] ** 0.5 * scale * image) / (1 - kept[t]) ** 0.5

        network = Known(guess)
        for eta, spacing in itertools.product((0.0, 1.0), ("leading", "quadratic")):
            settings = Settings(20, eta=eta, timestep_spacing=spacing)
            samples = sample(network, scheduler, 3, settings, seed=0, image_scale=image_scale)
            torch.testing.assert_close(samples, image.expand(3, 1, 8, 8), rtol=0, atol=1e-3)
    scheduler.register_to_config(clip_sample_range=1.0)
    assert sample(network, scheduler, 3, Settings(20), seed=0, image_scale=4.0).abs().max() < 0.5


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
    (tmp_path / "immiscible.json").write_text('{"format": "immiscible-pipeline/1"}')
    with pytest.raises(UsageError, match=r"immiscible\.json: expected an immiscible-pipeline/2 record"):
        read_record(tmp_path)


def describe(folder: Path, scheduler: Any, num_classes: int = 0, metrics: Any = None, **sections: Any) -> str:
    """Saves a pipeline of a random network under a config with these sections; answers its card."""
    config = make_config(**sections)
    network, dataset = random_unet(1, num_classes), make_dataset(digits()[0])
    files = pipeline_files(config, dataset, scheduler, make_origin(), 8, "5" * 64, network, metrics)
    settings = settings_of(config.sampling)
    save_pipeline(network, scheduler, folder, settings, config.dataset.image_scale, files)
    return (folder / "README.md").read_text()


FLOW_OBJECTIVE = {"kind": "flow", "timeSampling": "uniform", "logitMean": 0, "logitStd": 1, "numTrainTimesteps": 1000}
CONSISTENCY_OBJECTIVE: dict[str, Any] = {
    "kind": "consistency",
    "preset": "improved",
    "sigmaMin": 0.002,
    "sigmaMax": 80,
    "rho": 7,
    "sigmaData": 0.5,
    "discretization": "doubling",
    "s0": 10,
    "s1": 1280,
    "discretizationSteps": 8,
    "levelSampling": "lognormal",
    "pMean": -1.1,
    "pStd": 2,
    "targetEma": "none",
    "startEma": 0.9,
    "weighting": "inverse_gap",
    "loss": "pseudo_huber",
    "huberC": None,
    "lpipsWeights": None,
    "lpipsSha256": None,
}


@pytest.mark.parametrize(
    ("scheduler", "objective", "said"),
    [
        (DDIM, {"predictionType": "v_prediction", "snrGamma": 5}, ["- ddim", "2006.11239", "2202.00512", "2303.09556"]),
        (CONSISTENCY, CONSISTENCY_OBJECTIVE, ["- consistency-models", "2310.14189", "trained for one step"]),
        (CONSISTENCY, {**CONSISTENCY_OBJECTIVE, "preset": "original"}, ["consistency training (Song", "2303.01469"]),
        (FLOW, FLOW_OBJECTIVE, ["- flow-matching", "2209.03003", 'solver="dopri5"']),
        (FLOW, {**FLOW_OBJECTIVE, "timeSampling": "logit_normal"}, ["2403.03206"]),
        (
            FLOW,
            {"kind": "module", "module": "mine.py", "sha256": None, "options": {"a": 1}},
            ["an objective of the user's own, `mine.py`; its sampler is `flow`"],
        ),
    ],
)
def test_the_card_says_what_was_trained_and_its_code_draws_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheduler: Any, objective: Any, said: list[str]
) -> None:
    config = make_config()
    given = {**msgspec.to_builtins(config.objective), **objective} if "kind" not in objective else objective
    monkeypatch.setitem(example._CONFIG, "objective", given)  # pyright: ignore[reportPrivateUsage]
    card = describe(tmp_path / "pipeline", scheduler, sampling={"numInferenceSteps": 2})
    assert all(text in card for text in said), card
    assert "unconditional-image-generation" in card
    assert "## Metrics" not in card
    assert [image.size for image in run_card(tmp_path / "pipeline")] == [(8, 8)] * 16


def test_the_card_of_a_labelled_model_tells_its_classes_and_guidance(tmp_path: Path) -> None:
    labelled = {"classLabels": True, "labelDropout": 0.2}
    metrics = {"held-out loss": 0.123456789, "training loss": 0.25}
    sampling = {"guidanceScale": 1.5, "numInferenceSteps": 2, "useClippedModelOutput": True}
    card = describe(tmp_path / "card", DDIM, 10, metrics, conditioning=labelled, sampling=sampling)
    assert card.startswith("---\nlibrary_name: diffusers\ntags:\n- diffusers\n- ddim\n")
    assert "A class-conditional model of 1 x 8 x 8 images" in card
    assert "one or several of 0..9" in card
    assert "left out for 20% of the images" in card
    assert "| held-out loss | 0.123457 |\n| training loss | 0.25 |" in card
    assert [image.size for image in run_card(tmp_path / "card")] == [(8, 8)] * 16
    record = read_record(tmp_path / "card")
    assert record is not None
    assert (record.sampler, record.num_classes, record.conditioning.label_dropout) == ("ddim", 10, 0.2)
    assert (record.sampling.guidance_scale, record.sampling.use_clipped_model_output) == (1.5, True)


@pytest.mark.parametrize(
    ("scheduler", "num_classes", "asked", "message"),
    [
        (CONSISTENCY, 0, {"eta": 0.5}, "eta: only the ddim sampler has it, this model's is consistency; got 0.5"),
        (FLOW, 0, {"timestepSpacing": "trailing"}, "timestep spacing: only the ddim sampler has it"),
        (DDIM, 0, {"solver": "dopri5"}, "solver: only the flow sampler has it, this model's is ddim; got dopri5"),
        (DDIM, 0, {"classLabels": [0]}, "class labels: expected none, since the model is unconditional, got [0]"),
        (DDIM, 0, {"guidanceScale": 2}, "guidance scale: expected 1, since the model was not trained on labels"),
        (FLOW, 10, {"classLabels": [10]}, "each in 0..9, got [10]"),
        (FLOW, 10, {"numInferenceSteps": 5, "solver": "dopri5"}, "steps: expected none with dopri5"),
    ],
)
def test_the_tool_refuses_what_does_not_fit_in_one_line(
    tmp_path: Path, tool: Tool, scheduler: Any, num_classes: int, asked: dict[str, Any], message: str
) -> None:
    describe(tmp_path / "model", scheduler, num_classes, conditioning={"classLabels": num_classes > 0})
    code, answer, said = tool.ask(tmp_path / "model", **asked)
    assert (code, answer) == (64, None)
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "grid.png").exists()


def test_the_tool_takes_from_the_record_what_is_not_asked(tmp_path: Path, tool: Tool) -> None:
    labelled, folder = {"classLabels": True}, tmp_path / "model"
    describe(folder, FLOW, 10, conditioning=labelled, sampling={"numInferenceSteps": 3, "guidanceScale": 2})
    grid = tmp_path / "grid.png"
    pixels: list[bytes] = []
    for asked in ({}, {"numInferenceSteps": 3, "guidanceScale": 2, "classLabels": [0, 1]}, {"guidanceScale": 1}):
        assert tool.ask(folder, **asked)[0] == 0
        pixels.append(grid.read_bytes())
    assert pixels[0] == pixels[1] != pixels[2]
    # Without its record: 50 steps, and no word on labels having been left out.
    (folder / "immiscible.json").unlink()
    assert tool.ask(folder, numInferenceSteps=3)[0] == 0
    assert grid.read_bytes() == pixels[2]
    assert tool.ask(folder, guidanceScale=2)[0] == 64
