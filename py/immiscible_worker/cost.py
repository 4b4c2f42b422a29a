"""What training a config takes, counted on tensors without data: arithmetic and memory, before anything is trained."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from .device import autocast
from .network import build_network
from .objective import build_objective
from .protocol import TrainConfig, UnetNetwork

_CPU = torch.device("cpu")
_FLOAT32_BYTES = 4
_ADAM_MOMENTS = 2


@dataclass(frozen=True)
class TrainingCost:
    """forward_flops: of one image through the network, a multiplication and an addition counted as two; convolutions,
    linear layers and attention, which are all but a few percent. A backward pass takes about twice as many.

    state: bytes of what stays for the whole training, by name, all float32 as the trainer keeps it. activation_bytes:
    what each image more adds to what the forward pass keeps for the backward pass of one micro-batch, in the run's
    precision and with its gradient checkpointing; attention by a fused kernel, which keeps no matrix of weights. What
    a consistency objective's LPIPS keeps besides is not in it, nor are the backward pass's own buffers.
    """

    num_parameters: int
    forward_flops: int
    state: dict[str, int]
    activation_bytes: int


def describe_training(
    config: TrainConfig, image_shape: tuple[int, int, int], num_classes: int, *, is_latent: bool
) -> TrainingCost:
    """image_shape: channels, height, width. num_classes: of the data set, whether or not the config trains on them.

    Raises ConfigError where network or objective cannot be built.
    """
    num_labels = num_classes if config.conditioning.class_labels else 0
    objective = build_objective(config.objective, config.dataset.image_scale, image_shape, is_latent=is_latent)
    # The user's own network and one read from a file are real; what they are called with is not.
    is_plain = isinstance(config.network, UnetNetwork)
    without_data = FakeTensorMode(allow_non_fake_inputs=True)
    with without_data if is_plain else nullcontext():
        network: Any = build_network(config.network, image_shape, num_labels)
    network.train()
    if config.training.gradient_checkpointing:
        network.enable_gradient_checkpointing()
    num_parameters = sum(parameter.numel() for parameter in network.parameters())
    copies = {"weights": 1, "gradients": 1, "optimizer": _ADAM_MOMENTS, "ema": 1}
    if objective.target_decay is not None:
        copies["target"] = 1
    with without_data:
        flops = count_flops(network, image_shape, num_labels)
        few, many = (
            count_kept_bytes(network, image_shape, num_labels, size, config.training.mixed_precision) for size in (2, 4)
        )
    return TrainingCost(
        num_parameters=num_parameters,
        forward_flops=flops,
        state={name: count * num_parameters * _FLOAT32_BYTES for name, count in copies.items()},
        activation_bytes=(many - few) // 2,
    )


@torch.no_grad()
def count_flops(network: Any, image_shape: tuple[int, int, int], num_labels: int) -> int:
    """Of one image forward. num_labels: 0 for a network without labels."""
    counter = FlopCounterMode(display=False, custom_mapping={_FUSED_ATTENTION: _attention_flops})
    with counter:
        _call(network, image_shape, num_labels, 1)
    return counter.get_total_flops()


def count_kept_bytes(
    network: Any, image_shape: tuple[int, int, int], num_labels: int, num_images: int, precision: str
) -> int:
    """Bytes that the forward pass keeps for the backward pass, besides the parameters; each storage once."""
    parameters = {_identity(parameter.untyped_storage()) for parameter in network.parameters()}
    kept: list[torch.Tensor] = []  # all of them to the end, so that no two storages have one reference

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), autocast(precision, _CPU):
        _call(network, image_shape, num_labels, num_images).float().square().mean()
    storages = [tensor.untyped_storage() for tensor in kept]
    sizes = {_identity(storage): storage.nbytes() for storage in storages}
    return sum(size for storage, size in sizes.items() if storage not in parameters)


def _call(network: Any, image_shape: tuple[int, int, int], num_labels: int, num_images: int) -> torch.Tensor:
    labels = torch.zeros(num_images, dtype=torch.int64) if num_labels else None
    return network(torch.zeros(num_images, *image_shape), torch.zeros(num_images), labels).sample


# torch counts the fused attention of GPUs, but not that of the CPU.
_FUSED_ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


def _attention_flops(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    """Q K^T and the weights times V; shapes [B, heads, length, channels]."""
    size, heads, num_queries, channels = query
    return 2 * size * heads * num_queries * key[2] * (channels + value[3])


def _identity(storage: Any) -> int:
    """The same for all that share the memory."""
    return storage._cdata
