"""What only a CUDA device can show: pinned copies, half precision, determinism, resume. Skipped where there is none."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from training import make_batch, make_trainer, receive, train, write_checkpoint

from example import make_config
from immiscible_worker.checkpoint import load_newest
from immiscible_worker.codec import stage
from immiscible_worker.device import (
    autocast,
    configure_torch,
    random_state,
    restore_random_state,
    staging_buffer,
    to_device,
)
from immiscible_worker.objective import LossResult
from immiscible_worker.protocol import TrainConfig
from immiscible_worker.sampler import sample
from immiscible_worker.sampling import Settings
from immiscible_worker.state import state_sha256
from immiscible_worker.trainer import Trainer
from orchestrator import CONFIG_HASH, RUN_ID

if not torch.cuda.is_available():
    pytest.skip("torch sees no CUDA device here, so nothing in test/gpu was run", allow_module_level=True)

CUDA = torch.device("cuda")
OBJECTIVES: tuple[dict[str, Any], ...] = (
    {"kind": "ddim"},
    {"kind": "consistency", "preset": "original"},
    {"kind": "consistency", "preset": "improved"},
    {"kind": "flow"},
)


def config_of(objective: dict[str, Any] | None = None, **training: Any) -> TrainConfig:
    """The small config on CUDA, with dropout so that a generator that is carried along would show."""
    return make_config(
        worker={"device": "cuda"},
        network={"dropout": 0.2},
        training=training,
        objective=objective or {"kind": "ddim"},
    )


@pytest.fixture(autouse=True)
def torch_as_it_was() -> Generator[None]:
    """Each test sets determinism and TF32 for the process."""
    yield
    configure_torch(config_of().worker, config_of().training)


def test_a_staging_buffer_is_pinned_and_outlives_its_copy() -> None:
    """Buffers are dropped while their copies may still run: what arrives is what was in them."""
    copies: list[torch.Tensor] = []
    for value in range(64):
        buffer = staging_buffer(2**22, CUDA)
        assert buffer.is_pinned()
        buffer.fill_(value)
        copies.append(to_device(buffer, CUDA))
        del buffer
    assert all(bool((copy == value).all()) for value, copy in enumerate(copies))


def test_a_batch_arrives_as_it_was_sent() -> None:
    config = config_of()
    sent, got = (stage(receive(config, 0), device) for device in (torch.device("cpu"), CUDA))
    for name in ("images", "noise", "uniforms", "labels"):
        expected, actual = getattr(sent, name), getattr(got, name)
        assert actual.device.type == "cuda"
        assert torch.equal(actual.cpu(), expected)
    assert got.sha256 == sent.sha256


@pytest.mark.parametrize(("precision", "expected"), [("no", None), ("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_matrix_products_run_in_the_precision_asked_for(precision: str, expected: torch.dtype | None) -> None:
    matrix = torch.ones(8, 8, device=CUDA)
    with autocast(precision, CUDA):
        assert (matrix @ matrix).dtype == (expected or torch.float32)


@pytest.mark.parametrize("is_allowed", [True, False])
def test_tf32_changes_products_only_where_it_is_allowed(is_allowed: bool) -> None:
    if torch.cuda.get_device_capability()[0] < 8:
        pytest.skip("TF32 begins with compute capability 8.0")
    config = config_of(allowTf32=is_allowed)
    configure_torch(config.worker, config.training)
    torch.manual_seed(0)
    left, right = torch.randn(2, 1024, 1024, device=CUDA)
    exact = left.double() @ right.double()
    error = float(((left @ right).double() - exact).abs().mean() / exact.abs().mean())
    assert (error > 1e-5) is is_allowed, f"relative error {error:.1e}"


def test_dropout_is_drawn_again_after_its_state_is_restored() -> None:
    ones = torch.ones(4096, device=CUDA)
    before = random_state(CUDA)
    first, second = torch.dropout(ones, 0.5, True), torch.dropout(ones, 0.5, True)
    restore_random_state(before, CUDA)
    assert torch.equal(torch.dropout(ones, 0.5, True), first)
    assert not torch.equal(first, second), "control"


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda value: "-".join(value.values()))
@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
def test_a_resumed_run_ends_in_the_same_state(tmp_path: Path, objective: dict[str, Any], precision: str) -> None:
    config = config_of(objective, mixedPrecision=precision, gradientAccumulationSteps=2)
    straight = state_sha256(train(make_trainer(config), 12).state())
    write_checkpoint(tmp_path, train(make_trainer(config), 5))
    torch.manual_seed(999)
    loaded = load_newest(tmp_path, RUN_ID, CONFIG_HASH, pytest.fail)
    assert loaded is not None
    resumed = make_trainer(config)
    resumed.load(loaded[1])
    assert state_sha256(train(resumed, 12).state()) == straight


def test_overflow_halves_the_scale_and_changes_no_weight() -> None:
    trainer = train(make_trainer(config_of(mixedPrecision="fp16")), 2)
    honest = trainer.objective.loss

    def overflow(*arguments: Any) -> LossResult:
        result = honest(*arguments)
        # Finite, and its gradient too, until the loss scale multiplies it.
        return LossResult(result.loss * 1e36, result.target)

    object.__setattr__(trainer.objective, "loss", overflow)
    before = {name: value.clone() for name, value in trainer.state().network.items()}
    scale = trainer.state().scaler["scale"]
    trainer.train_step(make_batch(trainer))
    assert trainer.state().scaler["scale"] == scale / 2
    assert all(torch.equal(value, before[name]) for name, value in trainer.state().network.items())


def losses(trainer: Trainer, steps: int) -> list[float]:
    """Of the next steps."""
    return [trainer.train_step(make_batch(trainer)).loss for _ in range(steps)]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_as_float32_about(precision: str) -> None:
    half, full = (losses(make_trainer(config_of(mixedPrecision=name)), 10) for name in (precision, "no"))
    assert half != full
    assert half == pytest.approx(full, rel=0.05)


def test_a_compiled_network_trains_as_an_uncompiled_one_about() -> None:
    compiled, plain = (losses(make_trainer(config_of(torchCompile=compiles)), 4) for compiles in (True, False))
    assert compiled == pytest.approx(plain, rel=1e-3)


def test_samples_are_those_of_the_cpu_about() -> None:
    """Noise is drawn on the CPU: the same seed is the same picture on every device."""
    config = config_of(allowTf32=False)
    trainer = train(make_trainer(config), 3)
    network, scheduler = trainer.ema_network(), trainer.objective.scheduler
    ours = sample(network, scheduler, 4, Settings(4), seed=1)
    theirs = sample(network.cpu(), scheduler, 4, Settings(4), seed=1)
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)
