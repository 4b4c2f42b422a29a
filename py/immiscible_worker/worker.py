"""The worker: receive, act, report; from hello to the exit code."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .channel import Channel, Environment, read_environment
from .codec import Batch, check_contract, stage
from .errors import (
    EXIT_CONFIG,
    CheckpointError,
    ConfigError,
    PipelineError,
    ProtocolError,
    UsageError,
)
from .failure import describe_failure
from .protocol import (
    Credit,
    Ready,
    Reject,
    Sampled,
    Saved,
    StepDone,
    Stop,
    Stopped,
    Validated,
    Warning,
    Welcome,
)

if TYPE_CHECKING:
    import torch

    from .checkpoint import Checkpoint, Origin
    from .codec import StagedBatch
    from .evaluation import Evaluate
    from .latents import Latents
    from .tracking import Track
    from .trainer import Trainer


@dataclass
class Run:
    """What the loop carries. saved: the checkpoint that the state at hand descends from, or is.

    held_out: the images of validation. validated: the last loss on them. latents: None for a data set of pixels.
    evaluate: None where the quality of samples is not measured.
    """

    channel: Channel
    environment: Environment
    welcome: Welcome
    device: torch.device
    trainer: Trainer
    origin: Origin
    track: Track
    saved: Checkpoint | None
    held_out: list[StagedBatch]
    latents: Latents | None
    evaluate: Evaluate | None
    validated: Validated | None = None

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.welcome.run_folder)


def run_worker() -> int:
    """One worker process; returns its exit code. Reads IMMISCIBLE_* from the environment."""
    faulthandler.enable()
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1, all_threads=True)
    try:
        environment = read_environment(os.environ)
    except UsageError as error:
        log(str(error))
        return error.exit_code
    with Channel(environment) as channel:
        step = [0]
        try:
            return _serve(channel, environment, step)
        except Exception as error:
            failed, exit_code = describe_failure(error, step[0])
            log(f"{failed.code}: {failed.message}\n{failed.traceback}")
            with contextlib.suppress(Exception):
                channel.send(failed)
            return exit_code


def _serve(channel: Channel, environment: Environment, step: list[int]) -> int:
    """The whole life. step[0] is kept at the number of updates applied, for whoever reports a failure."""
    welcome = _receive_welcome(channel, environment)
    if isinstance(welcome, Reject):
        log(f"rejected: {welcome.code}: {welcome.message}")
        return EXIT_CONFIG
    run = _start(channel, environment, welcome)
    config = welcome.config
    is_stopped = not _receive_held_out(run)
    while not is_stopped:
        step[0] = run.trainer.step
        if run.trainer.step >= config.max_train_steps or channel.is_stopping:
            break
        if not _train_one(run):
            break
        step[0] = done = run.trainer.step
        if done < config.max_train_steps:
            # Before the checkpoint: a run that goes on from it does not come here again.
            if config.evaluation.every_steps > 0 and done % config.evaluation.every_steps == 0:
                _evaluate(run)
            if done % config.checkpoint.every_steps == 0:
                _try_to_save(run)
            if done % config.validation.every_steps == 0:
                _validate(run)
            if config.sampling.every_steps > 0 and done % config.sampling.every_steps == 0:
                _write_samples(run)
    _finish(run)
    return 0


def _receive_welcome(channel: Channel, environment: Environment) -> Welcome | Reject:
    while True:
        command = channel.receive()
        if isinstance(command, Welcome):
            if command.config_hash != environment.config_hash:
                message = f"welcome's config hash: expected {environment.config_hash}, got {command.config_hash}"
                raise ConfigError("CONFIG_MISMATCH", message)
            channel.set_lease(command.config.worker.lease_seconds)
            return command
        if isinstance(command, Reject):
            return command
        if isinstance(command, Batch):
            raise ProtocolError("first message", "welcome or reject", "a batch")


def _start(channel: Channel, environment: Environment, welcome: Welcome) -> Run:
    """Builds the trainer, loads the newest checkpoint and says ready. torch is first imported here."""
    from .checkpoint import Origin, load_newest
    from .device import configure_torch
    from .evaluation import open_evaluation
    from .fingerprint import describe_difference, take_fingerprint
    from .latents import open_latents
    from .notice import describe_gate, list_notices
    from .sampler import check_settings
    from .tracking import open_tracking
    from .trainer import Trainer

    device = configure_torch(welcome.config.worker, welcome.config.training)
    trainer = Trainer(welcome.config, welcome.dataset, device, environment.rank)
    check_settings(welcome.config.sampling, trainer.objective.scheduler)
    latents = open_latents(welcome.config, welcome.dataset, device)
    evaluate = open_evaluation(welcome, device)
    fingerprint = take_fingerprint(device)
    warnings: list[str] = []
    root, generation = _checkpoints(welcome), environment.generation
    loaded = load_newest(root, environment.run_id, welcome.config_hash, warnings.append, generation)
    checkpoint = None
    if loaded is not None:
        checkpoint, state = loaded
        trainer.load(state)
        is_deterministic = welcome.config.training.deterministic or device.type == "cpu"
        difference = describe_difference(checkpoint.manifest.fingerprint, fingerprint, is_deterministic)
        warnings += [difference] if difference else []
    for warning in warnings:
        log(warning)
    track = open_tracking(welcome.config.tracking, Path(welcome.run_folder), environment.run_id, trainer.step)
    origin = Origin(environment.run_id, welcome.config_hash, generation, fingerprint)
    channel.set_progress("waiting", trainer.step)
    channel.send(
        Ready(
            step=trainer.step,
            resumed_from=str(checkpoint.folder) if checkpoint else None,
            num_parameters=trainer.num_parameters,
            fingerprint=fingerprint,
            warnings=warnings,
        )
    )
    notices = list_notices(welcome.config, trainer.objective.scheduler)
    for notice in [*notices, *describe_gate(welcome.config, trainer.objective)]:
        log(notice.message)
        channel.send(notice)
    parts = (channel, environment, welcome, device, trainer, origin, track, checkpoint)
    return Run(*parts, held_out=[], latents=latents, evaluate=evaluate)


def _receive_held_out(run: Run) -> bool:
    """Takes the images of validation, before the first batch. False: stop came instead."""
    from .held_out import receive_held_out

    held = receive_held_out(run.channel, run.welcome.config, run.welcome.dataset, run.device)
    run.held_out = [staged for _, staged in held or []]
    return held is not None


def _train_one(run: Run) -> bool:
    """Waits for the batch of the next step, trains on it and reports. False: stop came instead."""
    from .tracking import step_figures

    channel, trainer = run.channel, run.trainer
    step = trainer.step
    channel.set_progress("waiting", step)
    started = time.perf_counter()
    received = channel.receive()
    if isinstance(received, Stop):
        return False
    if not isinstance(received, Batch):
        raise ProtocolError("message while training", "a batch or stop", type(received).__name__)
    arrived = time.perf_counter()
    channel.set_progress("compiling" if trainer.compiles_next else "training", step)
    dataset = run.welcome.dataset
    check_contract(received, step, run.welcome.config.global_batch_size, dataset)
    batch = stage(received, run.device)
    staged = time.perf_counter()
    channel.send(Credit(step=step, held_ms=(staged - received.received_at) * 1000))
    wait_ms, stage_ms = split_waiting(received, started, arrived, staged)
    metrics = trainer.train_step(batch)
    done = StepDone(
        step=step,
        loss=metrics.loss,
        grad_norm=metrics.grad_norm,
        learning_rate=metrics.learning_rate,
        ema_decay=metrics.ema_decay,
        train_ms=metrics.train_ms,
        wait_ms=wait_ms,
        stage_ms=stage_ms,
        batch_sha256=batch.sha256,
    )
    channel.send(done)
    _track(run, step, step_figures(done, received.header.telemetry))
    return True


def _track(run: Run, step: int, values: Mapping[str, float]) -> None:
    problem = run.track(step, values)
    if problem:
        log(problem)
        run.channel.send(Warning(code="TRACKER_FAILED", message=problem))


def _validate(run: Run) -> None:
    """Measures the loss on the held-out images, where there are any, and reports it."""
    from .held_out import measure
    from .tracking import validation_figures

    if not run.held_out:
        return
    step = run.trainer.step
    run.channel.set_progress("validating", step)
    run.validated = measure(run.trainer, run.held_out)
    run.channel.send(run.validated)
    _track(run, step, validation_figures(run.validated))


def _evaluate(run: Run) -> None:
    """Measures how good samples are, where that is asked for, and reports it."""
    from .tracking import evaluation_figures

    if run.evaluate is None:
        return
    run.channel.set_progress("evaluating", run.trainer.step)
    for evaluated in run.evaluate(run.trainer):
        run.channel.send(evaluated)
        _track(run, run.trainer.step, evaluation_figures(evaluated))


def split_waiting(batch: Batch, started: float, arrived: float, staged: float) -> tuple[float, float]:
    """Milliseconds (waited for the batch, checking and copying it), where nothing counts twice.

    The I/O thread checks a batch while the one before is trained on; where it was not done yet, the rest of the check
    is staging, not waiting. started, arrived, staged: when the main thread asked for the batch, had it, had copied it.
    """
    check = batch.checked_at - batch.received_at
    check_waited_for = max(0.0, batch.checked_at - max(started, batch.received_at))
    return (arrived - started - check_waited_for) * 1000, (check + staged - arrived) * 1000


def _save(run: Run) -> Checkpoint:
    """Commits the state at hand and says saved. Raises OSError."""
    from .checkpoint import save

    run.channel.set_progress("saving", run.trainer.step)
    started = time.perf_counter()
    config = run.welcome.config
    parent = run.saved.folder.name if run.saved and run.saved.manifest.step < run.trainer.step else None
    run.saved = save(
        _checkpoints(run.welcome),
        run.trainer.state(),
        run.origin,
        run.trainer.hyperparameters(),
        parent,
        config.checkpoint.total_limit,
        log,
    )
    duration_ms = (time.perf_counter() - started) * 1000
    digest = run.saved.manifest.state_sha256
    folder = str(run.saved.folder)
    run.channel.send(Saved(step=run.trainer.step, path=folder, state_sha256=digest, duration_ms=duration_ms))
    return run.saved


def _try_to_save(run: Run) -> None:
    """A periodic save. Where it fails training goes on: the previous checkpoint is still there."""
    try:
        _save(run)
    except OSError as error:
        message = f"no checkpoint at step {run.trainer.step}, the previous one stays: {error}"
        log(message)
        run.channel.send(Warning(code="CHECKPOINT_FAILED", message=message))


def _write_samples(run: Run) -> None:
    from .latents import show
    from .sampler import sample, settings_of, write_grid

    step, config = run.trainer.step, run.welcome.config.sampling
    run.channel.set_progress("sampling", step)
    started = time.perf_counter()
    path = run.folder / "samples" / f"step-{step:012d}.png"
    try:
        network = run.trainer.ema_network()
        scheduler = run.trainer.objective.scheduler
        images = sample(
            network,
            scheduler,
            config.num_images,
            settings_of(config),
            config.seed,
            image_scale=run.welcome.config.dataset.image_scale,
            is_latent=run.latents is not None,
        )
        write_grid(show(images, run.latents), path)
    except OSError as error:
        run.channel.send(Warning(code="SAMPLE_FAILED", message=f"no sample grid at step {step}: {error}"))
        return
    run.channel.send(Sampled(step=step, path=str(path), duration_ms=(time.perf_counter() - started) * 1000))


def _finish(run: Run) -> None:
    """The last checkpoint, the last grid of a finished run, the pipeline, and the last words."""
    from .card import pipeline_files
    from .checkpoint import check_generation
    from .held_out import describe
    from .sampler import save_pipeline, settings_of

    step = run.trainer.step
    try:
        is_saved = run.saved is not None and run.saved.manifest.step == step
        last = run.saved if is_saved and run.saved else _save(run)
    except OSError as error:
        raise CheckpointError(f"the last checkpoint, of step {step}, could not be written: {error}") from error
    if step >= run.welcome.config.max_train_steps:
        _validate(run)
        _evaluate(run)
        _write_samples(run)
    check_generation(_checkpoints(run.welcome), run.origin)
    run.channel.set_progress("ending", step)
    digest = last.manifest.state_sha256
    pipeline = run.folder / "pipeline"
    config, scheduler = run.welcome.config, run.trainer.objective.scheduler
    settings, image_scale, network = settings_of(config.sampling), config.dataset.image_scale, run.trainer.ema_network()
    metrics = describe(run.validated) if run.validated and run.validated.step == step else None
    files = pipeline_files(config, run.welcome.dataset, scheduler, run.origin, step, digest, network, metrics)
    try:
        save_pipeline(network, scheduler, pipeline, settings, image_scale, files, run.latents)
    except OSError as error:
        raise PipelineError(f"the pipeline could not be written: {error}") from error
    run.channel.send(Stopped(step=step, checkpoint=str(last.folder), state_sha256=digest, pipeline=str(pipeline)))


def _checkpoints(welcome: Welcome) -> Path:
    return Path(welcome.run_folder) / "checkpoints"


def log(message: str) -> None:
    """A plain line on stderr. stdout is never written to."""
    sys.stderr.write(f"[immiscible] [worker] {message}\n")
    sys.stderr.flush()
