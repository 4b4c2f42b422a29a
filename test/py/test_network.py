"""The presets are the networks of their papers, and a network that was trained before begins where it ended."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.pipelines.ddim.pipeline_ddim import DDIMPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from preset_table import preset_table
from safetensors.torch import load_file, save_file

from example import make_config
from immiscible_worker.errors import ConfigError
from immiscible_worker.network import build_network, pretrained_sha256


def build_preset(preset: str, resolution: int, num_classes: int = 0) -> Any:
    return build_network(make_config(network={"preset": preset}).network, (3, resolution, resolution), num_classes)


@pytest.mark.parametrize(
    ("preset", "resolution", "num_parameters"),
    [
        # google/ddpm-cifar10-32; torchcfm's UNetModelWrapper of the same plan has as many.
        ("ddpm-cifar10", 32, 35_746_307),
        ("flow-cifar10", 32, 35_746_307),
        ("consistency-32", 32, 71_086_595),
        # The 296 million of Dhariwal & Nichol's ImageNet-64 network, without the 1,000 x 768 of its classes.
        ("consistency-64", 64, 295_131_267),
    ],
)
def test_preset_has_the_parameters_of_its_paper_and_keeps_the_shape(
    preset: str, resolution: int, num_parameters: int
) -> None:
    with torch.device("meta"):
        network = build_preset(preset, resolution)
        output = network(torch.zeros(2, 3, resolution, resolution), torch.zeros(2)).sample
    assert sum(parameter.numel() for parameter in network.parameters()) == num_parameters
    assert output.shape == (2, 3, resolution, resolution)


@pytest.mark.parametrize("preset", ["ddpm-cifar10", "flow-cifar10"])
def test_cifar_presets_run(preset: str) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        output = build_preset(preset, 32).eval()(torch.randn(1, 3, 32, 32), torch.tensor([500])).sample
    assert output.shape == (1, 3, 32, 32)
    assert torch.isfinite(output).all()


def published(preset: str) -> dict[str, Any]:
    """The config.json of published weights, where it says other than diffusers' defaults; sizes apart."""
    cifar = {
        "block_out_channels": [128, 256, 256, 256],
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
        "layers_per_block": 2,
    }
    tables: dict[str, dict[str, Any]] = {
        "ddpm-cifar10": {
            **cifar,
            "attention_head_dim": None,
            "downsample_padding": 0,
            "flip_sin_to_cos": False,
            "freq_shift": 1,
            "norm_eps": 1e-6,
            "dropout": 0.1,
        },
        "flow-cifar10": {**cifar, "attention_head_dim": 64, "dropout": 0.1},
        "consistency-64": {
            "block_out_channels": [192, 384, 576, 768],
            "down_block_types": ["ResnetDownsampleBlock2D", *["AttnDownBlock2D"] * 3],
            "up_block_types": [*["AttnUpBlock2D"] * 3, "ResnetUpsampleBlock2D"],
            "layers_per_block": 3,
            "attention_head_dim": 64,
            "attn_norm_num_groups": 32,
            "resnet_time_scale_shift": "scale_shift",
            "downsample_type": "resnet",
            "upsample_type": "resnet",
        },
    }
    return tables[preset]


@pytest.mark.parametrize("preset", ["ddpm-cifar10", "flow-cifar10", "consistency-64"])
def test_preset_is_the_published_config(preset: str) -> None:
    resolution = 64 if preset == "consistency-64" else 32
    with torch.device("meta"):
        ours = build_preset(preset, resolution)
        theirs: Any = UNet2DModel(sample_size=resolution, **published(preset))
    made, wanted = (
        {name: list(value) if isinstance(value, tuple) else value for name, value in network.config.items()}
        for network in (ours, theirs)
    )
    assert {name: value for name, value in made.items() if name[0] != "_"} == {
        name: value for name, value in wanted.items() if name[0] != "_"
    }


@pytest.mark.parametrize(
    ("preset", "resolution", "sides", "heads"),
    [
        ("ddpm-cifar10", 32, {16, 4}, {1}),
        ("flow-cifar10", 32, {16, 4}, {4}),
        ("consistency-32", 32, {16, 8}, {1}),
        ("consistency-64", 64, {32, 16, 8}, {6, 9, 12}),
    ],
)
def test_preset_attends_where_its_paper_does(preset: str, resolution: int, sides: set[int], heads: set[int]) -> None:
    """The least side is that of the middle block. Every attention has its norm."""
    found: list[tuple[int, int]] = []
    with torch.device("meta"):
        network = build_preset(preset, resolution)
        for module in network.modules():
            if isinstance(module, Attention):
                assert module.group_norm is not None
                note: Any = lambda part, given: found.append((part.heads, given[0].shape[-1]))  # noqa: E731
                module.register_forward_pre_hook(note)
        network(torch.zeros(1, 3, resolution, resolution), torch.zeros(1))
    assert {side for _, side in found} == sides
    assert {number for number, _ in found} == heads


def test_documentation_has_the_table_as_it_is_printed() -> None:
    assert preset_table() in (Path(__file__).parents[2] / "docs" / "networks.md").read_text()


