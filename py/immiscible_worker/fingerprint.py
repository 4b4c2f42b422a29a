"""What decides the bits besides config and data: versions, device, instruction set, threads; what differs, in words."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from .describe import nvidia_driver
from .protocol import Fingerprint

# Set by hand, each changes which kernels run, or how they round, on the same machine.
_CPU_OVERRIDES = (
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_DEFAULT_FPMATH_MODE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_CBWR",
)
_CUDA_OVERRIDES = ("CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE")
_WORDS = {
    "python": "Python",
    "torch": "torch",
    "diffusers": "diffusers",
    "device": "device",
    "cpu_capability": "CPU instruction set",
    "num_threads": "number of torch threads",
    "platform": "platform",
}


def take_fingerprint(device: torch.device) -> Fingerprint:
    """Of this process, after `configure_torch`."""
    is_cuda = device.type == "cuda"
    # The build of torch says which CUDA; which cuDNN is found where it runs.
    cudnn = [f"cuDNN {torch.backends.cudnn.version()}"] if is_cuda else []
    driver = [f"NVIDIA driver {nvidia_driver() or 'unknown'}"] if is_cuda else []
    name = f"cuda:{torch.cuda.get_device_name(device)}" if is_cuda else device.type
    return Fingerprint(
        python=platform.python_version(),
        torch=", ".join([str(torch.__version__), *cudnn]),
        diffusers=_version_of("diffusers"),
        device=" ".join([name, *(_overrides(_CUDA_OVERRIDES) if is_cuda else [])]),
        cpu_capability=" ".join([torch.backends.cpu.get_cpu_capability(), *_overrides(_CPU_OVERRIDES)]),
        num_threads=torch.get_num_threads(),
        platform=", ".join([f"{platform.system()} {platform.machine()} {_cpu_model()}".strip(), *driver]),
    )


def describe_difference(saved: Fingerprint, current: Fingerprint, is_deterministic: bool = True) -> str | None:
    """'resume is not bit-exact: torch 2.12 -> 2.13' where a checkpoint comes from another environment, else None.

    is_deterministic: whether two runs on the same fingerprint are the same.
    """
    changes = [
        f"{word} {getattr(saved, field)} -> {getattr(current, field)}"
        for field, word in _WORDS.items()
        if getattr(saved, field) != getattr(current, field)
    ]
    if not is_deterministic:
        changes.append("training.deterministic is false")
    return f"resume is not bit-exact: {', '.join(changes)}" if changes else None


def _overrides(names: Sequence[str]) -> list[str]:
    return [f"{name}={os.environ[name]}" for name in names if name in os.environ]


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
