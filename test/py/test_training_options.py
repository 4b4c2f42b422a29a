"""Mixed precision, loss scaling, accumulation and gradient checkpointing do what they say, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.checkpoint import checkpoint
from training import CPU, make_batch, make_trainer, train, write_checkpoint

from example import digits, make_config, make_dataset
from immiscible_worker import trainer as trainer_module
from immiscible_worker.checkpoint import load_newest
from immiscible_worker.codec import StagedBatch
from immiscible_worker.device import configure_torch
from immiscible_worker.errors import ConfigError, NonFiniteError, PairingError
from immiscible_worker.objective import Inputs, LossResult, Networks, Objective
from immiscible_worker.protocol import TrainConfig
from immiscible_worker.state import TrainState, state_sha256
from immiscible_worker.trainer import Trainer, split_batch
from orchestrator import CONFIG_HASH, RUN_ID

ONE_LEVEL = {"blockOutChannels": [8], "downBlockTypes": ["DownBlock2D"], "upBlockTypes": ["UpBlock2D"], "dropout": 0}

ChangeLoss = Callable[[Trainer, LossResult], torch.Tensor]


def config_of(dropout: float = 0, optimizer: dict[str, Any] | None = None, **training: Any) -> TrainConfig:
    """The small config, a one-level network, and these training options."""
    network = {**ONE_LEVEL, "dropout": dropout}
    return make_config(network=network, training=training, optimizer={"lrWarmupSteps": 0, **(optimizer or {})})


def make_fp16(optimizer: str = "adamw") -> Trainer:
    """A trainer in fp16 on the CPU, where torch can do it, only slowly: configure_torch is what refuses it."""
    configure_torch(make_config().worker, make_config().training)
    return Trainer(config_of(mixedPrecision="fp16", optimizer={"kind": optimizer}), make_dataset(digits()[0]), CPU)


def spy(trainer: Trainer) -> list[tuple[Inputs, LossResult]]:
    """What enters and leaves the loss from now on."""
    seen: list[tuple[Inputs, LossResult]] = []
    honest = trainer.objective

    def loss(networks: Networks, inputs: Inputs) -> LossResult:
        result = honest.loss(networks, inputs)
        seen.append((inputs, result))
        return result

    trainer.objective = replace(honest, loss=loss)
    return seen


def plant(trainer: Trainer, change: ChangeLoss) -> Trainer:
    """The same objective with another loss of the same target."""
    honest = trainer.objective

    def loss(networks: Networks, inputs: Inputs) -> LossResult:
        result = honest.loss(networks, inputs)
        return LossResult(change(trainer, result), result.target)

    trainer.objective = replace(honest, loss=loss)
    return trainer


def gradients_of(trainer: Trainer, batch: StagedBatch | None = None) -> dict[str, torch.Tensor]:
    """The gradient of the next step before it is clipped; the step is taken."""
    gradients: dict[str, torch.Tensor] = {}

    def keep(name: str, parameter: torch.Tensor) -> None:
        assert parameter.grad is not None
        gradients[name] = parameter.grad.clone()

    handles = [
        p.register_post_accumulate_grad_hook(partial(keep, name)) for name, p in trainer.network.named_parameters()
    ]
    trainer.train_step(batch or make_batch(trainer))
    for handle in handles:
        handle.remove()
    return gradients


def expect_close(got: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], tolerance: float) -> None:
    """Relative to the largest gradient of each parameter, or of all where that one is next to nothing."""
    least = 1e-3 * max(float(value.abs().max()) for value in expected.values())
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        scale = max(least, float(value.abs().max()))
        assert float((got[name] - value).abs().max()) <= tolerance * scale, name


def dtypes_of(state: TrainState) -> set[torch.dtype]:
    """Of everything in a state."""
    parts = (state.network, state.ema, state.optimizer)
    return {tensor.dtype for part in parts for tensor in part.values()}


# Mixed precision


@pytest.mark.parametrize(("precision", "expected"), [("bf16", torch.bfloat16), ("no", torch.float32)])
def test_the_network_runs_in_its_precision_and_all_else_in_float32(precision: str, expected: torch.dtype) -> None:
    trainer = make_trainer(config_of(mixedPrecision=precision))
    computed: set[torch.dtype] = set()
    for module in trainer.network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda _module, _inputs, output: computed.add(output.dtype))
    seen = spy(trainer)
    gradients = gradients_of(trainer)
    assert computed == {expected}
    [(inputs, result)] = seen
    assert {inputs.images.dtype, inputs.noise.dtype, result.loss.dtype, result.target.dtype} == {torch.float32}
    assert {gradient.dtype for gradient in gradients.values()} == {torch.float32}
    assert dtypes_of(trainer.state()) == {torch.float32}


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_has_the_gradient_of_float32_about(precision: str) -> None:
    """fp16's is scaled by 65536 while it is made and by 1 afterwards: a factor left in would show."""
    expected = make_trainer(config_of())
    half = make_fp16() if precision == "fp16" else make_trainer(config_of(mixedPrecision=precision))
    one, other = expected.train_step(make_batch(expected)), half.train_step(make_batch(half))
    assert other.loss == pytest.approx(one.loss, rel=0.02)
    assert other.loss != one.loss
    assert other.grad_norm == pytest.approx(one.grad_norm, rel=0.05)


