"""LPIPS (Zhang et al. 2018) on VGG16 features, from the weights of the lpips package kept as safetensors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load
from torch.nn import functional

from .errors import ConfigError

# Convolutions of VGG16 by their number in torchvision, slice by slice: the slices end at relu1_2, 2_2, 3_3, 4_3, 5_3.
_SLICES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
_CHANNELS = (64, 128, 256, 512, 512)
_SIDE = 224
_EPSILON = 1e-10

Distance = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""float32 [B, 3, H, W] twice, in [-1, 1]; result: float32 [B], at least 0."""


def load_lpips(path: str, sha256: str | None) -> Distance:
    """LPIPS with `lpips.LPIPS(net="vgg").state_dict()` from a safetensors file, as of version 0.1 of those weights.

    Images smaller than 256 are enlarged to 224 x 224, as the code of Song et al. 2023 does. sha256: of the file, None
    where it does not matter. Raises ConfigError where the file is missing, another or incomplete.
    """
    weights = _read(Path(path), sha256)
    moved: dict[torch.device, dict[str, torch.Tensor]] = {}

    def distance(images: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        if images.device not in moved:
            moved[images.device] = {name: tensor.to(images.device) for name, tensor in weights.items()}
        here = moved[images.device]
        pairs = zip(_features(images, here), _features(others, here), strict=True)
        scores = [
            functional.conv2d((_normalize(a) - _normalize(b)) ** 2, here[f"lin{layer}.model.1.weight"]).mean((1, 2, 3))
            for layer, (a, b) in enumerate(pairs)
        ]
        return torch.stack(scores).sum(0)

    return distance


def _read(path: Path, sha256: str | None) -> dict[str, torch.Tensor]:
    field = "objective.lpipsWeights"
    try:
        content = path.read_bytes()
        tensors = load(content)
    except Exception as error:
        message = f"{field}: expected a safetensors file, got {path}: {error}"
        raise ConfigError("OBJECTIVE", message) from error
    actual = hashlib.sha256(content).hexdigest()
    if sha256 not in (None, actual):
        message = f"{field}: {path} has changed since the run was made: expected SHA-256 {sha256}, got {actual}"
        raise ConfigError("OBJECTIVE", message)
    weights: dict[str, torch.Tensor] = {}
    for name, shape in _shapes().items():
        found = tensors.get(name)
        if found is None or tuple(found.shape) != shape:
            got = "nothing" if found is None else list(found.shape)
            message = f"{field}: {path}: expected {name} of shape {list(shape)}, got {got}"
            raise ConfigError("OBJECTIVE", message)
        weights[name] = found.to(torch.float32)
    return weights


def _shapes() -> dict[str, tuple[int, ...]]:
    """Every tensor that is used, by its name in the state_dict."""
    shapes: dict[str, tuple[int, ...]] = {"scaling_layer.shift": (1, 3, 1, 1), "scaling_layer.scale": (1, 3, 1, 1)}
    before = 3
    for layer, (numbers, channels) in enumerate(zip(_SLICES, _CHANNELS, strict=True)):
        for number in numbers:
            shapes[f"net.slice{layer + 1}.{number}.weight"] = (channels, before, 3, 3)
            shapes[f"net.slice{layer + 1}.{number}.bias"] = (channels,)
            before = channels
        shapes[f"lin{layer}.model.1.weight"] = (1, channels, 1, 1)
    return shapes


def _features(images: torch.Tensor, weights: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    if min(images.shape[2:]) < 256:
        images = functional.interpolate(images, size=_SIDE, mode="bilinear")
    x = (images - weights["scaling_layer.shift"]) / weights["scaling_layer.scale"]
    features: list[torch.Tensor] = []
    for layer, numbers in enumerate(_SLICES, start=1):
        if layer > 1:
            x = functional.max_pool2d(x, 2)
        for number in numbers:
            name = f"net.slice{layer}.{number}"
            x = functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1).relu()
        features.append(x)
    return features


def _normalize(features: torch.Tensor) -> torch.Tensor:
    """Unit length over channels. vector_norm, since the gradient of a plain root is NaN where all channels are 0."""
    return features / (torch.linalg.vector_norm(features, dim=1, keepdim=True) + _EPSILON)
