"""Networks and objectives of the user's own: trained, saved, loaded elsewhere, and each mistake told as theirs."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.pipelines.ddim.pipeline_ddim import DDIMPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from training import make_batch, make_trainer, train, write_checkpoint
from training import write_pipeline as write_run_pipeline

from example import make_config
from immiscible_worker.errors import ConfigError, PairingError, UsageError
from immiscible_worker.failure import describe_failure
from immiscible_worker.network import build_network
from immiscible_worker.notice import describe_gate
from immiscible_worker.objective import build_objective
from immiscible_worker.sampler import check_settings, load_pipeline, sample, settings_of
from immiscible_worker.state import state_sha256
from immiscible_worker.user_module import save_network_source

EXAMPLES = Path(__file__).parents[2] / "py" / "examples"
OWN_NETWORK, OWN_OBJECTIVE = EXAMPLES / "own_network.py", EXAMPLES / "own_objective.py"
SHAPE = (1, 8, 8)

Write = Callable[[str, str], dict[str, Any]]


def section(path: Path, **options: Any) -> dict[str, Any]:
    """The section of a file, pinned as the orchestrator does."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"kind": "module", "module": str(path), "sha256": sha256, "options": options}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A section of a file of this source, from an example with something replaced."""

    def write_changed(name: str, source: str) -> dict[str, Any]:
        path = tmp_path / name
        path.write_text(source)
        return section(path)

    return write_changed


def build_with(network: dict[str, Any], num_classes: int = 0) -> Any:
    return build_network(make_config(network=network).network, SHAPE, num_classes)


def objective_with(objective: dict[str, Any]) -> Any:
    return build_objective(make_config(objective=objective).objective, 1.0, SHAPE)


def write_pipeline(network: Any, folder: Path) -> None:
    """What diffusers alone makes of it."""
    DDIMPipeline(unet=network, scheduler=DDIMScheduler()).save_pretrained(folder)


def own_network(**changes: str) -> str:
    """The example's source with some text replaced, each of which must be there."""
    return replace_all(OWN_NETWORK.read_text(), changes)


def replace_all(source: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in source, old
        source = source.replace(old, new)
    return source


def refusal(act: Callable[[], Any]) -> str:
    """The message of the ConfigError that `act` raises."""
    with pytest.raises(ConfigError) as caught:
        act()
    return str(caught.value)


def test_both_examples_train_together_and_resume_bit_for_bit(tmp_path: Path) -> None:
    config = make_config(
        network=section(OWN_NETWORK, channels=8, blocks=2, dropout=0.1),
        objective=section(OWN_OBJECTIVE, gamma=0.5),
        conditioning={"classLabels": True},
        gate={"everySteps": 1},
        optimizer={"learningRate": 0.01, "lrScheduler": "constant"},
        maxTrainSteps=40,
    )
    trainer = make_trainer(config)
    losses: list[float] = []
    while trainer.step < 40:
        losses.append(trainer.train_step(make_batch(trainer)).loss)
        if trainer.step == 20:
            write_checkpoint(tmp_path, trainer)
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])

    from immiscible_worker.checkpoint import load_newest
    from orchestrator import CONFIG_HASH, RUN_ID

    loaded = load_newest(tmp_path, RUN_ID, CONFIG_HASH, pytest.fail)
    assert loaded is not None
    resumed = make_trainer(config)
    resumed.load(loaded[1])
    assert resumed.step == 20
    assert state_sha256(train(resumed, 40).state()) == state_sha256(trainer.state())


def test_gate_holds_for_an_objective_of_ones_own(write: Write) -> None:
    """Control: the planted fault, noise of another row in the noised image, is found by its own expect()."""
    source = OWN_OBJECTIVE.read_text()
    faulty = source.replace("(1 - a).sqrt() * inputs.noise\n", "(1 - a).sqrt() * inputs.noise.roll(1, 0)\n", 1)
    assert faulty != source
    trainer = make_trainer(make_config(objective=write("faulty.py", faulty)))
    with pytest.raises(PairingError, match="sample is not made of what was received"):
        trainer.train_step(make_batch(trainer))