def test_what_a_network_answers_is_float32_for_every_objective() -> None:
    trainer = make_trainer(config_of(mixedPrecision="bf16"))
    answers: list[torch.dtype] = []

    def loss(networks: Networks, inputs: Inputs) -> LossResult:
        answer = networks.online(inputs.noise, torch.zeros(len(inputs.noise))).sample
        answers.append(answer.dtype)
        return LossResult((answer - inputs.noise).square().mean(), inputs.noise)

    trainer.objective = Objective("ddim", trainer.objective.scheduler, loss)
    trainer.train_step(make_batch(trainer))
    assert answers == [torch.float32]


def test_fp16_is_refused_on_the_cpu_with_the_reason() -> None:
    config = config_of(mixedPrecision="fp16")
    with pytest.raises(ConfigError, match=r"training\.mixedPrecision: expected no or bf16, since fp16 .*CPU, got fp16"):
        configure_torch(config.worker, config.training)


# fp16's loss scale


def overflow_at(*steps: int) -> ChangeLoss:
    """A loss large enough for the scaled gradient to leave fp16's range, at these steps."""
    return lambda trainer, result: result.loss * (1e5 if trainer.step in steps else 1)


def with_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives every objective a target network, which moves half way with each update."""
    honest = trainer_module.build_objective
    halving = {"target_decay": lambda _step: 0.5}
    monkeypatch.setattr(
        trainer_module,
        "build_objective",
        lambda *arguments, **options: replace(honest(*arguments, **options), **halving),
    )


@pytest.mark.parametrize("optimizer", ["adamw", "radam"])
def test_a_skipped_update_moves_the_step_and_the_scale_alone(monkeypatch: pytest.MonkeyPatch, optimizer: str) -> None:
    """adamw is fused, which is called even where it then does nothing; radam is not."""
    with_target(monkeypatch)
    trainer = plant(make_fp16(optimizer), overflow_at(1, 2))
    trainer.train_step(make_batch(trainer))
    before = trainer.state()
    kept = {part: {name: tensor.clone() for name, tensor in named.items()} for part, named in parts_of(before).items()}
    metrics = [trainer.train_step(make_batch(trainer)) for _ in range(2)]
    after = trainer.state()
    assert [torch.tensor(each.grad_norm).isfinite().item() for each in metrics] == [False, False]
    for part, named in parts_of(after).items():
        assert kept[part].keys() == named.keys()
        assert all(torch.equal(kept[part][name], tensor) for name, tensor in named.items()), part
    assert (before.step, before.ema_updates, before.scaler) == (1, 1, {"scale": 65536.0, "growthTracker": 1.0})
    assert (after.step, after.ema_updates, after.scaler) == (3, 1, {"scale": 16384.0, "growthTracker": 0.0})
    trainer.train_step(make_batch(trainer))
    moved = trainer.state()
    assert moved.ema_updates == 2
    for part, named in parts_of(moved).items():
        assert any(not torch.equal(kept[part][name], tensor) for name, tensor in named.items()), part
    for name, slow in moved.target.items():
        torch.testing.assert_close(slow, 0.5 * kept["target"][name] + 0.5 * moved.network[name])


def parts_of(state: TrainState) -> dict[str, dict[str, torch.Tensor]]:
    """The parts that an update moves."""
    return {part: dict(getattr(state, part)) for part in ("network", "ema", "target", "optimizer")}


def make_scaled(until: int) -> Trainer:
    """A run with an overflow before and after step 6, whose scale doubles after three updates without one."""
    trainer = plant(make_fp16(), overflow_at(2, 12))
    growing(trainer)
    return train(trainer, until)


def growing(trainer: Trainer) -> None:
    scaler = trainer._scaler  # pyright: ignore[reportPrivateUsage]
    assert scaler is not None
    scaler.set_growth_interval(3)


def resume_scaled(state: TrainState) -> str:
    """The digest after going on to step 14."""
    trainer = make_scaled(0)
    trainer.load(state)
    growing(trainer)
    return state_sha256(train(trainer, 14).state())


def test_the_scale_is_saved_restored_and_part_of_the_digest(tmp_path: Path) -> None:
    straight = make_scaled(14)
    half = make_scaled(7)
    write_checkpoint(tmp_path, half)
    loaded = load_newest(tmp_path, RUN_ID, CONFIG_HASH, pytest.fail)
    assert loaded is not None
    state = loaded[1]
    assert state.scaler == {"scale": 65536.0, "growthTracker": 1.0}, "halved at 2, doubled after 5"
    assert resume_scaled(state) == state_sha256(straight.state())
    for wrong in ({**state.scaler, "scale": 32768.0}, {**state.scaler, "growthTracker": 0.0}):
        planted = replace(state, scaler=wrong)
        assert state_sha256(planted) != state_sha256(state)
        assert resume_scaled(planted) != state_sha256(straight.state())


def test_a_state_without_its_scale_or_with_one_too_many_is_refused() -> None:
    with pytest.raises(ConfigError, match="loss scale: expected one with fp16 and only then, got none"):
        make_fp16().load(replace(make_scaled(1).state(), scaler={}))
    with pytest.raises(ConfigError, match="loss scale: expected one with fp16 and only then, got scale, growthTracker"):
        make_trainer(config_of()).load(make_scaled(1).state())


# A loss or gradient that is not finite


def nan_gradient(trainer: Trainer, result: LossResult) -> torch.Tensor:
    """A finite loss with a gradient that is none: the square root at 0."""
    return result.loss + (0 * next(trainer.network.parameters())).sqrt().sum()


def endless_gradient(trainer: Trainer, result: LossResult) -> torch.Tensor:
    """A finite loss whose gradient is finite, and its norm is not."""
    weight = next(trainer.network.parameters())
    return result.loss + 1e30 * (weight - weight.detach()).sum()


@pytest.mark.parametrize("change", [nan_gradient, endless_gradient])
def test_a_gradient_that_is_not_finite_stops_before_the_update(change: ChangeLoss) -> None:
    trainer = plant(train(make_trainer(config_of()), 2), change)
    before = state_sha256(trainer.state())
    with pytest.raises(NonFiniteError, match=r"step 2: the gradient's norm is (nan|inf)"):
        trainer.train_step(make_batch(trainer))
    assert state_sha256(trainer.state()) == before
    assert all(parameter.grad is None for parameter in trainer.network.parameters())


def test_with_fp16_it_stops_once_the_scale_cannot_be_the_cause() -> None:
    trainer = plant(make_fp16(), nan_gradient)
    with pytest.raises(NonFiniteError, match="step 31: the gradient's norm is nan"):
        train(trainer, 99)
    state = trainer.state()
    assert (state.step, state.scaler["scale"]) == (31, 2.0**-15), "16 down to -14, each tried once"
    fresh = make_fp16().state()
    assert all(torch.equal(tensor, fresh.network[name]) for name, tensor in state.network.items())


def test_with_fp16_a_gradient_that_no_scale_mends_stops_at_once() -> None:
    trainer = plant(make_fp16(), endless_gradient)
    with pytest.raises(NonFiniteError, match="step 0: the gradient's norm is inf"):
        trainer.train_step(make_batch(trainer))


# Accumulation


@pytest.mark.parametrize("parts", [2, 4, 16])
def test_the_gradient_in_parts_is_that_of_the_whole_batch(parts: int) -> None:
    whole, divided = make_trainer(config_of()), make_trainer(config_of(gradientAccumulationSteps=parts))
    expected, got = gradients_of(whole), gradients_of(divided)
    expect_close(got, expected, 1e-5)
    one, other = whole.train_step(make_batch(whole)), divided.train_step(make_batch(divided))
    assert other.loss == pytest.approx(one.loss, rel=1e-5)
    assert other.grad_norm == pytest.approx(one.grad_norm, rel=1e-4)


def test_the_comparison_sees_a_part_left_out() -> None:
    whole, batch = make_trainer(config_of()), make_batch(make_trainer(config_of()))
    half = next(split_batch(batch, 8))
    with pytest.raises(AssertionError):
        expect_close(gradients_of(make_trainer(config_of()), half), gradients_of(whole, batch), 1e-5)


def test_every_row_stays_with_its_image() -> None:
    trainer = make_trainer(
        make_config(
            network=ONE_LEVEL,
            training={"gradientAccumulationSteps": 4},
            conditioning={"classLabels": True, "labelDropout": 0.3},
        )
    )
    received = make_batch(trainer)
    batch = replace(received, labels=torch.arange(16, dtype=torch.int32) % 10)
    seen = spy(trainer)
    trainer.train_step(batch)
    inputs = [each for each, _ in seen]
    assert [len(part.images) for part in inputs] == [4, 4, 4, 4]
    assert torch.equal(torch.cat([part.images for part in inputs]), batch.images / 127.5 - 1)
    assert torch.equal(torch.cat([part.noise for part in inputs]), batch.noise.float())
    assert torch.equal(torch.cat([part.uniforms for part in inputs]), batch.uniforms)
    labels = torch.cat([part.labels for part in inputs if part.labels is not None])
    assert labels.tolist() == [10 if u[1] < 0.3 else row % 10 for row, u in enumerate(batch.uniforms.tolist())]
    assert {part.step for part in inputs} == {0}


def test_the_gate_looks_at_every_part() -> None:
    trainer = make_trainer(config_of(gradientAccumulationSteps=4))
    honest, calls = trainer.objective, [0]

    def loss(networks: Networks, inputs: Inputs) -> LossResult:
        calls[0] += 1
        return honest.loss(networks, replace(inputs, noise=inputs.noise.flip(0)) if calls[0] == 3 else inputs)

    trainer.objective = replace(honest, loss=loss)
    before = state_sha256(trainer.state())
    with pytest.raises(PairingError, match="sample is not"):
        trainer.train_step(make_batch(trainer))
    assert calls == [3]
    assert state_sha256(trainer.state()) == before
    assert all(parameter.grad is None for parameter in trainer.network.parameters())


def test_ema_and_target_count_updates_not_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    with_target(monkeypatch)
    moves: list[int] = []
    trainer = make_trainer(config_of(gradientAccumulationSteps=4))

    def decay(step: int) -> float:
        moves.append(step)
        return 0.5

    trainer.objective = replace(trainer.objective, target_decay=decay)
    assert train(trainer, 3).state().ema_updates == 3
    assert moves == [0, 1, 2]


def test_parts_draw_different_dropout() -> None:
    """One generator state for all parts would repeat the mask."""
    trainer = make_trainer(config_of(dropout=0.5, gradientAccumulationSteps=2))
    batch = make_batch(trainer)
    twice = replace(
        batch,
        **{
            name: getattr(batch, name)[:8].repeat((2, *[1] * (getattr(batch, name).ndim - 1)))
            for name in ("images", "noise", "uniforms")
        },
    )
    seen = spy(trainer)
    trainer.train_step(twice)
    first, second = (float(result.loss.detach()) for _, result in seen)
    assert first != second


# Gradient checkpointing


def count_calls(trainer: Trainer) -> list[int]:
    """How often the first convolution inside a block runs."""
    calls = [0]
    block = next(m for name, m in trainer.network.named_modules() if name.endswith("resnets.0.conv1"))

    def count(*_arguments: Any) -> None:
        calls[0] += 1

    block.register_forward_hook(count)
    return calls


@pytest.mark.parametrize(("dropout", "precision"), [(0, "no"), (0.3, "no"), (0.3, "bf16")])
def test_checkpointing_changes_no_gradient(dropout: float, precision: str) -> None:
    """Recomputed with the dropout and the precision of the first time."""
    plain = make_trainer(config_of(dropout, mixedPrecision=precision))
    saving = make_trainer(config_of(dropout, mixedPrecision=precision, gradientCheckpointing=True))
    once, twice = count_calls(plain), count_calls(saving)
    expect_close(gradients_of(saving), gradients_of(plain), 1e-6)
    assert (once, twice) == ([1], [2])


def test_the_comparison_sees_other_dropout_in_the_recomputation() -> None:
    plain, careless = (make_trainer(config_of(0.3, gradientCheckpointing=True)) for _ in range(2))
    forgetful = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
    careless.network.enable_gradient_checkpointing(forgetful)  # pyright: ignore[reportCallIssue]
    with pytest.raises(AssertionError):
        expect_close(gradients_of(careless), gradients_of(plain), 1e-6)


class PlainNetwork(torch.nn.Module):
    """A network of somebody's own, which knows nothing of diffusers."""


def test_a_network_that_cannot_checkpoint_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(gradientCheckpointing=True)
    honest = trainer_module.build_network

    def stubborn(*arguments: Any) -> Any:
        network = honest(*arguments)
        network._supports_gradient_checkpointing = False  # pyright: ignore[reportPrivateUsage]
        return network

    for build, reason in ((stubborn, "does not support"), (lambda *_: PlainNetwork(), "PlainNetwork has no")):
        monkeypatch.setattr(trainer_module, "build_network", build)
        with pytest.raises(
            ConfigError, match=rf"training\.gradientCheckpointing: expected false .*got true: .*{reason}"
        ):
            make_trainer(config)
