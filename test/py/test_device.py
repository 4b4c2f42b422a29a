"""device.py on the CPU: switches are set as named, buffers are aligned, and what dropout drew can be drawn again."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
import torch
from training import CPU, receive

from example import make_config
from immiscible_worker.codec import stage
from immiscible_worker.device import (
    autocast,
    configure_torch,
    loss_scaler,
    random_state,
    restore_random_state,
    staging_buffer,
    to_device,
)


@pytest.fixture(autouse=True)
def _as_before() -> Generator[None]:
    """The small config's switches afterwards, for the tests of other files."""
    yield
    configure()


def configure(worker: dict[str, Any] | None = None, **training: Any) -> torch.device:
    """The switches of the small config with these changed."""
    config = make_config(worker=worker or {}, training=training)
    return configure_torch(config.worker, config.training)


@pytest.mark.parametrize("is_allowed", [True, False])
def test_tf32_is_as_named_by_the_older_and_the_newer_names(is_allowed: bool) -> None:
    configure(allowTf32=is_allowed)
    assert torch.backends.cuda.matmul.allow_tf32 is is_allowed
    assert torch.backends.cudnn.allow_tf32 is is_allowed
    newer = (torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision)  # pyright: ignore[reportAttributeAccessIssue]
    assert [precision == "tf32" for precision in newer] == [is_allowed, is_allowed]


@pytest.mark.parametrize("is_deterministic", [True, False])
def test_deterministic_is_as_named(is_deterministic: bool) -> None:
    configure(deterministic=is_deterministic)
    assert torch.are_deterministic_algorithms_enabled() is is_deterministic
    assert not torch.is_deterministic_algorithms_warn_only_enabled(), "on the CPU all of them have such a form"
    assert torch.backends.cudnn.benchmark is not is_deterministic
    assert torch._inductor.config.deterministic is is_deterministic  # pyright: ignore


def test_threads_are_those_of_the_config() -> None:
    before = torch.get_num_threads()
    try:
        configure({"numThreads": 2})
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_staging_buffer_is_aligned_and_its_own() -> None:
    buffers = [staging_buffer(size, CPU) for size in (1, 7, 3072)]
    assert [(len(buffer), buffer.dtype, buffer.is_pinned()) for buffer in buffers] == [
        (1, torch.uint8, False),
        (7, torch.uint8, False),
        (3072, torch.uint8, False),
    ]
    assert all(buffer.data_ptr() % 64 == 0 for buffer in buffers)
    assert len({buffer.data_ptr() for buffer in buffers}) == 3


def test_on_the_cpu_a_buffer_is_its_own_copy() -> None:
    buffer = staging_buffer(4, CPU)
    assert to_device(buffer, CPU).data_ptr() == buffer.data_ptr()


def test_a_staged_batch_is_not_in_the_frames() -> None:
    """The orchestrator may have its memory back with the credit, which is sent right after."""
    received = receive(make_config(), 0)
    frames = [bytearray(frame) for frame in received.frames]
    object.__setattr__(received, "frames", tuple(memoryview(frame) for frame in frames))
    batch = stage(received, CPU)
    kept = [tensor.clone() for tensor in (batch.images, batch.noise, batch.uniforms)]
    for frame in frames:
        frame[:] = bytes(len(frame))
    assert all(torch.equal(a, b) for a, b in zip(kept, (batch.images, batch.noise, batch.uniforms), strict=True))
    assert any(bool(tensor.any()) for tensor in kept)


@pytest.mark.parametrize(
    ("precision", "expected"), [("no", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_autocast_computes_in_its_precision_and_only_within(precision: str, expected: torch.dtype) -> None:
    x = torch.ones(2, 2)
    with autocast(precision, CPU):
        assert (x @ x).dtype == expected
    assert (x @ x).dtype == torch.float32


def test_no_autocast_is_none_within_another_one() -> None:
    with torch.autocast("cpu", torch.bfloat16), autocast("no", CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_only_fp16_scales_its_loss() -> None:
    assert [loss_scaler(precision, CPU) for precision in ("no", "bf16")] == [None, None]
    scaler = loss_scaler("fp16", CPU)
    assert scaler is not None
    assert (scaler.get_scale(), scaler.is_enabled()) == (65536, True)


def test_dropout_is_drawn_again_after_its_state_is_restored() -> None:
    dropout, x = torch.nn.Dropout(0.5), torch.ones(4, 64)
    torch.manual_seed(3)
    torch.rand(5)
    state = random_state(CPU)
    first, second = dropout(x), dropout(x)
    restore_random_state(state, CPU)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(first, second), "without a restore it is another"
