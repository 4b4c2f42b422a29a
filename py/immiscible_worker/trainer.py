"""The trainer: one optimiser update per batch, and the whole state that a later process needs to go on bit for bit."""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from accelerate import PartialState
from diffusers.models.unets.unet_2d import UNet2DOutput
from diffusers.training_utils import EMAModel

from . import gate
from .codec import StagedBatch
from .compiling import compile_network, explain_failure
from .device import autocast, loss_scaler
from .errors import ConfigError, NonFiniteError
from .network import build_network
from .objective import Inputs, LossResult, Network, Networks, Objective, build_objective
from .optimization import build_learning_rate, build_optimizer
from .pixels import to_model_scale
from .protocol import DatasetInfo, TrainConfig
from .state import TrainState, named_tensors
from .uniforms import drop_labels

_SLOTS = ("exp_avg", "exp_avg_sq", "step")
# fp16's scale begins at 2^16 and halves with each overflow. Below fp16's least normal number it only loses gradients,
# so what still overflows there is the model.
_LEAST_SCALE = 2.0**-14


@dataclass(frozen=True)
class StepMetrics:
    """What one step reports.

    loss: of the objective. grad_norm: L2, before clipping; not finite where fp16 overflowed and nothing was updated.
    learning_rate: of the step. ema_decay: of the last EMA update.
    """

    loss: float
    grad_norm: float
    learning_rate: float
    ema_decay: float
    train_ms: float


