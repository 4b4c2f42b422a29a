"""The trainer: one optimiser update per batch, and the whole state that a later process needs to go on bit for bit."""

from __future__ import annotations

import copy
import hashlib
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.training_utils import EMAModel

from . import gate
from .codec import StagedBatch
from .errors import ConfigError, NonFiniteError
from .network import build_network
from .objective import Objective, build_objective
from .pixels import to_model_scale
from .protocol import DatasetInfo, OptimizerConfig, TrainConfig, WorkerConfig
from .state import TrainState


@dataclass(frozen=True)
class StepMetrics:
    """What one update reports. loss: mean squared error; grad_norm: L2, before clipping."""

    loss: float
    grad_norm: float
    learning_rate: float
    ema_decay: float
    train_ms: float


def configure_torch(config: WorkerConfig) -> torch.device:
    """Fixes threads and determinism for this process and resolves the device. Raises ConfigError."""
    # Read by cuBLAS when its first handle is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    device = resolve_device(config.device)
    if config.num_threads > 0:
        torch.set_num_threads(config.num_threads)
    elif device.type == "cpu":
        torch.set_num_threads(max(1, _count_cores() - 1))
    # Off the CPU a few backward kernels have no deterministic form: torch then says so instead of refusing to train.
    torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
    # Guards against reads of memory that was never written; nothing here does, and it costs a write of every buffer.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return device


def _count_cores() -> int:
    """Those that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resolve_device(wanted: str) -> torch.device:
    """auto: cuda, else mps, else cpu. Raises ConfigError for a device that torch does not see."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        wanted = next(name for name, is_there in available.items() if is_there)
    if not available[wanted]:
        seen = ", ".join(name for name, is_there in available.items() if is_there)
        raise ConfigError("DEVICE", f"worker.device: expected one of {seen}, which torch sees here, got {wanted}")
    return torch.device(wanted)


def learning_rate(config: OptimizerConfig, step: int) -> float:
    """diffusers' `constant_with_warmup`, as a pure function: `step` updates were applied before this one."""
    if step < config.lr_warmup_steps:
        return config.learning_rate * step / max(1, config.lr_warmup_steps)
    return config.learning_rate


