"""What this Python is: for `immiscible doctor`, so without anything that may be missing."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def describe(packages: Sequence[str]) -> dict[str, Any]:
    """packages: names whose versions are wanted, None where absent. torch: what it says, or why it does not."""
    return {
        "python": sys.executable,
        "version": platform.python_version(),
        "packages": {name: _version_of(name) for name in packages},
        "torch": _describe_torch(),
        "nvidiaDriver": nvidia_driver(),
    }


def _version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _describe_torch() -> dict[str, Any]:
    """Imports it, which takes seconds. cuda: the version that it was built for, whether or not there is such a GPU."""
    try:
        import torch
    except Exception as error:  # a broken library raises OSError, another's code what it likes
        return {"error": f"{type(error).__name__}: {error}"}
    try:
        gpus = [torch.cuda.get_device_properties(at) for at in range(torch.cuda.device_count())]
        probe = torch.ones(2, device="cuda" if gpus else "mps" if torch.backends.mps.is_available() else "cpu")
        probe.sum().item()
    except Exception as error:
        return {"version": str(torch.__version__), "error": f"{type(error).__name__}: {error}"}
    return {
        "version": str(torch.__version__),
        "device": probe.device.type,
        "cuda": torch.version.cuda,
        "gpus": [{"name": gpu.name, "memoryBytes": gpu.total_memory} for gpu in gpus],
        "cpuCapability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }


def nvidia_driver() -> str | None:
    """Of NVIDIA's kernel module; None where there is none."""
    try:
        return Path("/sys/module/nvidia/version").read_text().strip()
    except OSError:
        return None
