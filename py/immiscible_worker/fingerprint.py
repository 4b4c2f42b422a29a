"""What decides the bits besides config and data: versions, device, instruction set, threads."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from .protocol import Fingerprint


def take_fingerprint(device: torch.device) -> Fingerprint:
    """Of this process, after `configure_torch`."""
    name = f"cuda:{torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type
    # Either variable changes which kernels run; both default to what the CPU can do.
    overrides = [f"{key}={os.environ[key]}" for key in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA") if key in os.environ]
    return Fingerprint(
        python=platform.python_version(),
        torch=str(torch.__version__),
        diffusers=_version_of("diffusers"),
        device=name,
        cpu_capability=" ".join([torch.backends.cpu.get_cpu_capability(), *overrides]),
        num_threads=torch.get_num_threads(),
        platform=f"{platform.system()} {platform.machine()} {_cpu_model()}".strip(),
    )


def _version_of(package: str) -> str:
    """Without importing it, which takes seconds."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _cpu_model() -> str:
    """oneDNN chooses blockings by the CPU's model, so its name belongs to the fingerprint."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
