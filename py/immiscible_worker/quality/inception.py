"""The Inception network of FID from a file of the user's: the TorchScript of NVIDIA, or the weights of torch-fidelity.

Both are translations of the network of 2015-12-05 that TensorFlow had, with 2,048 features and 1,008 classes.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from ..errors import UsageError
from .contract import InceptionFile, Names, Observer, Seen

NAMES = Names("fid", "kid", "precision", "recall", "inceptionScore")
# As the score is usually given: the mean over ten parts.
_NUM_SPLITS = 10
_SIDE = 299
_BATCH = 32
_FIELD = "inception"

Raw = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""uint8 [N, 3, H, W] to features [N, 2048] and logits [N, 1008], these without the bias of the last layer."""


def open_inception(file: InceptionFile, device: torch.device) -> Observer:
    """Checks the file's hash, and loads it. Grey images are looked at with three equal channels.

    mode "legacy-tensorflow": bilinear as TensorFlow 1 resized, then (u - 128) / 128: as clean-fid's mode
    legacy_tensorflow and torch-fidelity. "pytorch-fid": bilinear with half-pixel centres, then 2 u / 255 - 1: as that
    package. Raises UsageError where the file is missing, another, or not what `backend` says.
    """
    content = _read(file)
    raw = (_open_torchscript if file.backend == "torchscript" else _open_torch_fidelity)(file, content, device)

    @torch.no_grad()
    def look(images: torch.Tensor) -> Seen:
        features: list[torch.Tensor] = []
        probabilities: list[torch.Tensor] = []
        for part in images.split(_BATCH):
            made, logits = raw(part.to(device).expand(-1, 3, -1, -1))
            features.append(made.cpu().double())
            probabilities.append(logits.cpu().double().softmax(1))
        return Seen(torch.cat(features), torch.cat(probabilities))

    return Observer(f"inception ({file.backend}, {file.mode})", file.sha256, NAMES, _NUM_SPLITS, look)


def _read(file: InceptionFile) -> bytes:
    try:
        content = Path(file.weights).read_bytes()
    except OSError as error:
        raise UsageError(f"{_FIELD}: expected a file, got {file.weights}: {error.strerror}") from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != file.sha256:
        raise UsageError(f"{_FIELD}: {file.weights}: expected SHA-256 {file.sha256}, got {actual}")
    return content


def _open_torchscript(file: InceptionFile, content: bytes, device: torch.device) -> Raw:
    """Of the file: forward(img uint8, return_features) resizes and scales as TensorFlow 1; `layers` does neither."""
    try:
        network: Any = torch.jit.load(io.BytesIO(content), map_location=device).eval()
        last: torch.Tensor = network.output.weight
        layers = network.layers
    except (RuntimeError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        message = f"{_FIELD}: {file.weights}: expected the TorchScript of Inception, with layers and output"
        raise UsageError(f"{message}, got {reason}") from error

    def raw(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if file.mode == "legacy-tensorflow":
            features = network(images, return_features=True)
        else:
            features = layers(_prepare_as_pytorch_fid(images)).flatten(1)
        return features, functional.linear(features, last)

    return raw


def _open_torch_fidelity(file: InceptionFile, content: bytes, device: torch.device) -> Raw:
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import (  # pyright: ignore[reportMissingImports]
            FeatureExtractorInceptionV3,
        )
    except ImportError as error:
        message = f"{_FIELD}: backend torch-fidelity: expected the package torch-fidelity, got {error}"
        raise UsageError(f"{message}: install immiscible_worker[fid], or take the backend torchscript") from error
    # The package unpickles what it is given, whatever that does. So it is given what was written here, of tensors only.
    rewritten = io.BytesIO()
    try:
        torch.save(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True), rewritten)
        rewritten.seek(0)
        extractor = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=rewritten
        ).to(device)
    except Exception as error:
        reason = str(error).splitlines()[0]
        message = f"{_FIELD}: {file.weights}: expected the weights of torch-fidelity's Inception"
        raise UsageError(f"{message}, got {reason}") from error

    def raw(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if file.mode == "legacy-tensorflow":
            return extractor(images)
        # The package resizes as TensorFlow 1 alone: its first layer is given the other images.
        first: torch.nn.Module = extractor.Conv2d_1a_3x3
        with first.register_forward_pre_hook(lambda *_: (_prepare_as_pytorch_fid(images),)):
            return extractor(images)

    return raw


def _prepare_as_pytorch_fid(images: torch.Tensor) -> torch.Tensor:
    scaled = images.to(torch.float32) / 255
    return 2 * functional.interpolate(scaled, size=(_SIDE, _SIDE), mode="bilinear", align_corners=False) - 1