def test_objective_without_expect_leaves_the_gate_blind_which_is_said(write: Write) -> None:
    given = write("mine.py", replace_all(OWN_OBJECTIVE.read_text(), {"scheduler, loss, expect)": "scheduler, loss)"}))
    trainer = train(make_trainer(make_config(objective=given)), 1)
    (notice,) = describe_gate(trainer.config, trainer.objective)
    assert notice.code == "GATE_BLIND"
    assert "has no expect(), so nothing is compared" in notice.message
    assert describe_gate(make_config(gate={"everySteps": 0}), trainer.objective) == []
    assert describe_gate(trainer.config, objective_with(section(OWN_OBJECTIVE))) == []


def test_own_objective_with_gamma_zero_is_the_plain_epsilon_loss() -> None:
    plain = make_trainer(make_config())
    own = make_trainer(make_config(objective=section(OWN_OBJECTIVE, gamma=0)))
    for _ in range(2):
        ours, theirs = (trainer.train_step(make_batch(trainer)).loss for trainer in (plain, own))
        assert ours == pytest.approx(theirs, rel=1e-5)


def test_pipeline_of_a_users_network_loads_in_a_fresh_process(tmp_path: Path) -> None:
    network = build_with(section(OWN_NETWORK, channels=8, blocks=2)).eval()
    folder = tmp_path / "pipeline"
    write_pipeline(network, folder)
    assert save_network_source(network, folder)
    assert json.loads((folder / "model_index.json").read_text())["unet"] == ["network", "ResidualNet"]
    program = """
import sys, torch
from diffusers import DDIMPipeline
pipeline = DDIMPipeline.from_pretrained(sys.argv[1], trust_remote_code=True)
assert not any(name.startswith("immiscible") for name in sys.modules)
assert pipeline(num_inference_steps=2, output_type="np").images.shape == (1, 8, 8, 1)
torch.manual_seed(0)
print(pipeline.unet.eval()(torch.randn(2, 1, 8, 8), torch.tensor([1, 999])).sample.flatten()[:5].tolist())
"""
    environment = {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1", "PATH": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program, str(folder)]
    found = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert found.returncode == 0, found.stderr
    torch.manual_seed(0)
    with torch.no_grad():
        expected = network(torch.randn(2, *SHAPE), torch.tensor([1, 999])).sample.flatten()[:5]
    torch.testing.assert_close(torch.tensor(json.loads(found.stdout)), expected)

    (folder / "unet" / "network.py").unlink()
    without = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert without.returncode != 0, "control: without its source the class is nowhere"


def test_source_saved_is_the_one_that_was_run(write: Write, tmp_path: Path) -> None:
    given = write("mine.py", own_network())
    network = build_with(given)
    Path(given["module"]).write_text("edited while training")
    write_pipeline(network, tmp_path / "pipeline")
    save_network_source(network, tmp_path / "pipeline")
    assert (tmp_path / "pipeline" / "unet" / "network.py").read_text() == own_network()


def test_pipeline_of_a_run_with_both_is_loaded_where_its_code_is_trusted(tmp_path: Path) -> None:
    """By diffusers and by us; that code runs only where it is asked for."""
    config = make_config(network=section(OWN_NETWORK, channels=8, blocks=2), objective=section(OWN_OBJECTIVE))
    trainer = train(make_trainer(config), 2)
    folder = tmp_path / "pipeline"
    write_run_pipeline(trainer, folder)
    with pytest.raises(UsageError, match=r"its network is code in unet/network\.py"):
        load_pipeline(folder)
    network, scheduler = load_pipeline(folder, trust_remote_code=True)
    settings = settings_of(config.sampling)
    ours = sample(network, scheduler, 2, settings, 5)
    assert torch.equal(ours, sample(trainer.ema_network(), trainer.objective.scheduler, 2, settings, 5))
    program = """
import sys, torch
from diffusers import DiffusionPipeline
pipeline = DiffusionPipeline.from_pretrained(sys.argv[1], trust_remote_code=True)
assert not any(name.startswith("immiscible_worker") for name in sys.modules)
print(pipeline(batch_size=2, generator=torch.Generator().manual_seed(5), output_type="pt").images.flatten().tolist())
"""
    environment = {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1", "PATH": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program, str(folder)]
    found = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert found.returncode == 0, found.stderr
    theirs = torch.tensor(json.loads(found.stdout)).view_as(ours)
    torch.testing.assert_close(theirs, (ours / 2 + 0.5).clamp(0, 1))


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        ({"solver": "dopri5", "numInferenceSteps": 20}, "solver: only the flow sampler has it, this model's is ddim"),
        ({"numInferenceSteps": 2000}, "number of inference steps: expected 1..1000, got 2000"),
    ],
)
def test_sampling_that_an_objective_of_ones_own_does_not_have_is_refused(
    sampling: dict[str, Any], message: str
) -> None:
    config = make_config(objective=section(OWN_OBJECTIVE), sampling=sampling)
    scheduler = objective_with(section(OWN_OBJECTIVE)).scheduler
    with pytest.raises(ConfigError, match=re.escape(f"sampling: {message}")):
        check_settings(config.sampling, scheduler)
    check_settings(make_config().sampling, scheduler)
    if "solver" in sampling:
        check_settings(config.sampling, FlowMatchEulerDiscreteScheduler())