def derive_seed(*words: object) -> int:
    """A 63-bit seed that is a function of the words alone."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, words)).encode()).digest()[:8], "little") >> 1


class Trainer:
    """Network, optimiser and EMA of one run. `step` is the number of batches trained on."""

    def __init__(self, config: TrainConfig, dataset: DatasetInfo, device: torch.device, rank: int = 0) -> None:
        """Builds everything as it is before step 0. Raises ConfigError where network or objective cannot be built."""
        self.config = config
        self.step = 0
        self.rank = rank
        self.num_classes = dataset.num_classes if config.conditioning.class_labels else 0
        self.device = device
        # What accelerate's trackers ask for the rank.
        PartialState(cpu=device.type == "cpu")
        torch.manual_seed(derive_seed(config.seed, "init"))
        image_shape = (dataset.image_shape[0], dataset.image_shape[1], dataset.image_shape[2])
        self.objective: Objective = build_objective(
            config.objective, config.dataset.image_scale, image_shape, is_latent=dataset.scaling_factor is not None
        )
        network: Any = build_network(config.network, image_shape, self.num_classes)
        self.network: torch.nn.Module = network.to(self.device)
        if config.training.gradient_checkpointing:
            _enable_gradient_checkpointing(self.network)
        self._names = [name for name, _ in self.network.named_parameters()]
        self._parameters = list(self.network.parameters())
        self.target = self.network
        if self.objective.target_decay is not None:
            self.target = copy.deepcopy(self.network).requires_grad_(False)
        self._optimizer = build_optimizer(config.optimizer, self._parameters)
        self._learning_rate = build_learning_rate(config.optimizer)
        self._scaler = loss_scaler(config.training.mixed_precision, device)
        online = self._as_called(self.network)
        self._calls = Networks(online, online if self.target is self.network else self._as_called(self.target))
        ema = config.ema
        self.ema = EMAModel(
            self._parameters,
            decay=ema.decay,
            min_decay=ema.min_decay,
            use_ema_warmup=ema.use_ema_warmup,
            inv_gamma=ema.inv_gamma,
            power=ema.power,
            foreach=True,
        )
        self._is_first = True

    def _as_called(self, network: torch.nn.Module) -> Network:
        """The network as an objective calls it: in the run's precision, compiled where that is asked for.

        What comes out is float32 again, and so is every loss.
        """
        run = compile_network(network) if self.config.training.torch_compile else network
        precision, device = self.config.training.mixed_precision, self.device

        def call(sample: torch.Tensor, timestep: torch.Tensor, class_labels: torch.Tensor | None = None) -> Any:
            with autocast(precision, device):
                output = run(sample, timestep, class_labels)
            return UNet2DOutput(sample=output.sample.float())

        return call

    @property
    def compiles_next(self) -> bool:
        """The next step is the first of this process, and begins with minutes of compiling."""
        return self.config.training.torch_compile and self._is_first

    @property
    def num_parameters(self) -> int:
        """Weights of the network."""
        return sum(parameter.numel() for parameter in self._parameters)

    def hyperparameters(self) -> dict[str, float]:
        """The optimiser's constants, for the record in a checkpoint."""
        group = self._optimizer.param_groups[0]
        beta1, beta2 = group["betas"]
        named = {"beta1": beta1, "beta2": beta2, "eps": group["eps"], "weightDecay": group["weight_decay"]}
        return {"learningRate": float(group["lr"]), **named}

    def train_step(self, batch: StagedBatch) -> StepMetrics:
        """One update on one batch. Raises PairingError or NonFiniteError, both before anything is changed.

        Where fp16 overflowed, only the step and the loss scale move on: no weight, EMA or target does. Raises
        ConfigError where torch cannot compile the network.
        """
        started = time.perf_counter()
        assert batch.step == self.step, f"batch of step {batch.step} at step {self.step}"
        self.network.train()
        self.target.train()
        rate = self._learning_rate(self.step)
        try:
            with explain_failure():
                loss = self._accumulate(batch)
            grad_norm = self._clip()
            if math.isfinite(grad_norm):
                self._update(rate)
            if self._scaler is not None:
                self._scaler.update()
        finally:
            self._optimizer.zero_grad()
        self.step += 1
        self._is_first = False
        ema_decay = self.ema.get_decay(self.ema.optimization_step)
        return StepMetrics(loss, grad_norm, rate, ema_decay, (time.perf_counter() - started) * 1000)

    def _accumulate(self, batch: StagedBatch) -> float:
        """The gradient of the mean loss over the batch, part by part; answers that loss."""
        is_checked = self._is_checked_step()
        num_images, total = len(batch.images), 0.0
        for micro_step, part in enumerate(split_batch(batch, self._part_size)):
            # What the network draws itself (dropout) is a function of where we are, never of how we got here.
            torch.manual_seed(derive_seed(self.config.seed, "step", self.step, micro_step, self.rank))
            result = self._checked_loss(part) if is_checked else self._loss(part, self._calls)
            loss = result.loss * (len(part.images) / num_images)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise NonFiniteError(f"[immiscible] [worker:trainer] step {self.step}: the loss is {value}")
            scaled = loss if self._scaler is None else self._scaler.scale(loss)
            scaled.backward()
            total += value
        return total

    def _clip(self) -> float:
        """Clips the gradient and answers its norm before that: not finite where the update must be left out."""
        if self._scaler is not None:
            self._scaler.unscale_(self._optimizer)
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        grad_norm = float(norm)
        if math.isfinite(grad_norm):
            torch.nn.utils.clip_grads_with_norm_(self._parameters, self.config.optimizer.max_grad_norm, norm)
        elif not self._is_overflow(gradients):
            raise NonFiniteError(f"[immiscible] [worker:trainer] step {self.step}: the gradient's norm is {grad_norm}")
        return grad_norm

    def _is_overflow(self, gradients: Sequence[torch.Tensor]) -> bool:
        """A gradient whose norm is not finite is one that a smaller loss scale can mend."""
        if self._scaler is None or self._scaler.get_scale() < _LEAST_SCALE:
            return False
        # Finite numbers of an infinite norm are none: the scaler would not see them, and would not move.
        return not all(bool(gradient.isfinite().all()) for gradient in gradients)

    def _update(self, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        if self._scaler is None:
            self._optimizer.step()
        else:
            self._scaler.step(self._optimizer)
        self.ema.step(self._parameters)
        self._move_target()

    @torch.no_grad()
    def _move_target(self) -> None:
        """target <- decay * target + (1 - decay) * network (Song et al. 2023, Algorithm 3)."""
        if self.objective.target_decay is None:
            return
        decay = self.objective.target_decay(self.step)
        for slow, fast in zip(self.target.parameters(), self._parameters, strict=True):
            slow.lerp_(fast, 1 - decay)

    @property
    def _part_size(self) -> int:
        """Images that go through the network at a time."""
        return self.config.global_batch_size // self.config.training.gradient_accumulation_steps

    @torch.no_grad()
    def measure_loss(self, batches: Sequence[StagedBatch], *, is_ema: bool) -> float:
        """The objective's loss at this step, a mean over the images of `batches`, without the network's dropout.

        is_ema: of the EMA weights in the network's place; a target network stays the target. Training is not touched.
        Not finite where the loss is not.
        """
        self.network.eval()
        self.target.eval()
        # In place, so that a compiled network is the same one; its weights come back bit for bit.
        if is_ema:
            self.ema.store(self._parameters)
            self.ema.copy_to(self._parameters)
        try:
            total = 0.0
            for part in (part for batch in batches for part in split_batch(batch, self._part_size)):
                total += float(self._loss(replace(part, step=self.step), self._calls).loss) * len(part.images)
        finally:
            if is_ema:
                self.ema.restore(self._parameters)
        return total / sum(len(batch.images) for batch in batches)

    def _is_checked_step(self) -> bool:
        every = self.config.gate.every_steps
        return every > 0 and (self._is_first or self.step % every == 0)

    def _inputs(self, batch: StagedBatch) -> Inputs:
        images = to_model_scale(batch.images, self.config.dataset.image_scale)
        labels = None
        if self.config.conditioning.class_labels and batch.labels is not None:
            share = self.config.conditioning.label_dropout
            labels = drop_labels(batch.labels.to(torch.int64), batch.uniforms, share, self.num_classes)
        return Inputs(images, batch.noise.to(torch.float32), batch.uniforms, labels, batch.step)

    def _loss(self, batch: StagedBatch, networks: Networks) -> LossResult:
        return self.objective.loss(networks, self._inputs(batch))

    def _checked_loss(self, batch: StagedBatch) -> LossResult:
        expected = gate.expect(self.objective, batch, self.config, self.num_classes)
        seen: list[gate.Call] = []
        result = self._loss(batch, Networks(*(gate.record(network, seen) for network in self._calls)))
        if expected is not None:
            gate.verify(expected, seen, result.target, self.step)
        return result

    def state(self) -> TrainState:
        """All that decides the next update, by name. The tensors are the live ones: write them before the next step."""
        optimizer: dict[str, torch.Tensor] = {}
        for name, parameter in zip(self._names, self._parameters, strict=True):
            for slot, value in self._optimizer.state.get(parameter, {}).items():
                optimizer[f"{name}.{slot}"] = value
        return TrainState(
            step=self.step,
            network=named_tensors(self.network),
            ema=dict(zip(self._names, self.ema.shadow_params, strict=True)),
            target=self._target_tensors(),
            optimizer=optimizer,
            scaler={} if self._scaler is None else _scaler_state(self._scaler),
            ema_updates=self.ema.optimization_step,
        )

    def _target_tensors(self) -> dict[str, torch.Tensor]:
        return {} if self.target is self.network else named_tensors(self.target)

    @torch.no_grad()
    def load(self, state: TrainState) -> None:
        """Takes over a state that `state()` gave. Raises ConfigError where it is another network's or lacks a part."""
        _copy_all(state.network, named_tensors(self.network), "network")
        _copy_all(state.ema, dict(zip(self._names, self.ema.shadow_params, strict=True)), "ema")
        _copy_all(state.target, self._target_tensors(), "target")
        self.ema.optimization_step = state.ema_updates
        self._load_optimizer(dict(state.optimizer))
        self._load_scaler(state.scaler)
        self.step = state.step
        self._is_first = True

    def _load_optimizer(self, values: dict[str, torch.Tensor]) -> None:
        """A parameter that was never updated has no slots; any other has all."""
        self._optimizer.state.clear()
        for name, parameter in zip(self._names, self._parameters, strict=True):
            given = {slot: values.pop(f"{name}.{slot}") for slot in _SLOTS if f"{name}.{slot}" in values}
            if given and len(given) < len(_SLOTS):
                message = f"{name}: expected {', '.join(_SLOTS)}, got {', '.join(given)}"
                raise ConfigError("CONFIG_MISMATCH", f"the checkpoint's optimizer {message}")
            if given:
                self._optimizer.state[parameter] = {
                    slot: self._update_count(value) if slot == "step" else torch.empty_like(parameter).copy_(value)
                    for slot, value in given.items()
                }
        if values:
            names = ", ".join(sorted(values)[:5])
            raise ConfigError("CONFIG_MISMATCH", f"the checkpoint's optimizer is another network's: {names}")

    def _load_scaler(self, values: Mapping[str, float]) -> None:
        if (self._scaler is None) == bool(values):
            got = ", ".join(values) or "none"
            message = f"the checkpoint's loss scale: expected one with fp16 and only then, got {got}"
            raise ConfigError("CONFIG_MISMATCH", message)
        if self._scaler is not None:
            counts = {"scale": values["scale"], "_growth_tracker": int(values["growthTracker"])}
            self._scaler.load_state_dict({**self._scaler.state_dict(), **counts})

    def _update_count(self, value: torch.Tensor) -> torch.Tensor:
        """A fused optimiser counts on its device, any other on the CPU."""
        is_fused = bool(self._optimizer.defaults.get("fused"))
        return value.to(self.device if is_fused else "cpu", copy=True)

    @torch.no_grad()
    def ema_network(self) -> torch.nn.Module:
        """A copy of the network with the EMA weights, for sampling: the network in training is not touched."""
        network = copy.deepcopy(self.network).eval().requires_grad_(False)
        for parameter, average in zip(network.parameters(), self.ema.shadow_params, strict=True):
            parameter.copy_(average)
        return network


def split_batch(batch: StagedBatch, size: int) -> Iterator[StagedBatch]:
    """The rows of a batch in order, `size` at a time; the last may be fewer."""
    for first in range(0, len(batch.images), size):
        rows = slice(first, first + size)
        labels = None if batch.labels is None else batch.labels[rows]
        tensors = {"images": batch.images[rows], "noise": batch.noise[rows], "uniforms": batch.uniforms[rows]}
        yield replace(batch, **tensors, labels=labels)


def _scaler_state(scaler: torch.amp.GradScaler) -> dict[str, float]:
    return {"scale": scaler.get_scale(), "growthTracker": float(scaler.state_dict()["_growth_tracker"])}


def _enable_gradient_checkpointing(network: torch.nn.Module) -> None:
    """As diffusers' models do it. Raises ConfigError for a network that cannot."""
    enable = getattr(network, "enable_gradient_checkpointing", None)
    try:
        if enable is None:
            raise ValueError(f"{type(network).__name__} has no enable_gradient_checkpointing()")
        enable()
    except ValueError as error:
        message = f"training.gradientCheckpointing: expected false with this network, got true: {error}"
        raise ConfigError("CHECKPOINTING", message) from error


def _copy_all(source: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor], part: str) -> None:
    if source.keys() != target.keys():
        names = sorted(source.keys() ^ target.keys())
        raise ConfigError("CONFIG_MISMATCH", f"the checkpoint's {part} is another network's: {', '.join(names[:5])}")
    for name, tensor in target.items():
        if tensor.shape != source[name].shape:
            got, expected = list(source[name].shape), list(tensor.shape)
            raise ConfigError("CONFIG_MISMATCH", f"the checkpoint's {part} {name}: expected {expected}, got {got}")
        tensor.copy_(source[name])
