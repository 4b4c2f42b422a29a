"""Each part of the environment that decides the bits is in the fingerprint, and is said in words where it differs."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from example import digits, make_config
from immiscible_worker import fingerprint
from immiscible_worker.fingerprint import describe_difference, take_fingerprint
from immiscible_worker.protocol import Fingerprint, Hello, Ready, Saved
from orchestrator import Orchestrator, launch, make_digit_batches, welcome_of

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, torch.device], tuple[Fingerprint, Fingerprint]]:
    """Fingerprints before and after something changed. A CUDA device is played where there is none."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H100")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    monkeypatch.setattr(fingerprint, "nvidia_driver", lambda: "570.1")

    def take(change: Any, device: torch.device) -> tuple[Fingerprint, Fingerprint]:
        before = take_fingerprint(device)
        change(monkeypatch)
        return before, take_fingerprint(device)

    return take


def setting(owner: Any, name: str, value: Any) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(owner, name, value)


def variable(name: str) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setenv(name, "planted")


@pytest.mark.parametrize(
    ("device", "change", "said"),
    [
        (CPU, setting(platform, "python_version", lambda: "3.99"), "Python {python} -> 3.99"),
        (CPU, setting(torch, "__version__", "9.9"), "torch {torch} -> 9.9"),
        (CPU, setting(fingerprint, "version", lambda _: "8.8"), "diffusers {diffusers} -> 8.8"),
        (CPU, setting(platform, "machine", lambda: "abacus"), "platform {platform} -> "),
        (CPU, setting(fingerprint, "_cpu_model", lambda: "Z80"), "platform {platform} -> "),
        (
            CPU,
            setting(torch.backends.cpu, "get_cpu_capability", lambda: "NONE"),
            "CPU instruction set {cpuCapability} -> N",
        ),
        (CPU, setting(torch, "get_num_threads", lambda: 77), "number of torch threads {numThreads} -> 77"),
        *(
            (CPU, variable(name), f"CPU instruction set {{cpuCapability}} -> {{cpuCapability}} {name}=planted")
            for name in fingerprint._CPU_OVERRIDES  # pyright: ignore[reportPrivateUsage]
        ),
        (CUDA, setting(torch.cuda, "get_device_name", lambda _: "A100"), "device {device} -> cuda:A100"),
        (CUDA, setting(torch.backends.cudnn, "version", lambda: 91003), "cuDNN 91002 -> {plainTorch}, cuDNN 91003"),
        (CUDA, setting(fingerprint, "nvidia_driver", lambda: "580.2"), "NVIDIA driver 580.2"),
        *(
            (CUDA, variable(name), f"{name}=planted")
            for name in fingerprint._CUDA_OVERRIDES  # pyright: ignore[reportPrivateUsage]
        ),
    ],
)
def test_what_changed_is_said(
    two: Callable[[Any, torch.device], tuple[Fingerprint, Fingerprint]], device: torch.device, change: Any, said: str
) -> None:
    before, after = two(change, device)
    message = describe_difference(before, after)
    assert message is not None
    assert message.startswith("resume is not bit-exact: ")
    assert said.format(**msgspec.to_builtins(before), plainTorch=torch.__version__) in message
    assert message.count(" -> ") == 1, "nothing else"


def test_every_field_is_said_and_the_same_environment_is_none() -> None:
    now = take_fingerprint(CPU)
    assert describe_difference(now, now) is None
    assert describe_difference(now, now, is_deterministic=False) == (
        "resume is not bit-exact: training.deterministic is false"
    )
    for field in Fingerprint.__struct_fields__:
        value = 99 if field == "num_threads" else "another"
        message = describe_difference(msgspec.structs.replace(now, **{field: value}), now)
        assert message is not None, field
        assert f" {value} -> {getattr(now, field)}" in message


def greet(worker: Orchestrator, folder: Path, num_threads: int) -> Ready:
    config = make_config(worker={"numThreads": num_threads}, checkpoint={"everySteps": 1})
    worker.wait_for(Hello)
    worker.attach()
    worker.send(welcome_of(config, folder, digits()[0]))
    return worker.wait_for(Ready)


def test_a_worker_says_it_when_it_resumes_in_another_environment(tmp_path: Path) -> None:
    config = make_config()
    with launch() as worker:
        assert greet(worker, tmp_path, 1).warnings == []
        worker.send_batch(make_digit_batches(config, digits()[0])(0))
        worker.wait_for(Saved)
    with launch({"DNNL_MAX_CPU_ISA": "SSE41"}, generation=1) as worker:
        ready = greet(worker, tmp_path, 2)
    assert ready.step == 1
    [warning] = ready.warnings
    assert warning.startswith("resume is not bit-exact: CPU instruction set ")
    assert warning.endswith("DNNL_MAX_CPU_ISA=SSE41, number of torch threads 1 -> 2")
    assert "DNNL_MAX_CPU_ISA" not in os.environ
