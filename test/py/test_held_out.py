"""The loss on held-out images: what it is, that training is not touched by it, and the worker that tells it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from test_worker import IMAGES, greet
from training import CPU, make_trainer, train

from example import make_config
from immiscible_worker.codec import StagedBatch, decode_batch, encode_batch, stage
from immiscible_worker.held_out import describe, measure
from immiscible_worker.protocol import Failed, Saved, StepDone, Stop, Stopped, TrainConfig, Validated
from immiscible_worker.state import state_sha256
from immiscible_worker.trainer import Trainer
from orchestrator import RUN_ID, Orchestrator, draw_batch, launch, make_digit_batches

OBJECTIVES: dict[str, dict[str, Any]] = {
    "ddim": {"kind": "ddim", "predictionType": "v_prediction", "snrGamma": 5},
    "consistency, original": {"kind": "consistency", "preset": "original", "s1": 20, "discretizationSteps": 6},
    "consistency, improved": {"kind": "consistency", "s0": 2, "s1": 16, "discretizationSteps": 6},
    "flow": {"kind": "flow", "timeSampling": "logit_normal"},
}
VALIDATION = {"numImages": 40, "everySteps": 3}


def frames_of(config: TrainConfig, split: Any = "heldOut") -> list[list[bytes]]:
    """The held-out messages: 40 images are two batches of 16 and 8 more."""
    messages: list[list[bytes]] = []
    left = config.validation.num_images
    while left > 0:
        size = min(left, config.global_batch_size)
        part = msgspec.structs.replace(config, global_batch_size=size, seed=1000 + left)
        messages.append(encode_batch(RUN_ID, 0, 0, 0, draw_batch(part, IMAGES, 0), split))
        left -= size
    return messages


def held_out_of(config: TrainConfig) -> list[StagedBatch]:
    """The same, staged."""
    decoded = [decode_batch(frames, RUN_ID, 0) for frames in frames_of(config)]
    return [stage(batch, CPU) for batch in decoded if batch]


def config_of(objective: str = "ddim", **sections: Any) -> TrainConfig:
    """Small, with dropout and labels."""
    labels = {"classLabels": True, "labelDropout": 0.3}
    given: dict[str, Any] = {"network": {"dropout": 0.2}, "conditioning": labels, "validation": VALIDATION, **sections}
    return make_config(objective=OBJECTIVES[objective], **given)


def by_hand(trainer: Trainer, network: torch.nn.Module, held_out: Sequence[StagedBatch]) -> float:
    """DDPM's mean squared error of v with min-SNR weights, image by image in float64, without the objective's code."""
    scheduler, total, count = trainer.objective.scheduler, 0.0, 0
    for batch in held_out:
        images = batch.images.float() / 127.5 - 1
        noise, u = batch.noise.float(), batch.uniforms
        t = (u[:, 0] * 1000).long()
        a = scheduler.alphas_cumprod[t].view(-1, 1, 1, 1)
        labels = torch.where(u[:, 1] < 0.3, 10, batch.labels.long()) if batch.labels is not None else None
        with torch.no_grad():
            v = network(a.sqrt() * images + (1 - a).sqrt() * noise, t, labels).sample
        errors = (v - (a.sqrt() * noise - (1 - a).sqrt() * images)).double().square().flatten(1).mean(1)
        snr = (a / (1 - a)).flatten().double()
        total += float((snr.clamp(max=5) / (snr + 1) * errors).sum())
        count += len(images)
    return total / count


def test_it_is_the_mean_over_all_images_without_dropout_of_the_weights_and_of_their_ema() -> None:
    config = config_of(training={"gradientAccumulationSteps": 4})
    trainer, held_out = train(make_trainer(config), 4), held_out_of(config)
    validated = measure(trainer, held_out)
    assert (validated.step, validated.num_images) == (4, 40)
    ema = trainer.ema_network()
    trainer.network.eval()
    expected = by_hand(trainer, trainer.network, held_out), by_hand(trainer, ema, held_out)
    assert (validated.loss, validated.ema_loss) == (pytest.approx(expected[0]), pytest.approx(expected[1]))
    assert expected[0] != pytest.approx(expected[1], rel=1e-4)
    trainer.network.train()
    assert by_hand(trainer, trainer.network, held_out) != pytest.approx(expected[0], rel=1e-4), "control: dropout shows"
    means = [by_hand(trainer, ema, [batch]) for batch in held_out]
    assert sum(means) / 3 != pytest.approx(expected[1], rel=1e-4), "control: a mean of means shows"


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_measuring_changes_neither_itself_nor_training(objective: str) -> None:
    config = config_of(objective)
    straight = state_sha256(train(make_trainer(config), 6).state())
    trainer, held_out = make_trainer(config), held_out_of(config)
    for until in (1, 3, 5, 6):
        first = measure(train(trainer, until), held_out)
        torch.manual_seed(until)
        again = measure(trainer, held_out)
        assert (first.loss, first.ema_loss) == (again.loss, again.ema_loss)
        assert first.loss is not None
        assert first.ema_loss is not None
    assert state_sha256(trainer.state()) == straight


def test_ema_weights_that_stayed_in_the_network_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of()
    straight = state_sha256(train(make_trainer(config), 6).state())
    trainer, held_out = train(make_trainer(config), 3), held_out_of(config)
    monkeypatch.setattr(trainer.ema, "restore", lambda _: None)
    measure(trainer, held_out)
    assert state_sha256(train(trainer, 6).state()) != straight


def test_a_consistency_model_is_measured_at_the_levels_of_its_step() -> None:
    """The levels of a held-out batch are those of the trainer's step, not of the batch's, which is 0."""
    config = config_of("consistency, improved", optimizer={"learningRate": 1e-30, "adamWeightDecay": 0})
    trainer, held_out = train(make_trainer(config), 1), held_out_of(config)
    few = measure(trainer, held_out).loss
    many = measure(train(trainer, 6), held_out).loss
    assert few != pytest.approx(many, rel=0.01), "the weights are the same, so only the levels differ"


def test_a_loss_that_is_not_finite_is_told_as_none() -> None:
    config = config_of()
    trainer, held_out = train(make_trainer(config), 1), held_out_of(config)
    with torch.no_grad():
        next(trainer.network.parameters()).fill_(float("nan"))
    validated = measure(trainer, held_out)
    assert validated.loss is None
    assert validated.ema_loss is not None
    assert list(describe(validated)) == ["loss on 40 held-out images, EMA weights"]


def send_held_out(worker: Orchestrator, config: TrainConfig, split: str = "heldOut") -> None:
    """As the orchestrator does after ready."""
    for frames in frames_of(config, split):
        worker.send_batch(frames)


def test_a_worker_tells_it_at_every_interval_and_at_the_end(tmp_path: Path) -> None:
    config = config_of()
    with launch() as worker:
        ready = greet(worker, config, tmp_path)
        send_held_out(worker, config)
        worker.serve(ready, make_digit_batches(config, IMAGES), config.max_train_steps)
        assert worker.exit_code() == 0, worker.stderr.read_text()
    order = [(type(event).__name__, getattr(event, "step", None)) for event in worker.events]
    after = {step: order[order.index(("StepDone", step)) + 1 :][:2] for step in (2, 4, 5, 7)}
    assert after[2][0] == ("Validated", 3)
    assert after[4][0] == ("Saved", 5)
    assert after[5][0] == ("Validated", 6)
    assert after[7] == [("Saved", 8), ("Validated", 8)]
    assert [event.num_images for event in worker.of(Validated)] == [40, 40, 40]
    # The very numbers, and the state of a run that never measured.
    trainer, held_out = make_trainer(config), held_out_of(config)
    expected = [measure(train(trainer, step), held_out) for step in (3, 6, 8)]
    assert [(event.loss, event.ema_loss) for event in worker.of(Validated)] == [
        (event.loss, event.ema_loss) for event in expected
    ]
    plain = make_trainer(config_of(validation={"numImages": 0}))
    assert worker.of(Stopped)[0].state_sha256 == state_sha256(train(plain, 8).state())
    card = (tmp_path / "pipeline" / "README.md").read_text()
    assert "| data | digits, 1797 images, 40 of them held out, SHA-256" in card
    assert "With 1,757 training images" in card
    assert f"| loss on 40 held-out images, EMA weights | {expected[-1].ema_loss:.6g} |" in card
    assert f"| loss on 40 held-out images, last weights | {expected[-1].loss:.6g} |" in card


def test_stop_before_they_have_come_saves_and_ends(tmp_path: Path) -> None:
    config = config_of()
    with launch() as worker:
        greet(worker, config, tmp_path)
        worker.send_batch(frames_of(config)[0])
        worker.send(Stop())
        assert worker.wait_for(Stopped).step == 0
        assert worker.exit_code() == 0
    assert [event.step for event in worker.of(Saved)] == [0]
    assert worker.of(Validated) == []


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (["train"], "split: expected heldOut, got train"),
        (["heldOut", "heldOut", "heldOut", "heldOut"], "split: expected train, got heldOut"),
    ],
)
def test_images_of_the_other_split_end_the_worker(tmp_path: Path, splits: list[str], message: str) -> None:
    """A held-out image that is trained on, or the other way round, is no small mistake."""
    config = config_of()
    with launch() as worker:
        greet(worker, config, tmp_path)
        parts = frames_of(config)
        for number, split in enumerate(splits):
            worker.send_batch(frames_of(config, split)[0] if number in (0, 3) else parts[number])
        failed = worker.wait_for(Failed)
        assert worker.exit_code() == 70
    assert failed.code == "PROTOCOL"
    assert message in failed.message
    assert worker.of(StepDone) == []
