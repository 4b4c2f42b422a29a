"""The trainer: one optimiser update per batch, and the whole state that a later process needs to go on bit for bit."""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel

from . import gate
from .codec import StagedBatch
from .device import autocast
from .errors import ConfigError, NonFiniteError
from .network import build_network
from .objective import Inputs, LossResult, Network, Networks, Objective, build_objective
from .optimization import build_learning_rate, build_optimizer
from .pixels import to_model_scale
from .protocol import DatasetInfo, TrainConfig
from .state import TrainState
from .uniforms import drop_labels

_SLOTS = ("exp_avg", "exp_avg_sq", "step")
# fp16 halves its scale after each overflow: below this it is the model that overflows, not the scale.
_LEAST_SCALE = 2.0**-14


@dataclass(frozen=True)
class StepMetrics:
    """What one update reports. loss: of the objective; grad_norm: L2, before clipping; not finite: fp16 skipped it."""

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
        precision = config.training.mixed_precision
        self.accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision=precision)
        self.device = self.accelerator.device
        torch.manual_seed(derive_seed(config.seed, "init"))
        image_shape = (dataset.image_shape[0], dataset.image_shape[1], dataset.image_shape[2])
        self.objective: Objective = build_objective(config.objective, config.dataset.image_scale, image_shape)
        self.network = build_network(config.network, image_shape, self.num_classes).to(self.device)
        if config.training.gradient_checkpointing:
            self.network.enable_gradient_checkpointing()
        self._names = [name for name, _ in self.network.named_parameters()]
        self._parameters = list(self.network.parameters())
        self.target = self.network
        if self.objective.target_decay is not None:
            self.target = copy.deepcopy(self.network).requires_grad_(False)
        self._optimizer = build_optimizer(config.optimizer, self._parameters)
        self._learning_rate = build_learning_rate(config.optimizer)
        self._stepper = self.accelerator.prepare_optimizer(self._optimizer)
        self._calls = Networks(*(self._as_called(network) for network in (self.network, self.target)))
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
        """The network as an objective calls it: in the run's precision, compiled where that is asked for."""
        run = torch.compile(network) if self.config.training.torch_compile else network
        precision, device = self.config.training.mixed_precision, self.device

        def call(sample: torch.Tensor, timestep: torch.Tensor, class_labels: torch.Tensor | None = None) -> object:
            with autocast(precision, device):
                return run(sample, timestep, class_labels)

        return call

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
        """One update on one batch. Raises PairingError or NonFiniteError, both before anything is changed."""
        started = time.perf_counter()
        assert batch.step == self.step, f"batch of step {batch.step} at step {self.step}"
        self.network.train()
        self.target.train()
        loss = self._accumulate(batch)
        grad_norm = self._clip()
        rate = self._learning_rate(self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._stepper.step()
        self._stepper.zero_grad()
        # An overflow of fp16 costs the update, not the run; the scale is lower next time.
        if not self.accelerator.optimizer_step_was_skipped:
            self.ema.step(self._parameters)
            self._move_target()
        self.step += 1
        self._is_first = False
        train_ms = (time.perf_counter() - started) * 1000
        return StepMetrics(loss, grad_norm, rate, float(self.ema.cur_decay_value or 0.0), train_ms)

    def _accumulate(self, batch: StagedBatch) -> float:
        """The gradient of the mean loss over the batch, part by part; answers that loss."""
        is_checked = self._is_checked_step()
        num_images, total = len(batch.images), 0.0
        try:
            for micro_step, part in enumerate(split_batch(batch, self.config.training.gradient_accumulation_steps)):
                # What the network draws itself (dropout) is a function of where we are, never of how we got here.
                torch.manual_seed(derive_seed(self.config.seed, "step", self.step, micro_step, self.rank))
                result = self._checked_loss(part) if is_checked else self._loss(part, self._calls)
                loss = result.loss * (len(part.images) / num_images)
                value = float(loss.detach())
                if not math.isfinite(value):
                    raise NonFiniteError(f"[immiscible] [worker:trainer] step {self.step}: the loss is {value}")
                self.accelerator.backward(loss)
                total += value
        except BaseException:
            self._stepper.zero_grad()
            raise
        return total

    def _clip(self) -> float:
        """The gradient's norm before it is clipped."""
        norm = self.accelerator.clip_grad_norm_(self._parameters, self.config.optimizer.max_grad_norm)
        grad_norm = float(norm) if norm is not None else math.nan
        scaler = self.accelerator.scaler
        if not math.isfinite(grad_norm) and (scaler is None or scaler.get_scale() < _LEAST_SCALE):
            self._stepper.zero_grad()
            raise NonFiniteError(f"[immiscible] [worker:trainer] step {self.step}: the gradient's norm is {grad_norm}")
        return grad_norm

    @torch.no_grad()
    def _move_target(self) -> None:
        """target <- decay * target + (1 - decay) * network (Song et al. 2023, Algorithm 3)."""
        if self.objective.target_decay is None:
            return
        decay = self.objective.target_decay(self.step)
        for slow, fast in zip(self.target.parameters(), self._parameters, strict=True):
            slow.lerp_(fast, 1 - decay)

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
        has_target = self.target is not self.network
        scaler = self.accelerator.scaler
        return TrainState(
            step=self.step,
            network=dict(zip(self._names, (p.detach() for p in self._parameters), strict=True)),
            ema=dict(zip(self._names, self.ema.shadow_params, strict=True)),
            target=dict(self.target.named_parameters()) if has_target else {},
            optimizer=optimizer,
            scaler={} if scaler is None else {"scale": scaler.get_scale(), "growthTracker": _growth_tracker(scaler)},
            ema_updates=self.ema.optimization_step,
        )

    @torch.no_grad()
    def load(self, state: TrainState) -> None:
        """Takes over a state that `state()` gave. Raises ConfigError where names or shapes are another network's."""
        _copy_all(state.network, dict(zip(self._names, self._parameters, strict=True)), "network")
        _copy_all(state.ema, dict(zip(self._names, self.ema.shadow_params, strict=True)), "ema")
        target = dict(self.target.named_parameters()) if self.target is not self.network else {}
        _copy_all(state.target, target, "target")
        self.ema.optimization_step = state.ema_updates
        self._optimizer.state.clear()
        for name, parameter in zip(self._names, self._parameters, strict=True):
            given = {slot: state.optimizer[f"{name}.{slot}"] for slot in _SLOTS if f"{name}.{slot}" in state.optimizer}
            if given:
                self._optimizer.state[parameter] = {
                    slot: self._update_count(value) if slot == "step" else torch.empty_like(parameter).copy_(value)
                    for slot, value in given.items()
                }
        scaler = self.accelerator.scaler
        if scaler is not None and state.scaler:
            counts = {"scale": state.scaler["scale"], "_growth_tracker": int(state.scaler["growthTracker"])}
            scaler.load_state_dict({**scaler.state_dict(), **counts})
        self.step = state.step
        self._is_first = True

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


def split_batch(batch: StagedBatch, parts: int) -> Iterator[StagedBatch]:
    """The rows of a batch in `parts` runs of the same length, in order."""
    size = len(batch.images) // parts
    for first in range(0, size * parts, size):
        rows = slice(first, first + size)
        labels = None if batch.labels is None else batch.labels[rows]
        tensors = {"images": batch.images[rows], "noise": batch.noise[rows], "uniforms": batch.uniforms[rows]}
        yield replace(batch, **tensors, labels=labels)


def _growth_tracker(scaler: torch.amp.GradScaler) -> float:
    return float(scaler.state_dict()["_growth_tracker"])


def _copy_all(source: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor], part: str) -> None:
    if source.keys() != target.keys():
        names = sorted(source.keys() ^ target.keys())
        raise ConfigError("CONFIG_MISMATCH", f"the checkpoint's {part} is another network's: {', '.join(names[:5])}")
    for name, tensor in target.items():
        if tensor.shape != source[name].shape:
            got, expected = list(source[name].shape), list(tensor.shape)
            raise ConfigError("CONFIG_MISMATCH", f"the checkpoint's {part} {name}: expected {expected}, got {got}")
        tensor.copy_(source[name])
