"""Training is a pure function of config and step: interrupted, sampled or neither, it ends in the same state."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training import make_batch, make_trainer, train, write_checkpoint

from example import make_config
from immiscible_worker.checkpoint import load_newest
from immiscible_worker.codec import StagedBatch
from immiscible_worker.device import resolve_device
from immiscible_worker.errors import ConfigError, NonFiniteError
from immiscible_worker.optimization import build_learning_rate
from immiscible_worker.sampler import sample
from immiscible_worker.sampling import Settings
from immiscible_worker.state import state_sha256
from immiscible_worker.trainer import Trainer
from orchestrator import CONFIG_HASH, RUN_ID

# Dropout, so that a generator which is carried from step to step would show.
CONFIG = make_config(network={"dropout": 0.2})


@pytest.fixture(scope="module")
def straight_60() -> str:
    """The digest of 60 steps without a break."""
    return state_sha256(train(make_trainer(CONFIG), 60).state())


@pytest.fixture(scope="module")
def after_25() -> Trainer:
    """25 steps of the same run. Tests do not change it."""
    return train(make_trainer(CONFIG), 25)


def test_25_steps_a_resume_and_35_more_are_60_steps(tmp_path: Path, after_25: Trainer, straight_60: str) -> None:
    write_checkpoint(tmp_path, after_25)
    torch.manual_seed(999)
    loaded = load_newest(tmp_path, RUN_ID, CONFIG_HASH, pytest.fail)
    assert loaded is not None
    resumed = make_trainer(CONFIG)
    resumed.load(loaded[1])
    assert state_sha256(train(resumed, 60).state()) == straight_60


def test_a_resume_without_the_ema_would_be_noticed(after_25: Trainer, straight_60: str) -> None:
    resumed = make_trainer(CONFIG)
    state = after_25.state()
    resumed.load(replace(state, ema=state.network))
    assert state_sha256(train(resumed, 60).state()) != straight_60


def test_sampling_does_not_change_training(straight_60: str) -> None:
    trainer = make_trainer(CONFIG)
    states: list[bool] = []

    def look() -> None:
        if trainer.step % 20 == 0:
            before = torch.get_rng_state()
            sample(trainer.ema_network(), trainer.objective.scheduler, 4, Settings(3), seed=0)
            states.append(torch.equal(torch.get_rng_state(), before) and trainer.network.training)

    assert state_sha256(train(trainer, 60, look).state()) == straight_60
    assert states == [True, True, True]


def test_other_draws_in_the_process_do_not_change_training() -> None:
    first = state_sha256(train(make_trainer(CONFIG), 3).state())
    assert state_sha256(train(make_trainer(CONFIG), 3, lambda: torch.manual_seed(1) and None).state()) == first


def test_seeds_differ() -> None:
    assert state_sha256(make_trainer(make_config(seed=1)).state()) != state_sha256(make_trainer().state())


def test_constant_decay_is_min_decay_equal_to_decay() -> None:
    trainer = make_trainer(make_config(ema={"decay": 0.9, "minDecay": 0.9}))
    decays: list[float] = []
    for _ in range(3):
        decays.append(trainer.train_step(make_batch(trainer)).ema_decay)
    assert decays == [0.0, 0.9, 0.9], "the first update copies"


def test_the_learning_rate_warms_up_and_stays() -> None:
    rate = build_learning_rate(make_config().optimizer)
    assert [rate(step) for step in (0, 5, 10, 500)] == [0.0, 0.0005, 0.001, 0.001]


def test_a_loss_that_is_not_finite_stops_before_the_update() -> None:
    trainer = train(make_trainer(), 1)
    before = state_sha256(trainer.state())
    batch = make_batch(trainer)
    noise = batch.noise.clone()
    noise[3] = torch.inf
    bad = StagedBatch(batch.step, batch.images, noise, batch.labels, batch.uniforms, batch.sha256)
    with pytest.raises(NonFiniteError, match="step 1: the loss is"):
        trainer.train_step(bad)
    assert state_sha256(trainer.state()) == before


def test_a_device_that_is_not_there_is_said() -> None:
    assert resolve_device("cpu").type == "cpu"
    if not torch.backends.mps.is_available():
        with pytest.raises(ConfigError, match=r"worker\.device: expected one of .*cpu, .*got mps"):
            resolve_device("mps")


def test_blocks_that_do_not_fit_the_images_are_said() -> None:
    deep = {
        "blockOutChannels": [8] * 5,
        "downBlockTypes": ["DownBlock2D"] * 5,
        "upBlockTypes": ["UpBlock2D"] * 5,
    }
    with pytest.raises(ConfigError, match=r"network\.blockOutChannels: expected image sides divisible by 16"):
        make_trainer(make_config(network=deep))
