"""Assigned batches for a training loop of your own, from `immiscible serve`."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

import msgspec

from .channel import Channel, Environment, key_file_of
from .codec import MALFORMED, Batch, StagedBatch, check_contract, stage
from .errors import ConfigError, OrchestratorGoneError, ProtocolError, UsageError
from .held_out import receive_held_out
from .protocol import (
    PROTOCOL_VERSION,
    Credit,
    DatasetInfo,
    Ready,
    Reject,
    Stop,
    Stopped,
    TrainConfig,
    Welcome,
)

if TYPE_CHECKING:
    import torch

FILE_NAME = "serve.json"


class Connection(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """serve.json: where an orchestrator serves, and the token that it asks for."""

    format: Literal["immiscible-serve/1"]
    protocol_version: int
    control: str
    data: str
    server_key: str | None
    token: str
    run_id: str
    generation: int
    config_hash: str
    lease_seconds: float


@dataclass(frozen=True)
class AssignedBatch:
    """A step's batch, or some of the held-out images: B of C channels, H rows, W columns, on the iterator's device.

    images: float32 [B, C, H, W] in the model's scale, [-1, 1] or latents, times imageScale.
    noise: float32, same shape, row i assigned to image i.
    labels: int64 [B], or None. uniforms: float32 [B, 3] in [0, 1): timestep, label dropout, flow time.
    metrics: what the assignment did and took, by name, such as `assignment/gain` and `timeline/assignMs`.
    """

    step: int
    epoch: int
    images: torch.Tensor
    noise: torch.Tensor
    labels: torch.Tensor | None
    uniforms: torch.Tensor
    metrics: dict[str, float]

    def timesteps(self, num_train_timesteps: int) -> torch.Tensor:
        """int64 [B] in 0..num_train_timesteps - 1, uniform, the same whenever the step is asked for."""
        from .uniforms import timesteps_of

        return timesteps_of(self.uniforms, num_train_timesteps)


class AssignedBatches:
    """Iterates over the batches of an `immiscible serve`, from `start_step` to its `maxTrainSteps`.

    A batch is a function of the config and the step alone: a loop that was interrupted goes on by asking for its step.
    The next batches are prepared and sent while the loop trains. One iteration per object, one client per server.

        with AssignedBatches("runs/mine") as batches:
            for batch in batches:
                timesteps = batch.timesteps(1000)
                noisy = scheduler.add_noise(batch.images, batch.noise, timesteps)
                loss = mse_loss(network(noisy, timesteps).sample, batch.noise)
    """

    config: TrainConfig
    dataset: DatasetInfo
    held_out: list[AssignedBatch]
    """The images of `validation`, never trained on, each once and with its own noise; empty where there are none."""

    def __init__(
        self, folder: str | Path, *, start_step: int = 0, device: str = "cpu", timeout_seconds: float = 30.0
    ) -> None:
        """Connects and waits to be let in. folder: the server's outputDir, which holds serve.json.

        Where the server asks for keys, IMMISCIBLE_KEY_FILE says where this client's NAME.key_secret is.

        Raises UsageError (no server there, or not this version), ConfigError (refused), OrchestratorGoneError.
        """
        import torch

        self.step = start_step
        self._device = torch.device(device)
        environment = _read_connection(Path(folder) / FILE_NAME, timeout_seconds)
        self._channel = Channel(environment, is_child=False)
        try:
            welcome = self._receive_answer(folder, timeout_seconds)
            if isinstance(welcome, Reject):
                raise ConfigError(welcome.code, f"{folder} refused this client: {welcome.message}")
            if not isinstance(welcome, Welcome):
                raise ProtocolError("first message", "welcome or reject", type(welcome).__name__)
            self.config, self.dataset = welcome.config, welcome.dataset
            if not 0 <= start_step <= self.config.max_train_steps:
                raise UsageError(f"start_step: expected 0 to {self.config.max_train_steps}, got {start_step}")
            self._channel.set_lease(self.config.worker.lease_seconds)
            self._channel.set_progress("waiting", start_step)
            from .fingerprint import take_fingerprint

            ready = Ready(
                step=start_step,
                resumed_from=None,
                num_parameters=0,
                fingerprint=take_fingerprint(self._device),
                warnings=[],
            )
            self._channel.send(ready)
            held = receive_held_out(self._channel, self.config, self.dataset, self._device)
            if held is None:
                raise OrchestratorGoneError("the server was stopped before it sent the held-out images")
            self.held_out = [self._to_assigned(received, staged) for received, staged in held]
        except BaseException:
            self._channel.close()
            raise

    def _receive_answer(self, folder: str | Path, timeout_seconds: float) -> object:
        try:
            return self._channel.receive(timeout_seconds)
        except OrchestratorGoneError as error:
            question = "is `immiscible serve` still running, and has no other client?"
            raise UsageError(f"{folder}: no answer within {timeout_seconds:g} s: {question}") from error

    def __enter__(self) -> AssignedBatches:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __len__(self) -> int:
        """Steps that are left."""
        return self.config.max_train_steps - self.step

    def __iter__(self) -> Generator[AssignedBatch]:
        while self.step < self.config.max_train_steps:
            received = self._channel.receive()
            if isinstance(received, Stop):
                raise OrchestratorGoneError(f"the server was stopped before step {self.step}")
            if not isinstance(received, Batch):
                raise ProtocolError("message while iterating", "a batch", type(received).__name__)
            check_contract(received, self.step, self.config.global_batch_size, self.dataset)
            staged = stage(received, self._device)
            held_ms = (time.perf_counter() - received.received_at) * 1000
            self._channel.send(Credit(step=self.step, held_ms=held_ms))
            self.step += 1
            self._channel.set_progress("waiting", self.step)
            yield self._to_assigned(received, staged)

    def _to_assigned(self, received: Batch, staged: StagedBatch) -> AssignedBatch:
        import torch

        from .pixels import to_model_scale

        return AssignedBatch(
            step=staged.step,
            epoch=received.header.epoch,
            images=to_model_scale(staged.images, self.config.dataset.image_scale),
            noise=staged.noise.to(torch.float32),
            labels=None if staged.labels is None else staged.labels.to(torch.int64),
            uniforms=staged.uniforms,
            metrics={value.name: value.value for value in received.header.telemetry},
        )

    def close(self) -> None:
        """Says goodbye, so that another client may come. Safe to call twice."""
        if not self._channel.is_closed:
            self._channel.send(Stopped(step=self.step, checkpoint="", state_sha256="", pipeline=""))
        self._channel.close()


def _read_connection(path: Path, timeout_seconds: float) -> Environment:
    """Waits for the file, since a server may just be starting. Raises UsageError."""
    deadline = time.monotonic() + timeout_seconds
    while not path.exists():
        if time.monotonic() > deadline:
            raise UsageError(f"{path}: no such file after {timeout_seconds:g} s; start `immiscible serve` first")
        time.sleep(0.1)
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError(
            f"{path}: expected a file that only its owner can read, got mode {path.stat().st_mode & 0o777:o}"
        )
    try:
        connection = msgspec.json.decode(path.read_bytes(), type=Connection)
    except MALFORMED as error:
        raise UsageError(f"{path}: expected what this version of `immiscible serve` writes: {error}") from error
    if connection.protocol_version != PROTOCOL_VERSION:
        raise UsageError(f"{path}: protocol version: expected {PROTOCOL_VERSION}, got {connection.protocol_version}")
    return Environment(
        control=connection.control,
        data=connection.data,
        token=connection.token,
        run_id=connection.run_id,
        generation=connection.generation,
        config_hash=connection.config_hash,
        rank=0,
        lease_seconds=connection.lease_seconds,
        server_key=connection.server_key,
        key_file=key_file_of(os.environ),
    )
