"""All that differs between CUDA, MPS and CPU: choice, determinism, copies, precision, and what dropout draws from."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch

from .errors import ConfigError
from .protocol import TrainingConfig, WorkerConfig

_AUTOCAST = {"fp16": torch.float16, "bf16": torch.bfloat16}


def configure_torch(worker: WorkerConfig, training: TrainingConfig) -> torch.device:
    """Fixes threads, determinism and precision for this process and resolves the device. Raises ConfigError."""
    # Read by cuBLAS when its first handle is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    device = resolve_device(worker.device)
    if training.mixed_precision == "fp16" and device.type == "cpu":
        reason = "fp16 with its loss scaling is for GPUs and the device is the CPU"
        raise ConfigError("PRECISION", f"training.mixedPrecision: expected no or bf16, since {reason}, got fp16")
    if worker.num_threads > 0:
        torch.set_num_threads(worker.num_threads)
    elif device.type == "cpu":
        torch.set_num_threads(max(1, _count_cores() - 1))
    # Off the CPU a few backward kernels have no deterministic form: torch then says so instead of refusing to train.
    # It also keeps torch.compile from choosing kernels by their time, and cuDNN from algorithms that add in any order.
    torch.use_deterministic_algorithms(training.deterministic, warn_only=device.type != "cpu")
    # Guards against reads of memory that was never written; nothing here does, and it costs a write of every buffer.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    torch.backends.cudnn.benchmark = not training.deterministic
    # Not by the newer fp32_precision, which these set along: torch's own compiler still reads the older names, which
    # raise once only the newer ones were set.
    torch.backends.cudnn.allow_tf32 = training.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = training.allow_tf32
    return device


def _count_cores() -> int:
    """Those that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resolve_device(wanted: str) -> torch.device:
    """auto: cuda, else mps, else cpu. Raises ConfigError for a device that torch does not see."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        wanted = next(name for name, is_there in available.items() if is_there)
    if not available[wanted]:
        seen = ", ".join(name for name, is_there in available.items() if is_there)
        raise ConfigError("DEVICE", f"worker.device: expected one of {seen}, which torch sees here, got {wanted}")
    return torch.device(wanted)


def staging_buffer(num_bytes: int, device: torch.device) -> torch.Tensor:
    """Aligned uint8 [num_bytes] on the CPU; pinned on the way to CUDA, so that the copy can overlap computing.

    A buffer is for one batch. It may be dropped while its copy still runs: torch's pinned memory is given out again
    only after the copies that were queued from it have ended. It must not be written to meanwhile.
    """
    return torch.empty(num_bytes, dtype=torch.uint8, pin_memory=device.type == "cuda")


def to_device(staged: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The copy of a staging buffer, which stays unchanged; on the CPU the buffer itself.

    On CUDA the copy is queued before everything that reads its result, and may still run afterwards.
    """
    # MPS would read memory that is not pinned after it was dropped.
    return staged.to(device, non_blocking=device.type == "cuda")


@contextmanager
def autocast(precision: str, device: torch.device) -> Generator[None]:
    """Half precision where torch holds it safe: fp16 or bf16; nothing for "no"."""
    dtype = _AUTOCAST.get(precision)
    with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
        yield


def loss_scaler(precision: str, device: torch.device) -> torch.amp.GradScaler | None:
    """fp16's loss scaling, with torch's constants: 2^16, doubled after 2000 updates, halved on overflow; else None."""
    return torch.amp.GradScaler(device.type) if precision == "fp16" else None


def random_state(device: torch.device) -> Any:
    """Of the generator that a network's dropout draws from on `device`; for `restore_random_state`."""
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.mps.get_rng_state() if device.type == "mps" else torch.get_rng_state()


def restore_random_state(state: Any, device: torch.device) -> None:
    """What is drawn next is what was drawn after `random_state`."""
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    elif device.type == "mps":
        torch.mps.set_rng_state(state)
    else:
        torch.set_rng_state(state)
