"""What a training takes: known parameter counts, arithmetic done by hand, and bytes that real tensors take."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from example import make_config
from immiscible_worker.cost import count_flops, count_kept_bytes, describe_training
from immiscible_worker.errors import ConfigError
from immiscible_worker.network import build_network
from immiscible_worker.protocol import TrainConfig

CIFAR = (3, 32, 32)
ADAPTIVE: dict[str, Any] = {"kind": "consistency", "preset": "original", "loss": "l2"}


def _preset(preset: str, **sections: Any) -> TrainConfig:
    return make_config(network={"preset": preset}, **sections)


@pytest.mark.parametrize(
    ("preset", "side", "num_parameters", "giga_flops"),
    [
        # The first 35.7 million are of Ho et al. 2020, whose network takes about 6 billion multiply-adds at 32 x 32.
        ("ddpm-cifar10", 32, 35_746_307, 12.4),
        ("flow-cifar10", 32, 35_746_307, 12.4),
        ("consistency-32", 32, 71_086_595, 44.2),
        # Dhariwal & Nichol's ImageNet-64 network.
        ("consistency-64", 64, 295_131_267, 219.3),
    ],
)
def test_presets_have_the_size_of_their_papers(preset: str, side: int, num_parameters: int, giga_flops: float) -> None:
    cost = describe_training(_preset(preset), (3, side, side), 0, is_latent=False)
    assert cost.num_parameters == num_parameters
    assert cost.forward_flops / 1e9 == pytest.approx(giga_flops, rel=0.01)
    assert cost.state == {
        "weights": 4 * num_parameters,
        "gradients": 4 * num_parameters,
        "optimizer": 8 * num_parameters,
        "ema": 4 * num_parameters,
    }


def test_flops_of_a_small_network_are_those_counted_by_hand() -> None:
    """One level of 8 channels at 4 x 4, one layer down, two up, the middle block with attention of one head."""
    network = build_network(
        make_config(
            network={
                "blockOutChannels": [8],
                "downBlockTypes": ["DownBlock2D"],
                "upBlockTypes": ["UpBlock2D"],
                "attentionHeadDim": None,
            }
        ).network,
        (1, 4, 4),
        0,
    )

    def convolution(inputs: int, outputs: int, side: int = 3) -> int:
        return 2 * 16 * inputs * outputs * side * side

    def linear(inputs: int, outputs: int, rows: int = 1) -> int:
        return 2 * rows * inputs * outputs

    def residual(inputs: int) -> int:
        shortcut = convolution(inputs, 8, 1) if inputs != 8 else 0
        return convolution(inputs, 8) + linear(32, 8) + convolution(8, 8) + shortcut

    time_embedding = linear(8, 32) + linear(32, 32)
    attention = 4 * linear(8, 8, 16) + 2 * linear(16, 16, 8)
    middle = residual(8) + attention + residual(8)
    expected = (
        time_embedding + convolution(1, 8) + residual(8) + middle + residual(16) + residual(16) + convolution(8, 1)
    )
    assert count_flops(network.eval(), (1, 4, 4), 0) == expected


@pytest.mark.parametrize("preset", ["ddpm-cifar10", "consistency-32"])
def test_flops_are_those_that_torch_counts_where_attention_is_not_fused(preset: str) -> None:
    fused = describe_training(_preset(preset), CIFAR, 0, is_latent=False).forward_flops
    with torch.device("meta"):
        assert count_flops(build_network(_preset(preset).network, CIFAR, 0), CIFAR, 0) == fused


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("num_labels", [0, 10])
def test_kept_bytes_without_data_are_those_of_real_tensors(precision: str, num_labels: int) -> None:
    """As they grow with the images, which is what is reported; half precision may differ in a buffer of the CPU's."""
    config = make_config(network={"blockOutChannels": [8, 16], "dropout": 0.1}).network
    shape = (1, 8, 8)

    def growth(network: Any) -> int:
        counts = [count_kept_bytes(network, shape, num_labels, size, precision) for size in (2, 4)]
        return counts[1] - counts[0]

    real = growth(build_network(config, shape, num_labels).train())
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert growth(build_network(config, shape, num_labels).train()) == pytest.approx(
            real, rel=0 if precision == "no" else 0.01
        )


def test_kept_bytes_of_a_linear_layer_and_a_sigmoid() -> None:
    class Small(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(6, 5)

        def forward(self, sample: torch.Tensor, *_: Any) -> Any:
            return type("Output", (), {"sample": torch.sigmoid(self.layer(sample))})

    # The layer keeps its input, the sigmoid its output, and so does the square behind it: the same one.
    assert count_kept_bytes(Small(), (1, 1, 6), 0, 3, "no") == 3 * 4 * (6 + 5)


def test_what_a_config_says_is_in_its_cost() -> None:
    plain = describe_training(_preset("ddpm-cifar10"), CIFAR, 10, is_latent=False)
    labelled = describe_training(
        _preset("ddpm-cifar10", conditioning={"classLabels": True}), CIFAR, 10, is_latent=False
    )
    # 10 classes and "none", as wide as the embedding of the time.
    assert labelled.num_parameters - plain.num_parameters == 11 * 512
    half = describe_training(_preset("ddpm-cifar10", training={"mixedPrecision": "bf16"}), CIFAR, 0, is_latent=False)
    assert 0.4 < half.activation_bytes / plain.activation_bytes < 0.6
    assert half.state == plain.state
    checkpointed = describe_training(
        _preset("ddpm-cifar10", training={"gradientCheckpointing": True}), CIFAR, 0, is_latent=False
    )
    assert checkpointed.activation_bytes < plain.activation_bytes / 2
    target = describe_training(_preset("ddpm-cifar10", objective=ADAPTIVE), CIFAR, 0, is_latent=False)
    assert target.state == {**plain.state, "target": plain.state["weights"]}


def test_a_network_that_does_not_fit_the_images_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected image sides divisible by 8"):
        describe_training(_preset("ddpm-cifar10"), (3, 28, 28), 0, is_latent=False)
