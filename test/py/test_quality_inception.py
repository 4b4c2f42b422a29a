"""FID by TorchScript, on a small network that is called as the real file is; and what is no such file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from inception_like import ScriptedInception, inception_file, save_torchscript
from torch import nn
from torch.nn import functional

from immiscible_worker.errors import UsageError
from immiscible_worker.quality import InceptionFile, Quality, open_judge
from immiscible_worker.quality.inception import open_inception

CPU = torch.device("cpu")
# It is: so is the published file.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")


def make_parts() -> tuple[nn.Sequential, nn.Linear]:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 12, 7, stride=16), nn.AdaptiveAvgPool2d(1))
    return layers.requires_grad_(False), nn.Linear(12, 6).requires_grad_(False)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "inception-2015-12-05.pt"
    save_torchscript(*make_parts(), path)
    return path


def images(num_images: int, seed: int, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (num_images, channels, 9, 8), generator=generator, dtype=torch.uint8)


def judged(file: InceptionFile, real: torch.Tensor, samples: torch.Tensor, num_bootstrap: int = 0) -> Quality:
    judge = open_judge(
        real,
        None,
        0,
        name="noise",
        inception=file,
        num_images=len(samples),
        seed=0,
        num_bootstrap=num_bootstrap,
        device=CPU,
    )
    return judge(samples)


@pytest.mark.parametrize("mode", ["legacy-tensorflow", "pytorch-fid"])
def test_each_mode_prepares_images_in_its_own_way(weights: Path, mode: str) -> None:
    layers, output = make_parts()
    pixels = images(40, 1)
    if mode == "legacy-tensorflow":
        prepared = (ScriptedInception(layers, output).resize(pixels.float()) - 128) / 128
    else:
        prepared = 2 * functional.interpolate(pixels.float() / 255, (299, 299), mode="bilinear") - 1
    expected = layers(prepared).flatten(1)
    seen = open_inception(inception_file(weights, mode=mode), CPU).look(pixels)
    torch.testing.assert_close(seen.features, expected.double(), rtol=1e-5, atol=1e-6)
    # The score has no bias in the last layer, as the original one had none.
    torch.testing.assert_close(seen.probabilities, (expected @ output.weight.T).double().softmax(1))


def test_resizing_as_tensorflow_1_knows_no_half_pixels() -> None:
    """The stand-in's own check: column i is at 4 i / 299 of a ramp of four pixels, and ends in its last one."""
    ramp = torch.arange(4.0).repeat(4, 1)[None, None].expand(1, 3, 4, 4)
    row = ScriptedInception(*make_parts()).resize(ramp)[0, 0, 0]
    expected = [min(3.0, column * 4 / 299) for column in range(299)]
    torch.testing.assert_close(row, torch.tensor(expected), rtol=0, atol=1e-5)


def test_the_names_and_the_reference_are_said(weights: Path) -> None:
    quality = judged(inception_file(weights), images(50, 2), images(20, 3), num_bootstrap=5)
    assert quality.features == "inception (torchscript, legacy-tensorflow)"
    assert quality.features_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (quality.reference, quality.num_reference, quality.num_images) == ("all 50 images of noise", 50, 20)
    names = [measure.name for measure in quality.measures]
    assert names == ["fid", "kid", "precision", "recall", "inceptionScore", "slicedWasserstein", "nearestTrain"]
    assert all(measure.floor is None and measure.low is not None for measure in quality.measures)


def test_fid_is_its_formula_on_the_features(weights: Path) -> None:
    file, real, samples = inception_file(weights), images(50, 4), images(30, 5) // 2
    a, b = (open_inception(file, CPU).look(pixels).features.numpy() for pixels in (samples, real))
    covariances = [np.cov(side, rowvar=False) for side in (a, b)]
    root = np.real(scipy.linalg.sqrtm(covariances[0] @ covariances[1]))
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    fid = judged(file, real, samples).measures[0]
    assert (fid.name, fid.value) == ("fid", pytest.approx(float(expected), rel=1e-3))
    # Control: images of the reference itself are nearer.
    assert fid.value > 2 * judged(file, real, real[:30]).measures[0].value


def test_grey_images_have_three_equal_channels(weights: Path) -> None:
    file, real, samples = inception_file(weights), images(40, 6, channels=1), images(20, 7, channels=1)
    in_grey, in_colour = judged(file, real, samples), judged(file, real.repeat(1, 3, 1, 1), samples.repeat(1, 3, 1, 1))
    assert in_grey.measures[:5] == in_colour.measures[:5]


def test_a_file_that_is_not_what_was_named_is_said(weights: Path, tmp_path: Path) -> None:
    missing = InceptionFile(str(tmp_path / "none.pt"), "00", "torchscript", "legacy-tensorflow")
    with pytest.raises(UsageError, match=r"^inception: expected a file, got .*none\.pt: No such file or directory$"):
        open_inception(missing, CPU)
    other = InceptionFile(str(weights), "ab" * 32, "torchscript", "legacy-tensorflow")
    actual = hashlib.sha256(weights.read_bytes()).hexdigest()
    with pytest.raises(UsageError, match=rf"^inception: .*\.pt: expected SHA-256 {'ab' * 32}, got {actual}$"):
        open_inception(other, CPU)
    open_inception(inception_file(weights), CPU)  # control


@pytest.mark.parametrize("kind", ["text", "weights", "another network"])
def test_a_file_that_is_no_such_torchscript_is_said(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file.pt"
    if kind == "text":
        path.write_text("<html>404</html>")
    elif kind == "weights":
        torch.save({"fc.weight": torch.zeros(2)}, path)
    else:
        torch.jit.script(nn.Linear(2, 2)).save(path)
    expected = r"^inception: .*file\.pt: expected the TorchScript of Inception, with layers and output, got [^\n]+$"
    with pytest.raises(UsageError, match=expected):
        open_inception(inception_file(path), CPU)


def test_too_few_real_images_and_other_channels_are_refused_before_the_file_is_read(tmp_path: Path) -> None:
    file = InceptionFile(str(tmp_path / "none.pt"), "00", "torchscript", "legacy-tensorflow")
    with pytest.raises(UsageError, match=r"^noise: expected 16 or more real images, got 15$"):
        judged(file, images(15, 1), images(16, 1))
    with pytest.raises(UsageError, match=r"^inception: expected images of 1 or 3 channels, got 4 in noise$"):
        judged(file, images(20, 1, channels=4), images(16, 1, channels=4))