def test_classes_are_one_more_than_those_of_the_data() -> None:
    with torch.device("meta"):
        assert build_preset("ddpm-cifar10", 32, 10).class_embedding.weight.shape == (11, 512)
        assert build_preset("ddpm-cifar10", 32).class_embedding is None


def test_levels_beyond_the_images_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"network\.blockOutChannels: expected image sides divisible by 8"):
        build_preset("ddpm-cifar10", 12)


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """A pipeline folder of the small network, for grey 8 x 8 images without labels."""
    torch.manual_seed(1)
    network: Any = build_network(make_config().network, (1, 8, 8), 0)
    DDIMPipeline(unet=network, scheduler=DDIMScheduler()).save_pretrained(tmp_path / "pipeline")
    return tmp_path / "pipeline"


def load(folder: Path, sha256: str | None = None, num_classes: int = 0, channels: int = 1, side: int = 8) -> Any:
    section = {"kind": "pretrained", "initFrom": str(folder), "sha256": sha256}
    return build_network(make_config(network=section).network, (channels, side, side), num_classes)


def test_pretrained_network_has_the_architecture_and_weights_of_the_folder(pipeline: Path) -> None:
    saved = load_file(pipeline / "unet" / "diffusion_pytorch_model.safetensors")
    network = load(pipeline, pretrained_sha256(pipeline / "unet"))
    assert {name: value.shape for name, value in network.state_dict().items()} == {k: v.shape for k, v in saved.items()}
    assert all(torch.equal(value, saved[name]) for name, value in network.state_dict().items())
    assert network.config.block_out_channels == [8, 16]


def test_half_precision_weights_become_float32(pipeline: Path) -> None:
    weights = pipeline / "unet" / "diffusion_pytorch_model.safetensors"
    halves = {name: value.half() for name, value in load_file(weights).items()}
    save_file(halves, weights)
    network = load(pipeline)
    assert {value.dtype for value in network.parameters()} == {torch.float32}
    assert torch.equal(network.conv_in.weight, halves["conv_in.weight"].float())


def test_sharded_weights_are_one_network(pipeline: Path, tmp_path: Path) -> None:
    whole = load(pipeline)
    shutil.rmtree(pipeline / "unet")
    whole.save_pretrained(pipeline / "unet", max_shard_size="20KB")
    assert len(list((pipeline / "unet").glob("*-of-*.safetensors"))) > 1
    before = pretrained_sha256(pipeline / "unet")
    network = load(pipeline, before)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), network.parameters(), strict=True))
    shard = next((pipeline / "unet").glob("*-00002-of-*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"\x01")
    assert pretrained_sha256(pipeline / "unet") != before


def test_hash_is_over_names_and_contents(pipeline: Path) -> None:
    """Worked by hand, as the orchestrator does."""
    names = ("config.json", "diffusion_pytorch_model.safetensors")
    digests = (hashlib.sha256((pipeline / "unet" / name).read_bytes()).hexdigest() for name in names)
    lines = "".join(f"{name} {digest}\n" for name, digest in zip(names, digests, strict=True))
    assert pretrained_sha256(pipeline / "unet") == hashlib.sha256(lines.encode()).hexdigest()


def refusal(folder: Path, **given: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, **given)
    assert caught.value.code == "NETWORK"
    return str(caught.value)


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_folder_that_is_gone_or_changed_is_refused(pipeline: Path) -> None:
    pinned = pretrained_sha256(pipeline / "unet")
    edit_config(pipeline, dropout=0.5)
    message = refusal(pipeline, sha256=pinned)
    assert message.startswith(
        f"network.initFrom: {pipeline / 'unet'} has changed since the run was made: expected SHA-256"
    )
    shutil.rmtree(pipeline)
    assert f"network.initFrom: {pipeline / 'unet'} cannot be loaded" in refusal(pipeline, sha256=pinned)


def test_network_of_other_images_or_classes_is_refused(pipeline: Path) -> None:
    assert "expected in_channels 3 in its config, got 1" in refusal(pipeline, channels=3)
    assert "expected sample_size (16, 16) in its config, got (8, 8)" in refusal(pipeline, side=16)
    assert "expected num_class_embeds 11 in its config, got None" in refusal(pipeline, num_classes=10)


def test_weights_that_are_not_the_networks_are_refused(pipeline: Path) -> None:
    path = pipeline / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    save_file({name: value for name, value in weights.items() if name != "conv_in.bias"}, path)
    assert "conv_in.bias" in refusal(pipeline)
    save_file({**weights, "conv_extra.bias": torch.zeros(3)}, path)
    assert "expected no unexpected keys, got conv_extra.bias" in refusal(pipeline)
    save_file({**weights, "conv_in.bias": torch.zeros(3)}, path)
    assert "conv_in" in refusal(pipeline)


def test_pickled_weights_are_never_read(pipeline: Path, tmp_path: Path) -> None:
    (pipeline / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    trace = tmp_path / "ran"
    harmful = f"cos\nmkdir\n(S'{trace}'\ntR.".encode()
    (pipeline / "unet" / "diffusion_pytorch_model.bin").write_bytes(harmful)
    assert "cannot be loaded" in refusal(pipeline)
    assert not trace.exists()
    pickle.loads(harmful)
    assert trace.exists(), "control: what a pickle can do"