def test_network_of_diffusers_needs_no_source(tmp_path: Path) -> None:
    network = build_network(make_config().network, SHAPE, 0)
    write_pipeline(network, tmp_path)
    assert not save_network_source(network, tmp_path)
    assert not (tmp_path / "unet" / "network.py").exists()


def test_dotted_name_is_imported(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("dotted_network.py", own_network())
    monkeypatch.syspath_prepend(tmp_path)
    made = build_with({"kind": "module", "module": "dotted_network"})
    assert type(made).__module__ == "dotted_network"
    message = refusal(lambda: build_with({"kind": "module", "module": "no_such_network"}))
    assert message.startswith(
        "network.module: no_such_network: cannot be imported: ModuleNotFoundError: No module named"
    )


def test_building_and_trying_a_network_draws_what_building_alone_draws() -> None:
    torch.manual_seed(3)
    tried = build_with(section(OWN_NETWORK, dropout=0.5))
    after = torch.rand(1)
    torch.manual_seed(3)
    alone = type(tried)(**{name: value for name, value in tried.config.items() if not name.startswith("_")})
    assert torch.equal(after, torch.rand(1))
    assert all(torch.equal(a, b) for a, b in zip(tried.parameters(), alone.parameters(), strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"def build(": "def make("}, "expected a function build(context), got none"),
        (
            {"import torch\n": "import torch, nowhere\n"},
            "cannot be imported: ModuleNotFoundError: No module named 'nowhere'",
        ),
        (
            {"from __future__ import annotations\n": "from __future__ import annotations\nraise SystemExit(3)\n"},
            "SystemExit: 3",
        ),
        ({"channels, height, width = context": "1 / 0 #"}, "build() failed: ZeroDivisionError: division by zero"),
        (
            {"class ResidualNet(ModelMixin, ConfigMixin)": "class ResidualNet(nn.Module)", "@register_to_config": ""},
            "build(): expected a diffusers ModelMixin and ConfigMixin, so that the pipeline can be saved, got a Resid",
        ),
        ({"in_channels=channels": "in_channels=3"}, "expected in_channels 1 in its config, got 3"),
        ({"sample_size=(height, width)": "sample_size=16"}, "expected sample_size (8, 8) in its config, got (16, 16)"),
        (
            {"num_class_embeds": "num_labels"},
            "expected num_class_embeds None in its config, got nothing",
        ),
        (
            {"nn.GroupNorm(1, channels)": "nn.BatchNorm2d(channels)"},
            "its buffer norms.0.running_mean changes in training, as BatchNorm's statistics do",
        ),
        ({"UNet2DOutput(sample=self.out(hidden))": "self.out(hidden)"}, "expected an object with a tensor .sample"),
        ({"self.out(hidden))": "hidden)"}, "expected torch.float32 [2, 1, 8, 8], got torch.float32 [2, 32, 8, 8]"),
        ({".expand(len(sample))": "[:len(sample)]"}, "timestep [], class_labels) failed: IndexError"),
        (
            {
                "range(blocks)": "range(int(torch.ones(()).item()) * blocks + self.extra)",
                "super().__init__()": "super().__init__()\n        self.extra = ResidualNet.n = 1 + ResidualNet.n",
                "    @register_to_config": "    n = 0\n\n    @register_to_config",
            },
            "made again from its config (see diffusers' register_to_config): expected the same parameters, got another",
        ),
    ],
)
def test_mistakes_in_a_network_are_told_as_the_users(write: Write, change: dict[str, str], message: str) -> None:
    given = write("mine.py", own_network(**change))
    with pytest.raises(ConfigError) as caught:
        build_with(given)
    assert str(caught.value).startswith(f"network.module: {given['module']}: ")
    assert message in str(caught.value)
    failed, exit_code = describe_failure(caught.value, 0)
    assert (failed.code, failed.is_retryable, exit_code) == ("NETWORK", False, 78)


