"""Every objective, with accumulation, half precision and both EMA forms: interrupted or not, it ends in one state."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training import make_trainer, train, write_checkpoint

from example import make_config
from immiscible_worker.checkpoint import load_newest
from immiscible_worker.protocol import TrainConfig
from immiscible_worker.state import TrainState, state_sha256
from orchestrator import CONFIG_HASH, RUN_ID

OBJECTIVES: dict[str, dict[str, Any]] = {
    "epsilon": {"kind": "ddim", "betaSchedule": "squaredcos_cap_v2"},
    "v": {"kind": "ddim", "predictionType": "v_prediction", "snrGamma": 5},
    # Curricula that change while the run lasts, so that a step counted wrong would show.
    "consistency, original": {"kind": "consistency", "preset": "original", "s1": 20, "discretizationSteps": 12},
    "consistency, improved": {"kind": "consistency", "s0": 2, "s1": 16, "discretizationSteps": 12},
    "flow": {"kind": "flow", "timeSampling": "logit_normal"},
}
EMAS: dict[str, dict[str, Any]] = {
    "constant": {"decay": 0.9, "minDecay": 0.9},
    "warm-up": {"decay": 0.99, "useEmaWarmup": True, "power": 0.75},
}
LABELS: dict[str, Any] = {"classLabels": True, "labelDropout": 0.3}
BF16 = {"mixedPrecision": "bf16", "gradientAccumulationSteps": 2}


def config_of(objective: str, ema: str, **sections: Any) -> TrainConfig:
    """Small, with dropout and labels."""
    given: dict[str, Any] = {"network": {"dropout": 0.2}, "conditioning": LABELS, "training": BF16, **sections}
    return make_config(objective=OBJECTIVES[objective], ema=EMAS[ema], **given)


def load(folder: Path) -> TrainState:
    """The state of the only checkpoint."""
    loaded = load_newest(folder, RUN_ID, CONFIG_HASH, pytest.fail)
    assert loaded is not None
    return loaded[1]


@pytest.mark.parametrize("ema", EMAS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_5_steps_a_resume_and_7_more_are_12_steps(tmp_path: Path, objective: str, ema: str) -> None:
    config = config_of(objective, ema)
    trainer = train(make_trainer(config), 5)
    write_checkpoint(tmp_path, trainer)
    straight = state_sha256(train(trainer, 12).state())
    torch.manual_seed(999)
    resumed = make_trainer(config)
    resumed.load(load(tmp_path))
    assert state_sha256(train(resumed, 12).state()) == straight


@pytest.mark.parametrize("part", ["target", "ema_updates", "step"])
def test_a_resume_without_a_part_would_be_noticed(tmp_path: Path, part: str) -> None:
    """Control: what only some objectives or one form of EMA need is looked at by the digest that is compared."""
    config = config_of("consistency, original", "warm-up")
    trainer = train(make_trainer(config), 5)
    write_checkpoint(tmp_path, trainer)
    straight = state_sha256(train(trainer, 12).state())
    state = load(tmp_path)
    changed: dict[str, Any] = {"target": state.network, "ema_updates": 0, "step": 4}
    resumed = make_trainer(config)
    resumed.load(replace(state, **{part: changed[part]}))
    assert state_sha256(train(resumed, 12).state()) != straight


def test_precision_parts_and_ema_each_change_the_run() -> None:
    """Control: the options of the matrix do something."""
    states = [
        state_sha256(train(make_trainer(config_of("flow", ema, training=training)), 3).state())
        for ema, training in (
            ("constant", BF16),
            ("warm-up", BF16),
            ("constant", {**BF16, "mixedPrecision": "no"}),
            ("constant", {**BF16, "gradientAccumulationSteps": 1}),
        )
    ]
    assert len(set(states)) == len(states)
