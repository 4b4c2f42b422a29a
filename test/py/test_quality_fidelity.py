"""torch-fidelity's own code, where it is installed: both backends give one FID, and its metrics are ours.

Its network has random weights, saved as it expects them; the TorchScript is traced from the same network.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from inception_like import HAS_TORCH_FIDELITY, inception_file, make_inception, plant_torchvision, save_torchscript
from torch import nn

from immiscible_worker.errors import UsageError
from immiscible_worker.quality import open_judge
from immiscible_worker.quality.frechet import open_frechet
from immiscible_worker.quality.inception import open_inception
from immiscible_worker.quality.kernel import kernel_distance
from immiscible_worker.quality.manifold import ball_radii, is_within
from immiscible_worker.quality.score import class_score

CPU = torch.device("cpu")
needs_torch_fidelity = pytest.mark.skipif(
    not HAS_TORCH_FIDELITY, reason="torch-fidelity, the extra `fid` of py/pyproject.toml, is not installed here"
)
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")


@pytest.fixture(scope="module")
def torchvision() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        plant_torchvision(monkeypatch)
        yield


@pytest.fixture(scope="module")
def weights(torchvision: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One network as torch-fidelity's weights and as a TorchScript."""
    network = make_inception()
    folder = tmp_path_factory.mktemp("weights")
    torch.save(network.state_dict(), folder / "weights.pth")
    layers = nn.Sequential(*[module for name, module in network.named_children() if name != "fc"])
    save_torchscript(layers, network.fc, folder / "inception.pt")
    return folder / "weights.pth", folder / "inception.pt"


def images(num_images: int, seed: int) -> torch.Tensor:
    """Smooth and coloured, so that features differ by more than rounding."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((num_images, 3, 4, 4), generator=generator) * 255
    return nn.functional.interpolate(coarse, (32, 32), mode="bicubic").clamp(0, 255).round().to(torch.uint8)


@needs_torch_fidelity
@pytest.mark.parametrize("mode", ["legacy-tensorflow", "pytorch-fid"])
def test_both_backends_give_one_fid(weights: tuple[Path, Path], mode: str) -> None:
    real, samples = images(24, 1), images(16, 2) // 2
    found: list[dict[str, float]] = []
    for backend, path in zip(("torch-fidelity", "torchscript"), weights, strict=True):
        judge = open_judge(
            real,
            None,
            0,
            name="blobs",
            inception=inception_file(path, backend, mode),
            num_images=16,
            seed=0,
            num_bootstrap=0,
            device=CPU,
        )
        quality = judge(samples)
        assert quality.features == f"inception ({backend}, {mode})"
        found.append({measure.name: measure.value for measure in quality.measures})
    assert found[0]["fid"] > 0
    for name in ("fid", "kid", "inceptionScore"):
        assert found[0][name] == pytest.approx(found[1][name], rel=1e-3), name
    assert found[0]["precision"] == found[1]["precision"]


@needs_torch_fidelity
def test_the_modes_are_not_one(weights: tuple[Path, Path]) -> None:
    """Control: that both backends agree says something only where resizing matters."""
    pixels = images(2, 3)
    features = [
        open_inception(inception_file(weights[0], "torch-fidelity", mode), CPU).look(pixels).features
        for mode in ("legacy-tensorflow", "pytorch-fid")
    ]
    assert float((features[0] - features[1]).norm() / features[0].norm()) > 0.01


@needs_torch_fidelity
@pytest.mark.usefixtures("torchvision")
def test_its_metrics_on_the_same_features_are_ours() -> None:
    theirs: Any = {name: import_module(f"torch_fidelity.metric_{name}") for name in ("fid", "kid", "prc", "isc")}
    generator = torch.Generator().manual_seed(4)
    mixing = torch.randn(32, 32, generator=generator, dtype=torch.float64)
    samples = torch.randn(400, 32, generator=generator, dtype=torch.float64) @ mixing
    real = torch.randn(500, 32, generator=generator, dtype=torch.float64) @ mixing * 1.1 + 0.5
    statistics = [theirs["fid"].fid_features_to_statistics(side) for side in (samples, real)]
    fid = theirs["fid"].fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    assert open_frechet(real)(samples) == pytest.approx(fid, rel=1e-3)

    # All rows make one subset.
    kid = theirs["kid"].kid_features_to_metric(samples, real[:400], kid_subsets=1, kid_subset_size=400, verbose=False)
    ours = kernel_distance(samples, real[:400], 1, torch.Generator())
    assert ours == pytest.approx(kid["kernel_inception_distance_mean"], rel=1e-6)

    prc = theirs["prc"].prc_features_to_metric(samples, real, verbose=False)
    assert float(is_within(samples, real, ball_radii(real)).double().mean()) == pytest.approx(prc["precision"])
    assert float(is_within(real, samples, ball_radii(samples)).double().mean()) == pytest.approx(prc["recall"])

    score = theirs["isc"].isc_features_to_metric(samples, shuffle=False)["inception_score_mean"]
    assert class_score(samples.softmax(1), 10) == pytest.approx(score, rel=1e-9)


@needs_torch_fidelity
@pytest.mark.usefixtures("torchvision")
def test_a_file_of_other_weights_or_with_code_in_it_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"fc.weight": torch.zeros(2)}, path)
    expected = r"^inception: .*other\.pth: expected the weights of torch-fidelity's Inception, got [^\n]+$"
    with pytest.raises(UsageError, match=expected):
        open_inception(inception_file(path, "torch-fidelity"), CPU)

    class Planted:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "was run",)

    torch.save({"fc.weight": Planted()}, path)
    with pytest.raises(UsageError, match=expected):
        open_inception(inception_file(path, "torch-fidelity"), CPU)
    assert not (tmp_path / "was run").exists()
    # Control: read as torch-fidelity itself reads, it runs.
    torch.load(path, weights_only=False)
    assert (tmp_path / "was run").exists()


def test_without_the_package_the_backend_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torch_fidelity"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    path = tmp_path / "weights.pth"
    path.write_bytes(b"unread")
    expected = (
        r"^inception: backend torch-fidelity: expected the package torch-fidelity, got .*: "
        r"install immiscible_worker\[fid\], or take the backend torchscript$"
    )
    with pytest.raises(UsageError, match=expected):
        open_inception(inception_file(path, "torch-fidelity"), CPU)


def test_what_needs_the_package_is_not_left_out_in_silence(tmp_path: Path) -> None:
    """In a Python in which the package cannot be found each such test is named with the reason."""
    hidden = tmp_path / "sitecustomize.py"
    hidden.write_text(
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, package=None: None if name == 'torch_fidelity' else find(name, package)\n"
    )
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    # As `npm test` runs it, whose options are in that file.
    options = ["-c", "pyproject.toml", "-p", "no:cacheprovider", "-k", "both_backends or on_the_same"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, __file__],
        cwd=Path(__file__).parents[2] / "py",
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "torch-fidelity, the extra `fid` of py/pyproject.toml, is not installed here" in done.stdout
    assert "3 skipped" in done.stdout
