"""Networks with the shape of Inception and random weights, in the files in which the real ones come."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from immiscible_worker.quality import InceptionFile

HAS_TORCH_FIDELITY = importlib.util.find_spec("torch_fidelity") is not None
_TORCHVISION = ("torchvision", *(f"torchvision.{part}" for part in ("datasets", "models", "transforms")))


class ScriptedInception(nn.Module):
    """As inception-2015-12-05.pt answers: `forward` resizes as TensorFlow 1 and scales, `layers` does neither."""

    def __init__(self, layers: nn.Module, output: nn.Linear) -> None:
        super().__init__()
        self.layers = layers
        self.output = output

    def forward(
        self, img: torch.Tensor, return_features: bool = False, use_fp16: bool = False, no_output_bias: bool = False
    ) -> torch.Tensor:
        features = self.layers((self.resize(img.to(torch.float32)) - 128.0) / 128.0).flatten(1)
        if return_features:
            return features
        bias = None if no_output_bias else self.output.bias
        return functional.linear(features, self.output.weight, bias).softmax(1)

    def resize(self, x: torch.Tensor) -> torch.Tensor:
        """Output pixel i is at i * size / 299 of the input, between whose pixels it is linear."""
        height, width = x.shape[2], x.shape[3]
        rows = (torch.arange(299) * (height / 299) + 0.5) * 2 / height - 1
        columns = (torch.arange(299) * (width / 299) + 0.5) * 2 / width - 1
        grid = torch.stack([columns.expand(299, 299), rows[:, None].expand(299, 299)], 2)
        grid = grid.expand(x.shape[0], 299, 299, 2)
        return functional.grid_sample(x, grid, "bilinear", "border", False)


def save_torchscript(layers: nn.Module, output: nn.Linear, path: Path) -> None:
    with torch.no_grad():
        traced: Any = torch.jit.trace(layers.eval(), torch.zeros(2, 3, 299, 299))
    torch.jit.script(ScriptedInception(traced, output).eval()).save(path)


def inception_file(path: Path, backend: Any = "torchscript", mode: Any = "legacy-tensorflow") -> InceptionFile:
    return InceptionFile(str(path), hashlib.sha256(path.read_bytes()).hexdigest(), backend, mode)


def plant_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty modules where torchvision cannot be imported: torch-fidelity does so, for other networks and data sets."""
    try:
        importlib.import_module("torchvision")
    except Exception:
        modules = {name: ModuleType(name) for name in (*_TORCHVISION, "torchvision.transforms.functional")}
        for name, module in modules.items():
            parent, _, leaf = name.rpartition(".")
            if parent:
                setattr(modules[parent], leaf, module)
            monkeypatch.setitem(sys.modules, name, module)
        for data_set in ("CIFAR10", "CIFAR100", "STL10"):
            setattr(modules["torchvision.datasets"], data_set, type(data_set, (), {}))


def make_inception() -> Any:
    """torch-fidelity's own network, with random weights that neither die out nor blow up."""
    network_class = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3").FeatureExtractorInceptionV3
    with pytest.MonkeyPatch.context() as patch:
        # It is built from a file only.
        patch.setattr(torch, "load", lambda *_, **__: {})
        patch.setattr(network_class, "load_state_dict", lambda *_: None)
        network = network_class("random", ["2048", "logits_unbiased"], feature_extractor_weights_path="unread")
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.normal_(network.fc.weight, std=0.05)
    nn.init.normal_(network.fc.bias)
    return network
