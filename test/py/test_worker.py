"""The worker process, over real sockets, with a stand-in orchestrator: from hello to every kind of end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from training import make_trainer, train

from example import digits, make_config
from immiscible_worker.codec import Batch, decode_batch, encode_message
from immiscible_worker.errors import ConfigError, NonFiniteError, PairingError, ProtocolError
from immiscible_worker.failure import describe_failure
from immiscible_worker.protocol import (
    Attach,
    Credit,
    Failed,
    Hello,
    Ready,
    Reject,
    Sampled,
    Saved,
    StepDone,
    Stop,
    Stopped,
    TrainConfig,
    Warning,
)
from immiscible_worker.state import state_sha256
from immiscible_worker.worker import split_waiting
from orchestrator import (
    CONFIG_HASH,
    PYTHON_FOLDER,
    RUN_ID,
    TOKEN,
    Orchestrator,
    launch,
    make_digit_batches,
    welcome_of,
)

IMAGES = digits()[0]


def greet(orchestrator: Orchestrator, config: TrainConfig, folder: Path) -> Ready:
    """From hello to ready."""
    orchestrator.wait_for(Hello)
    orchestrator.attach()
    orchestrator.send(welcome_of(config, folder, IMAGES))
    return orchestrator.wait_for(Ready)


def test_a_run_with_a_kill_in_it_ends_as_one_without(tmp_path: Path) -> None:
    config = make_config(sampling={"everySteps": 3})
    with launch() as killed:
        ready = greet(killed, config, tmp_path)
        assert (ready.step, ready.resumed_from, ready.warnings) == (0, None, [])
        for step in range(7):
            killed.send_batch(make_digit_batches(config, IMAGES)(step))
        while killed.wait_for(StepDone).step < 6:
            pass
        killed.process.kill()
    assert killed.heard[0][0] == f"{RUN_ID}.0.0"
    assert encode_message(Attach(TOKEN)) in [message for _, message in killed.heard]
    assert {beat.phase for beat in killed.heartbeats} >= {"starting"}
    order = [(type(event).__name__, getattr(event, "step", None)) for event in killed.events]
    middle = [("Credit", 4), ("StepDone", 4), ("Saved", 5), ("Credit", 5), ("StepDone", 5), ("Sampled", 6)]
    assert order[order.index(("Credit", 4)) :][: len(middle)] == middle

    with launch(generation=1) as second:
        ready = greet(second, config, tmp_path)
        assert ready.step == 5, "two steps are replayed"
        assert ready.resumed_from == str(tmp_path / "checkpoints" / "step-000000000005")
        second.send_batch(make_digit_batches(config, IMAGES)(5))  # of generation 0: dropped
        second.serve(ready, make_digit_batches(config, IMAGES, generation=1), config.max_train_steps)
        assert second.exit_code() == 0
    order = [(type(event).__name__, getattr(event, "step", None)) for event in second.events]
    assert order[-3:] == [("Saved", 8), ("Sampled", 8), ("Stopped", 8)]
    hashes = {event.step: event.batch_sha256 for event in killed.of(StepDone)}
    assert all(hashes.get(event.step, event.batch_sha256) == event.batch_sha256 for event in second.of(StepDone))
    assert all(Path(event.path).is_file() for event in killed.of(Sampled) + second.of(Sampled))
    assert [path.name for path in tmp_path.rglob(".tmp-*")] == []
    [stopped] = second.of(Stopped)
    assert Path(stopped.pipeline, "model_index.json").is_file()
    straight = train(make_trainer(config), config.max_train_steps)
    assert stopped.state_sha256 == state_sha256(straight.state())


@pytest.mark.parametrize(
    ("received", "checked", "wait", "stage"),
    [
        (1.0, 3.0, 0.0, 4.0),  # checked beside the step before: nobody waited for that
        (12.0, 15.0, 2.0, 5.0),  # waited for the message, then for its check
        (8.0, 15.0, 0.0, 9.0),  # there, but its check was not done: staging alone
    ],
)
def test_no_millisecond_is_both_waiting_and_staging(received: float, checked: float, wait: float, stage: float) -> None:
    # Asked for at 10 s; the main thread has it as soon as it is checked, and copies for 2 s.
    batch = make_received(received, checked)
    arrived = max(10.0, checked)
    waited, staged = split_waiting(batch, 10.0, arrived, arrived + 2)
    assert (waited, staged) == (wait * 1000, stage * 1000)
    hidden = max(0.0, min(checked, 10.0) - received)
    assert waited + staged - hidden * 1000 == (arrived + 2 - 10.0) * 1000


def make_received(received_at: float, checked_at: float) -> Batch:
    """A batch with the clock turned to these seconds."""
    batch = decode_batch(make_digit_batches(make_config(), IMAGES)(0), RUN_ID, 0)
    assert batch is not None
    return Batch(batch.header, batch.frames, received_at, checked_at)


def test_stop_saves_and_the_credit_comes_before_the_step_is_done(tmp_path: Path) -> None:
    config = make_config(maxTrainSteps=1000)
    with launch() as worker:
        ready = greet(worker, config, tmp_path)
        make_batch = make_digit_batches(config, IMAGES)
        worker.send_batch(make_batch(0))
        credit, done = worker.wait_for(Credit), worker.wait_for(StepDone)
        assert credit.step == done.step == ready.step == 0
        # Checking and copying are part of what the worker held it.
        assert credit.held_ms > done.stage_ms - 0.001
        # Waiting for a batch that does not come: stop ends that too. Ctrl-C and such are the orchestrator's.
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(worker.process.pid, name)
        time.sleep(0.2)
        worker.send(Stop())
        stopped = worker.wait_for(Stopped)
        assert worker.exit_code() == 0
    assert stopped.step == 1
    assert [event.state_sha256 for event in worker.of(Saved)] == [stopped.state_sha256]
    assert Path(stopped.checkpoint, "manifest.json").is_file()
    assert Path(stopped.pipeline, "README.md").is_file()
    assert worker.of(Sampled) == []


def test_a_failing_save_is_a_warning_while_training_and_a_failure_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    config = make_config(checkpoint={"everySteps": 1}, maxTrainSteps=2)
    with launch() as worker:
        worker.serve(greet(worker, config, tmp_path), make_digit_batches(config, IMAGES), 2)
        assert worker.exit_code() == 1
    assert [event.code for event in worker.of(Warning)] == ["CHECKPOINT_FAILED"]
    assert len(worker.of(StepDone)) == 2
    [failed] = worker.of(Failed)
    assert (failed.code, failed.step, failed.is_retryable) == ("CHECKPOINT_FAILED", 2, False)


def test_a_batch_of_another_step_ends_the_worker(tmp_path: Path) -> None:
    config = make_config()
    with launch() as worker:
        greet(worker, config, tmp_path)
        worker.send_batch(make_digit_batches(config, IMAGES)(1))
        failed = worker.wait_for(Failed)
        assert worker.exit_code() == 70
    assert (failed.code, failed.is_retryable, failed.step) == ("WRONG_STEP", False, 0)
    assert failed.message.endswith("step: expected 0, got 1")
    assert "Traceback" in failed.traceback


@pytest.mark.parametrize("frames", [[b"\xc1\xc1"], [b"\xdd\xff\xff\xff\xff"], [b"\x80", b"\x80"], [b"x"] * 20_000])
def test_garbage_on_the_control_channel_ends_the_worker_with_a_typed_error(frames: list[bytes]) -> None:
    with launch() as worker:
        worker.wait_for(Hello)
        worker.control.send_multipart([worker.identity, *frames])
        failed = worker.wait_for(Failed)
        assert worker.exit_code() == 70
    assert (failed.code, failed.is_retryable) == ("PROTOCOL", False)
    assert "command: expected" in failed.message


@pytest.mark.parametrize("every_steps", [3, 0])
def test_a_fault_in_the_objective_stops_the_worker_for_good_unless_the_gate_is_off(
    tmp_path: Path, every_steps: int
) -> None:
    config = make_config(gate={"everySteps": every_steps}, maxTrainSteps=5)
    planted = os.pathsep.join([str(PYTHON_FOLDER.parent / "test" / "fixture" / "planted"), str(PYTHON_FOLDER)])
    with launch({"PYTHONPATH": planted, "PLANTED_STEPS": "2"}) as worker:
        worker.serve(greet(worker, config, tmp_path), make_digit_batches(config, IMAGES), 5)
        assert worker.exit_code() == (1 if every_steps else 0)
    failures = [(event.code, event.step, event.is_retryable) for event in worker.of(Failed)]
    # Steps 0 and 1 are honest, step 2 is not looked at, step 3 is.
    assert failures == ([("PAIRING", 3, False)] if every_steps else [])
    assert len(worker.of(StepDone)) == (3 if every_steps else 5)
    for event in worker.of(Failed):
        assert "step 3: call 1 of the network: sample is not made of what was received" in event.message


def test_a_sampler_that_does_not_fit_and_a_schedule_that_moved_are_said_at_the_start(tmp_path: Path) -> None:
    assignment = {"kind": "quantized", "within": "pool", "startStep": 0, "tolerance": 0.001}
    config = make_config(assignment=assignment, sampling={"eta": 0.5}, dataset={"imageScale": 2}, maxTrainSteps=1)
    with launch() as worker:
        worker.serve(greet(worker, config, tmp_path), make_digit_batches(config, IMAGES), 1)
        assert worker.exit_code() == 0
    assert [type(event) for event in worker.events].index(Warning) < [type(event) for event in worker.events].index(
        Credit
    )
    coupled, scaled = worker.of(Warning)
    assert coupled.code == "SAMPLER_COUPLED"
    assert coupled.message.startswith("sampling.eta: 0.5 makes the sampler draw fresh noise")
    assert (scaled.code, scaled.message[:53]) == (
        "IMAGE_SCALE",
        "dataset.imageScale 2 shifts the log-SNR by +1.39 at e",
    )
    assert (tmp_path / "pipeline" / "pipeline.py").is_file()
    record = json.loads((tmp_path / "pipeline" / "immiscible.json").read_text())
    assert record["assignment"] == {**assignment, "poolSize": 16}
    assert (record["isCoupled"], record["recommendedEta"], record["imageScale"]) == (True, 0, 2)
    assert (record["runId"], record["configHash"], record["step"]) == (RUN_ID, CONFIG_HASH, 1)
    assert record["stateSha256"] == worker.of(Stopped)[0].state_sha256


@pytest.mark.parametrize(
    ("error", "code", "exit_code", "is_retryable"),
    [
        (ProtocolError("step", 1, 2), "PROTOCOL", 70, False),
        (ConfigError("DEVICE", "no such device"), "DEVICE", 78, False),
        (NonFiniteError("nan"), "NONFINITE", 1, False),
        (PairingError("moved"), "PAIRING", 1, False),
        (torch.OutOfMemoryError("too much"), "OUT_OF_MEMORY", 1, False),
        (torch.AcceleratorError("launch failed"), "ACCELERATOR", 75, True),
        (KeyError("a bug"), "INTERNAL", 1, False),
    ],
)
def test_every_failure_has_its_code(error: Exception, code: str, exit_code: int, is_retryable: bool) -> None:
    failed, exit_with = describe_failure(error, 3)
    assert (failed.code, exit_with, failed.is_retryable, failed.step) == (code, exit_code, is_retryable, 3)


def test_a_rejected_worker_ends_with_78_before_it_imports_torch(tmp_path: Path) -> None:
    with launch() as worker:
        worker.wait_for(Hello)
        worker.send(Reject("VERSION", "another version"))
        assert worker.exit_code(5) == 78
        assert "VERSION: another version" in worker.stderr.read_text()


def test_a_welcome_to_another_config_is_refused(tmp_path: Path) -> None:
    with launch({"IMMISCIBLE_CONFIG_HASH": "f" * 64}) as worker:
        assert worker.wait_for(Hello).config_hash == "f" * 64
        worker.send(welcome_of(make_config(), tmp_path, IMAGES))
        failed = worker.wait_for(Failed)
        assert worker.exit_code() == 78
    assert failed.code == "CONFIG_MISMATCH"
    assert CONFIG_HASH in failed.message


def test_a_silent_orchestrator_is_left_after_the_lease() -> None:
    with launch(lease_seconds=1) as worker:
        worker.wait_for(Hello)
        silent_since = time.monotonic()
        worker.next_event(timeout=10, is_pinging=False)
        assert worker.exit_code(5) == 75
        assert time.monotonic() - silent_since < 3
        assert "ending without saving" in worker.stderr.read_text()


def test_time_in_which_a_worker_did_not_run_is_no_lack_of_progress() -> None:
    with launch() as worker:
        worker.wait_for(Hello)
        while not worker.heartbeats:
            worker.next_event(1)
        worker.process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        worker.process.send_signal(signal.SIGCONT)
        before = len(worker.heartbeats)
        while len(worker.heartbeats) < before + 2:
            worker.next_event(1)
        # The first of them may have been sent before the stop.
        assert worker.heartbeats[-1].age_ms - worker.heartbeats[before - 1].age_ms < 3000


def test_the_end_of_stdin_is_the_end_of_the_worker() -> None:
    with launch() as worker:
        worker.wait_for(Hello)
        assert worker.process.stdin is not None
        worker.process.stdin.close()
        assert worker.exit_code(5) == 75


LAUNCHER = """
import subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-m", "immiscible_worker"], stdin=subprocess.PIPE)
print(worker.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the parent's death is a signal on Linux only")
def test_a_worker_that_is_stopped_ends_with_its_orchestrator() -> None:
    with launch(lease_seconds=60) as known:
        known.wait_for(Hello)
        variables = {name: value for name, value in known.variables.items() if name != "IMMISCIBLE_GENERATION"}
        launcher = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER],
            env={**variables, "IMMISCIBLE_GENERATION": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert launcher.stdout is not None
        with launcher, launcher.stdout:
            pid = int(launcher.stdout.readline())
            assert known.control.poll(20_000)
            while known.control.recv_multipart()[0] != f"{RUN_ID}.1.0".encode():
                assert known.control.poll(20_000)
            os.kill(pid, signal.SIGSTOP)
            launcher.kill()
        deadline = time.monotonic() + 10
        while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            assert time.monotonic() < deadline, "the stopped worker is still there"
            time.sleep(0.02)


def test_a_worker_whose_successor_has_begun_saves_nothing(tmp_path: Path) -> None:
    config = make_config(checkpoint={"everySteps": 2}, maxTrainSteps=4)
    (tmp_path / "generation.json").write_text('{ "next": 1 }')
    with launch() as worker:
        ready = greet(worker, config, tmp_path)
        make_batch = make_digit_batches(config, IMAGES)
        for step in range(2):
            worker.send_batch(make_batch(step))
        worker.wait_for(Saved)
        (tmp_path / "generation.json").write_text('{ "next": 2 }')
        worker.serve(Ready(2, None, 0, ready.fingerprint, []), make_batch, 4)
        assert worker.exit_code() == 1
    [failed] = worker.of(Failed)
    assert (failed.code, failed.step, failed.is_retryable) == ("SUPERSEDED", 4, False)
    assert failed.message.startswith("this worker is generation 0 of the run and generation 1 has begun")
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000000000002"]
    assert not (tmp_path / "pipeline").exists()


def test_sigusr1_writes_every_stack(tmp_path: Path) -> None:
    with launch() as worker:
        worker.wait_for(Hello)
        worker.process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 10
        # One thread's stack comes after the other's.
        while not all(name in worker.stderr.read_text() for name in ("channel.py", "worker.py")):
            assert time.monotonic() < deadline, worker.stderr.read_text()
            time.sleep(0.05)
        assert worker.process.poll() is None


def test_a_worker_started_by_hand_says_what_is_missing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "immiscible_worker"], cwd=PYTHON_FOLDER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 64
    assert "IMMISCIBLE_RUN_ID is not set" in done.stderr
