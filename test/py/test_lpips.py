"""LPIPS from its definition, on weights that are random but named as the lpips package names them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from training import make_trainer

from example import make_config
from immiscible_worker.errors import ConfigError
from immiscible_worker.lpips import load_lpips
from immiscible_worker.objective import BuildContext, Inputs, Networks, consistency

# VGG16 up to relu5_3 as torchvision has it: channels of the convolutions, M for a pooling.
PLAN = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)
# Where the slices of the lpips package begin, in layers of that network.
STARTS = (0, 4, 9, 16, 23, 30)


def make_vgg() -> nn.Sequential:
    """Random weights, of a size that neither dies out nor blows up."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    channels = 3
    for width in PLAN:
        if isinstance(width, int):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2, 2))
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return nn.Sequential(*layers).requires_grad_(False)


@pytest.fixture(scope="module")
def vgg() -> nn.Sequential:
    return make_vgg()


@pytest.fixture(scope="module")
def state(vgg: nn.Sequential) -> dict[str, torch.Tensor]:
    """As lpips.LPIPS(net="vgg").state_dict(): slices keep torchvision's numbers, and each lin is there twice."""
    state: dict[str, torch.Tensor] = {
        "scaling_layer.shift": torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1),
        "scaling_layer.scale": torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1),
    }
    for number, layer in enumerate(vgg):
        if isinstance(layer, nn.Conv2d):
            part = next(at for at in range(1, 6) if number < STARTS[at])
            state[f"net.slice{part}.{number}.weight"] = layer.weight.data
            state[f"net.slice{part}.{number}.bias"] = torch.randn(len(layer.weight)) * 0.01
            layer.bias = nn.Parameter(state[f"net.slice{part}.{number}.bias"], requires_grad=False)
    for at, channels in enumerate((64, 128, 256, 512, 512)):
        state[f"lin{at}.model.1.weight"] = torch.rand(1, channels, 1, 1)
        state[f"lins.{at}.model.1.weight"] = state[f"lin{at}.model.1.weight"].clone()
    return state


@pytest.fixture
def weights(state: dict[str, torch.Tensor], tmp_path: Path) -> Path:
    path = tmp_path / "lpips.safetensors"
    save_file(state, path)
    return path


def by_definition(vgg: nn.Sequential, state: dict[str, torch.Tensor], a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Zhang et al. 2018, eq. 1: weighted squared differences of unit features, mean over places, summed over layers."""
    total = torch.zeros(len(a), dtype=torch.float64)
    x, y = ((image - state["scaling_layer.shift"]) / state["scaling_layer.scale"] for image in (a, b))
    layer = 0
    for number, module in enumerate(vgg):
        x, y = module(x), module(y)
        if number + 1 in (*STARTS[1:5], 30):
            unit = [value.double() / value.double().square().sum(1, keepdim=True).sqrt() for value in (x, y)]
            weight = state[f"lin{layer}.model.1.weight"].double()
            total += (weight * (unit[0] - unit[1]) ** 2).sum(1).mean((1, 2))
            layer += 1
    return total


def images_of(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    first, second = (torch.rand(2, 3, side, side) * 2 - 1 for _ in range(2))
    return first, second


def test_it_is_the_definition(vgg: nn.Sequential, state: dict[str, torch.Tensor], weights: Path) -> None:
    a, b = images_of(256)
    distance = load_lpips(str(weights), hashlib.sha256(weights.read_bytes()).hexdigest())
    torch.testing.assert_close(distance(a, b).double(), by_definition(vgg, state, a, b), rtol=1e-3, atol=1e-5)
    assert torch.equal(distance(a, a), torch.zeros(2))


def test_small_images_are_enlarged_to_224(vgg: nn.Sequential, state: dict[str, torch.Tensor], weights: Path) -> None:
    a, b = images_of(32)
    large = [torch.nn.functional.interpolate(image, size=224, mode="bilinear") for image in (a, b)]
    expected = by_definition(vgg, state, *large)
    torch.testing.assert_close(load_lpips(str(weights), None)(a, b).double(), expected, rtol=1e-3, atol=1e-5)


def test_equal_images_have_a_finite_gradient(weights: Path) -> None:
    """A plain root of the features' squares has none where all of them are 0."""
    image = images_of(32)[0].requires_grad_()
    load_lpips(str(weights), None)(image, image.detach() + 0.01).sum().backward()
    assert image.grad is not None
    assert bool(image.grad.isfinite().all())
    assert bool((image.grad != 0).any())


def test_the_objective_measures_by_it_in_the_images_own_range(weights: Path) -> None:
    fields = {"kind": "consistency", "preset": "original", "loss": "lpips", "lpipsWeights": str(weights)}
    config = make_config(objective=fields).objective
    inputs = Inputs(*images_of(8), torch.full((2, 3), 0.5), None, 5)

    def network(sample: torch.Tensor, *_: Any) -> Any:
        return type("Output", (), {"sample": sample.tanh()})

    seen: list[torch.Tensor] = []
    for scale in (1.0, 2.0):
        objective = consistency.build(BuildContext(config, scale, (3, 8, 8)))
        seen.append(objective.loss(Networks(network, network), inputs).loss)
    assert float(seen[0]) > 0
    assert float(seen[0]) != float(seen[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("net.slice5.28.weight"), r"expected net\.slice5\.28\.weight .*, got nothing"),
        (
            lambda state: state.update({"lin2.model.1.weight": torch.zeros(1, 128, 1, 1)}),
            r"lin2.* got \[1, 128, 1, 1\]",
        ),
    ],
)
def test_weights_that_are_not_lpips_are_said(
    state: dict[str, torch.Tensor], tmp_path: Path, change: Any, message: str
) -> None:
    changed = dict(state)
    change(changed)
    save_file(changed, tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match=rf"objective\.lpipsWeights: .*{message}"):
        load_lpips(str(tmp_path / "other.safetensors"), None)


def test_a_file_that_is_missing_or_has_changed_is_said(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"objective\.lpipsWeights: expected a safetensors file, got .*No such file"):
        load_lpips(str(tmp_path / "none"), None)
    with pytest.raises(ConfigError, match=r"has changed since the run was made: expected SHA-256 00, got"):
        load_lpips(str(weights), "00")
    (tmp_path / "pickle").write_bytes(b"\x80\x04")
    with pytest.raises(ConfigError, match=r"objective\.lpipsWeights: expected a safetensors file, got"):
        load_lpips(str(tmp_path / "pickle"), None)


def test_grey_images_are_refused_before_training(weights: Path) -> None:
    config = make_config(objective={"kind": "consistency", "loss": "lpips", "lpipsWeights": str(weights)})
    with pytest.raises(ConfigError, match=r"objective\.loss: .* these have 1, got lpips"):
        make_trainer(config)
