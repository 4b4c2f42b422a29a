"""Config to network: a diffusers UNet2DModel in its own words, one that was trained before, or the user's own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers.configuration_utils import ConfigMixin
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d import UNet2DModel

from .errors import ConfigError
from .protocol import ModuleNetwork, NetworkConfig, PretrainedNetwork, UnetNetwork
from .user_module import build, check_that, refuse, users_code

_WEIGHTS = "diffusion_pytorch_model.safetensors"
_SHARD = re.compile(r"diffusion_pytorch_model-\d+-of-\d+\.safetensors")


@dataclass(frozen=True)
class NetworkContext:
    """What a network of the user's own is built for.

    image_shape: channels, height, width. num_classes: 0 for one without labels; else it takes labels 0..num_classes,
    the last of which is "none". options: those of the config.
    """

    image_shape: tuple[int, int, int]
    num_classes: int
    options: dict[str, Any] = field(default_factory=dict)


def build_network(config: NetworkConfig, image_shape: Sequence[int], num_classes: int) -> ModelMixin:
    """A network for images of `image_shape` (channels, height, width), float32, on the CPU.

    num_classes: 0 for one without labels; else it takes labels 0..num_classes, the last of which is "none".
    Draws its weights from torch's global generator: seed it first. Raises ConfigError where it does not fit.
    """
    if isinstance(config, PretrainedNetwork):
        return load_pretrained(config, image_shape, num_classes)
    if isinstance(config, ModuleNetwork):
        return build_module(config, image_shape, num_classes)
    return build_unet(config, image_shape, num_classes)


def build_unet(config: UnetNetwork, image_shape: Sequence[int], num_classes: int) -> UNet2DModel:
    """As `build_network`, from the fields of the config."""
    channels, height, width = image_shape
    halvings = len(config.block_out_channels) - 1
    if height % 2**halvings or width % 2**halvings:
        message = f"expected image sides divisible by {2**halvings} for {halvings + 1} levels, got {height} x {width}"
        raise ConfigError("NETWORK", f"network.blockOutChannels: {message}")
    return UNet2DModel(
        sample_size=height if height == width else (height, width),
        in_channels=channels,
        out_channels=channels,
        block_out_channels=tuple(config.block_out_channels),
        layers_per_block=config.layers_per_block,
        down_block_types=tuple(config.down_block_types),
        up_block_types=tuple(config.up_block_types),
        attention_head_dim=config.attention_head_dim,
        norm_num_groups=config.norm_num_groups,
        attn_norm_num_groups=config.attn_norm_num_groups,
        norm_eps=config.norm_eps,
        downsample_type=config.downsample_type,
        upsample_type=config.upsample_type,
        downsample_padding=config.downsample_padding,
        flip_sin_to_cos=config.flip_sin_to_cos,
        freq_shift=config.freq_shift,
        resnet_time_scale_shift=config.resnet_time_scale_shift,
        dropout=config.dropout,
        num_class_embeds=num_classes + 1 if num_classes else None,
    )


def load_pretrained(config: PretrainedNetwork, image_shape: Sequence[int], num_classes: int) -> UNet2DModel:
    """The UNet2DModel in `unet/` of a pipeline folder, its weights as float32.

    Only safetensors are read. Raises ConfigError where the folder is gone or has changed since it was hashed, where
    weights are missing or left over, and where the network is for other images or classes.
    """
    folder = Path(config.init_from) / "unet"
    try:
        actual = pretrained_sha256(folder)
        if config.sha256 not in (None, actual):
            message = f"{folder} has changed since the run was made: expected SHA-256 {config.sha256}, got {actual}"
            raise ConfigError("NETWORK", f"network.initFrom: {message}")
        loaded: Any = UNet2DModel.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, torch_dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError("NETWORK", f"network.initFrom: {folder} cannot be loaded: {error}") from error
    network, info = loaded
    for what, names in info.items():
        if names:
            listed = ", ".join(map(str, list(names)[:3]))
            raise ConfigError(
                "NETWORK", f"network.initFrom: {folder}: expected no {what.replace('_', ' ')}, got {listed}"
            )
    problem = _describe_misfit(network, image_shape, num_classes)
    if problem:
        raise ConfigError("NETWORK", f"network.initFrom: {folder}: {problem}")
    return network


def pretrained_sha256(folder: Path) -> str:
    """SHA-256 (hex) over name and SHA-256 of config.json and the weights' files, as in ts/pin.ts. Raises OSError."""
    index = f"{_WEIGHTS}.index.json"
    if (folder / index).exists():
        weights = [index, *(path.name for path in folder.iterdir() if _SHARD.fullmatch(path.name))]
    else:
        weights = [_WEIGHTS]
    digest = hashlib.sha256()
    for name in sorted(["config.json", *weights]):
        digest.update(f"{name} {_file_sha256(folder / name)}\n".encode())
    return digest.hexdigest()


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**22):
            digest.update(chunk)
    return digest.hexdigest()