def test_traceback_shows_the_users_own_line(write: Write) -> None:
    given = write("mine.py", own_network(**{"channels, height, width = context.image_shape": "1 / 0  # mine"}))
    with pytest.raises(ConfigError) as caught:
        build_with(given)
    traceback = describe_failure(caught.value, 0)[0].traceback
    assert given["module"] in traceback
    assert "1 / 0  # mine" in traceback


def test_file_that_is_gone_or_changed_is_not_run(write: Write, tmp_path: Path) -> None:
    given = write("mine.py", own_network())
    path = Path(given["module"])
    path.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert "mine.py: has changed since the run was made: expected SHA-256" in refusal(lambda: build_with(given))
    assert not (tmp_path / "ran").exists()
    path.unlink()
    assert "mine.py: cannot be read: No such file or directory" in refusal(lambda: build_with(given))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"def build(": "def make("}, "expected a function build(context), got none"),
        ({"return Objective(": "return dict(kind="}, "build() failed: SyntaxError"),
        (
            {'return Objective("ddim", scheduler, loss, expect)': "return loss"},
            "build(): expected an Objective of immiscible_worker.objective, got a function",
        ),
        ({'Objective("ddim"': 'Objective("heun"'}, "sampler: expected one of ddim, consistency, flow, got 'heun'"),
        (
            {'Objective("ddim"': 'Objective("flow"'},
            "scheduler: expected a FlowMatchEulerDiscreteScheduler, got a DDIMScheduler",
        ),
        (
            {"scheduler, loss, expect": "scheduler, 5, expect"},
            "loss: expected a function of networks and inputs, got a int",
        ),
        ({"scheduler, loss, expect": "scheduler, loss, 5"}, "expect: expected a function or None, got a int"),
    ],
)
def test_mistakes_in_an_objective_are_told_as_the_users(write: Write, change: dict[str, str], message: str) -> None:
    given = write("mine.py", replace_all(OWN_OBJECTIVE.read_text(), change))
    if "SyntaxError" in message:
        message = "cannot be imported: SyntaxError"
    found = refusal(lambda: objective_with(given))
    assert found.startswith(f"objective.module: {given['module']}: ")
    assert message in found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight = (k": "weight = (nothing"}, "loss() failed: NameError: name 'nothing' is not defined"),
        (
            {"** 2).mean(), inputs.noise)": "** 2).mean((1, 2, 3)), inputs.noise)"},
            "loss().loss: expected a scalar tensor, got shape [16]",
        ),
        (
            {".mean(), inputs.noise)": ".mean(), 0)"},
            "loss().target: expected a tensor of shape [16, 1, 8, 8], got a int",
        ),
        (
            {"return LossResult((": "return ((", ".mean(), inputs.noise)": ".mean())"},
            "loss(): expected a LossResult, got a Tensor",
        ),
        ({"(inputs.uniforms[:, 0] *": "(inputs.uniform[:, 0] *"}, "expect() failed: AttributeError"),
    ],
)
def test_mistakes_while_training_are_told_as_the_users(write: Write, change: dict[str, str], message: str) -> None:
    given = write("mine.py", replace_all(OWN_OBJECTIVE.read_text(), change))
    trainer = make_trainer(make_config(objective=given))
    found = refusal(lambda: trainer.train_step(make_batch(trainer)))
    assert found.startswith(f"objective.module: {given['module']}: ")
    assert message in found


def test_gpu_without_memory_is_not_the_users_mistake(write: Write) -> None:
    planted = {"weight = (k": "raise torch.OutOfMemoryError('none left')\n        weight = (k"}
    source = replace_all(OWN_OBJECTIVE.read_text(), planted)
    trainer = make_trainer(make_config(objective=write("mine.py", source)))
    with pytest.raises(torch.OutOfMemoryError):
        trainer.train_step(make_batch(trainer))