def derive_seed(*words: object) -> int:
    """A 63-bit seed that is a function of the words alone."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, words)).encode()).digest()[:8], "little") >> 1


class Trainer:
    """Network, optimiser and EMA of one run. `step` is the number of updates applied."""

    def __init__(self, config: TrainConfig, dataset: DatasetInfo, device: torch.device, rank: int = 0) -> None:
        """Builds everything as it is before step 0. Raises ConfigError where the network cannot be built."""
        self.config = config
        self.step = 0
        self.rank = rank
        self.accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="no")
        self.device = self.accelerator.device
        torch.manual_seed(derive_seed(config.seed, "init"))
        try:
            network = build_network(config.network, dataset.image_shape)
        except ValueError as error:
            raise ConfigError("NETWORK", str(error)) from error
        self.network: UNet2DModel = network.to(self.device)
        self.objective: Objective = build_objective(config.objective, config.dataset.image_scale)
        self._names = [name for name, _ in self.network.named_parameters()]
        self._parameters = list(self.network.parameters())
        optimizer = torch.optim.AdamW(
            self._parameters,
            lr=config.optimizer.learning_rate,
            betas=(config.optimizer.adam_beta1, config.optimizer.adam_beta2),
            eps=config.optimizer.adam_epsilon,
            weight_decay=config.optimizer.adam_weight_decay,
            fused=self.device.type in ("cpu", "cuda"),
        )
        self._optimizer = optimizer
        self._network, self._stepper = self.accelerator.prepare(self.network, optimizer)
        self.ema = EMAModel(self._parameters, decay=config.ema.decay, min_decay=config.ema.min_decay, foreach=True)
        self._is_first = True

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
        # What the network draws itself (dropout) is a function of where we are, never of how we got here.
        torch.manual_seed(derive_seed(self.config.seed, "step", self.step, self.rank))
        self._network.train()
        loss = self._checked_loss(batch) if self._is_checked_step() else self._loss(batch)[0]
        loss_value = float(loss.detach())
        if not math.isfinite(loss_value):
            raise NonFiniteError(f"[immiscible] [worker:trainer] step {self.step}: the loss is {loss_value}")
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self._parameters, self.config.optimizer.max_grad_norm)
        grad_norm = float(norm) if norm is not None else math.nan
        if not math.isfinite(grad_norm):
            raise NonFiniteError(f"[immiscible] [worker:trainer] step {self.step}: the gradient's norm is {grad_norm}")
        rate = learning_rate(self.config.optimizer, self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._stepper.step()
        self._stepper.zero_grad()
        self.ema.step(self._parameters)
        self.step += 1
        self._is_first = False
        train_ms = (time.perf_counter() - started) * 1000
        return StepMetrics(loss_value, grad_norm, rate, float(self.ema.cur_decay_value or 0.0), train_ms)

    def _is_checked_step(self) -> bool:
        every = self.config.gate.every_steps
        return every > 0 and (self._is_first or self.step % every == 0)

    def _loss(self, batch: StagedBatch) -> tuple[torch.Tensor, torch.Tensor]:
        images = to_model_scale(batch.images, self.config.dataset.image_scale)
        noise = batch.noise.to(torch.float32)
        result = self.objective.loss(self._network, images, noise, batch.uniforms, self.objective.scheduler)
        return result.loss, result.target

    def _checked_loss(self, batch: StagedBatch) -> torch.Tensor:
        expected = gate.expect(self.objective, batch, self.config.dataset.image_scale)
        with gate.watch(self.network) as seen:
            loss, target = self._loss(batch)
        gate.verify(expected, seen, target, self.step)
        return loss

    def state(self) -> TrainState:
        """All that decides the next update, by name. The tensors are the live ones: write them before the next step."""
        optimizer: dict[str, torch.Tensor] = {}
        for name, parameter in zip(self._names, self._parameters, strict=True):
            for slot, value in self._optimizer.state.get(parameter, {}).items():
                optimizer[f"{name}.{slot}"] = value
        return TrainState(
            step=self.step,
            network=dict(zip(self._names, (p.detach() for p in self._parameters), strict=True)),
            ema=dict(zip(self._names, self.ema.shadow_params, strict=True)),
            optimizer=optimizer,
            ema_updates=self.ema.optimization_step,
        )

    @torch.no_grad()
    def load(self, state: TrainState) -> None:
        """Takes over a state that `state()` gave. Raises ConfigError where names or shapes are another network's."""
        _copy_all(state.network, dict(zip(self._names, self._parameters, strict=True)), "network")
        _copy_all(state.ema, dict(zip(self._names, self.ema.shadow_params, strict=True)), "ema")
        self.ema.optimization_step = state.ema_updates
        self._optimizer.state.clear()
        slots = {"exp_avg", "exp_avg_sq", "step"}
        for name, parameter in zip(self._names, self._parameters, strict=True):
            given = {slot: state.optimizer[f"{name}.{slot}"] for slot in slots if f"{name}.{slot}" in state.optimizer}
            if given:
                self._optimizer.state[parameter] = {
                    slot: self._update_count(value) if slot == "step" else torch.empty_like(parameter).copy_(value)
                    for slot, value in given.items()
                }
        self.step = state.step
        self._is_first = True

    def _update_count(self, value: torch.Tensor) -> torch.Tensor:
        """A fused AdamW counts on its device, any other on the CPU."""
        return value.to(self.device if self._optimizer.defaults["fused"] else "cpu", copy=True)

    @torch.no_grad()
    def ema_network(self) -> UNet2DModel:
        """A copy of the network with the EMA weights, for sampling: the network in training is not touched."""
        network = copy.deepcopy(self.network).eval().requires_grad_(False)
        for parameter, average in zip(network.parameters(), self.ema.shadow_params, strict=True):
            parameter.copy_(average)
        return network


def _copy_all(source: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor], part: str) -> None:
    if source.keys() != target.keys():
        names = sorted(source.keys() ^ target.keys())
        raise ConfigError("CONFIG_MISMATCH", f"the checkpoint's {part} is another network's: {', '.join(names[:5])}")
    for name, tensor in target.items():
        if tensor.shape != source[name].shape:
            got, expected = list(source[name].shape), list(tensor.shape)
            raise ConfigError("CONFIG_MISMATCH", f"the checkpoint's {part} {name}: expected {expected}, got {got}")
        tensor.copy_(source[name])