def build_module(config: ModuleNetwork, image_shape: Sequence[int], num_classes: int) -> ModelMixin:
    """The network that the user's `build(context: NetworkContext)` makes, tried once on zeros.

    It must be a diffusers ModelMixin and ConfigMixin with `sample_size`, `in_channels` and `num_class_embeds` in its
    config (pipelines read them), and be called as UNet2DModel is: `network(sample, timestep, class_labels).sample`,
    timestep [B] or a single one. Raises ConfigError.
    """
    module = config.module
    channels, height, width = image_shape
    context = NetworkContext((channels, height, width), num_classes, config.options)
    network = build("network", module, config.sha256, context)
    is_saveable = isinstance(network, ModelMixin) and isinstance(network, ConfigMixin)
    wanted = "a diffusers ModelMixin and ConfigMixin, so that the pipeline can be saved"
    check_that(is_saveable, "network", module, "build()", wanted, network)
    check_that(any(True for _ in network.parameters()), "network", module, "build()", "weights to train", "none")
    problem = _describe_misfit(network, image_shape, num_classes)
    if problem:
        refuse("network", module, problem)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        _check_rebuilt(network, module)
        _try_call(network, module, context)
    return network


def _describe_misfit(network: ModelMixin, image_shape: Sequence[int], num_classes: int) -> str | None:
    """What of a network's config is for other images or classes than these."""
    channels, height, width = image_shape
    config: Any = network.config
    missing = object()
    size = config.get("sample_size", missing)
    size = (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, Sequence) else size
    for name, wanted, got in (
        ("sample_size", (height, width), size),
        ("in_channels", channels, config.get("in_channels", missing)),
        ("num_class_embeds", num_classes + 1 if num_classes else None, config.get("num_class_embeds", missing)),
    ):
        if wanted != got:
            return f"expected {name} {wanted} in its config, got {'nothing' if got is missing else got}"
    return None


def _check_rebuilt(network: Any, module: str) -> None:
    """A pipeline is loaded by making the network again from its config: that must give the same weights, by name."""
    with users_code("network", module, "its class cannot be made again from its config"), init_empty_weights():
        twin = type(network).from_config(network.config)
    shapes, again = ({name: tuple(value.shape) for name, value in made.named_parameters()} for made in (network, twin))
    different = sorted(name for name in shapes.keys() | again.keys() if shapes.get(name) != again.get(name))
    what = "made again from its config (see diffusers' register_to_config)"
    check_that(not different, "network", module, what, "the same parameters", f"another {', '.join(different[:3])}")


def _try_call(network: Any, module: str, context: NetworkContext) -> None:
    """One call as in training, one as from a pipeline, which passes a single timestep."""
    sample = torch.zeros(2, *context.image_shape)
    labels = torch.zeros(2, dtype=torch.int64) if context.num_classes else None
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    network.train()
    for timestep in (torch.zeros(2, dtype=torch.int64), torch.zeros((), dtype=torch.int64)):
        call = f"forward(sample {list(sample.shape)}, timestep {list(timestep.shape)}, class_labels)"
        with users_code("network", module, f"{call} failed"):
            answer = network(sample, timestep, labels)
        output = getattr(answer, "sample", None)
        wanted = "an object with a tensor .sample, such as diffusers' UNet2DOutput"
        check_that(isinstance(output, torch.Tensor), "network", module, call, wanted, answer)
        assert isinstance(output, torch.Tensor)
        got = f"{output.dtype} {list(output.shape)}"
        is_alike = output.shape == sample.shape and output.dtype == sample.dtype
        check_that(is_alike, "network", module, f"{call}.sample", f"{sample.dtype} {list(sample.shape)}", got)
    for name, buffer in network.named_buffers():
        what = f"its buffer {name} changes in training, as BatchNorm's statistics do"
        wanted = "one that stays, since checkpoints hold parameters alone (use GroupNorm)"
        check_that(torch.equal(buffer, before[name]), "network", module, what, wanted, "another")
