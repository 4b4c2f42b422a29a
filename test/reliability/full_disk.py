"""A disk that is really full, or really read-only: `full_disk.py SCALE FOLDER` prints one JSON line.

Mounts small tmpfs folders, for which it must be root; where it may not, it says why.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import torch
from histories import label_of, load, make_state, save

from example import digits, make_config
from immiscible_worker.errors import EXIT_OTHER
from immiscible_worker.protocol import Failed, Hello, Ready, Saved, StepDone, TrainConfig, Warning
from immiscible_worker.state import TrainState
from orchestrator import Orchestrator, launch, make_digit_batches, welcome_of

PAGE = 4096


def call(*command: str) -> str | None:
    """Runs a command; what went wrong, or None."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Generator[Path]:
    """A tmpfs of its own. Raises PermissionError where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    problem = call("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    if problem:
        raise PermissionError(problem)
    try:
        yield folder
    finally:
        call("umount", "-l", str(folder))


def make_large(step: int) -> TrainState:
    """Of a few pages per file, so that the disk is full in the middle of any."""
    state = make_state(step, 0)
    return TrainState(
        step,
        {"a": torch.full((3 * PAGE,), float(step))},
        {"a": torch.full((2 * PAGE,), float(step))},
        {},
        state.optimizer,
        {},
        step,
    )


def fill(folder: Path, pages_left: int) -> Path:
    """Takes all but so many pages."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(PAGE))
    with filler.open("rb+") as file:
        file.truncate(max(0, filler.stat().st_size - pages_left * PAGE))
    return filler


def save_on_full(root: Path, states: list[TrainState], pages_left: int) -> str | None:
    """What went wrong, in words."""
    save(root, states[0], 1)
    filler = fill(root, pages_left)
    is_saved = True
    try:
        save(root, states[1], 1)
    except OSError as error:
        is_saved = False
        if "No space left" not in str(error):
            return f"another error: {error}"
    left = [path.name for path in root.rglob(".tmp-*")]
    if left:
        return f"{', '.join(left)} left behind"
    if load(root) != label_of(states[is_saved]):
        return f"expected step {states[is_saved].step}, got {load(root)}"
    filler.unlink()
    save(root, states[1], 1)
    return None if load(root) == label_of(states[1]) else "with room again, the next save is not taken"


def check_saves(folder: Path, num_sizes: int, violations: list[str], faults: Counter[str]) -> None:
    """The disk is full after more and more pages, then after more and more files."""
    states = [make_large(1), make_large(2)]
    # Of one checkpoint, and some.
    num_pages = 26
    for at in range(num_sizes):
        pages_left = at * num_pages // num_sizes
        with mounted(folder / "full", f"size={4 * num_pages * PAGE}") as root:
            faults["saves on a full tmpfs"] += 1
            problem = save_on_full(root, states, pages_left)
            violations += [f"{pages_left} pages left: {problem}"] if problem else []
    for num_files in range(8, 18):
        with mounted(folder / "full", f"size=4m,nr_inodes={num_files}") as root:
            save(root, states[0], 1)
            faults["saves on a tmpfs without free inodes"] += 1
            is_saved = False
            with contextlib.suppress(OSError):
                save(root, states[1], 1)
                is_saved = True
            left = [path.name for path in root.rglob(".tmp-*")]
            if left or load(root) != label_of(states[is_saved]):
                violations.append(f"{num_files} inodes, saved {is_saved}: got {load(root)}, left behind {left}")
    with mounted(folder / "full", "size=4m") as root:
        save(root, states[0], 1)
        problem = call("mount", "-o", "remount,ro", str(root))
        faults["saves on a read-only tmpfs"] += 1
        try:
            save(root, states[1], 1)
            problem = problem or "saved"
        except OSError as error:
            problem = problem or (None if "Read-only file system" in str(error) else f"another error: {error}")
        if problem or load(root) != label_of(states[0]):
            violations.append(f"read-only: {problem}, got {load(root)}")


def greet(worker: Orchestrator, config: TrainConfig, folder: Path) -> Ready:
    worker.wait_for(Hello)
    worker.attach()
    worker.send(welcome_of(config, folder, digits()[0]))
    return worker.wait_for(Ready)


def check_worker(folder: Path, kind: str, violations: list[str]) -> None:
    """A worker process whose disk fails after its first checkpoint: it trains on, says so, and ends with 1."""
    images = digits()[0]
    config = make_config(checkpoint={"everySteps": 1, "totalLimit": 2}, maxTrainSteps=4)
    batches = make_digit_batches(config, images)
    with mounted(folder / "worker", "size=16m") as root:
        with launch() as worker:
            ready = greet(worker, config, root)
            worker.send_batch(batches(0))
            first = worker.wait_for(Saved)
            filler = fill(root, 4)
            if kind == "read-only":
                problem = call("mount", "-o", "remount,ro", str(root))
                violations += [f"{kind}: {problem}"] if problem else []
            worker.serve(Ready(1, None, 0, ready.fingerprint, []), batches, 4)
            exit_code = worker.exit_code()
        warnings = [event.message for event in worker.of(Warning) if event.code == "CHECKPOINT_FAILED"]
        failures = [(event.code, event.step) for event in worker.of(Failed)]
        steps = [event.step for event in worker.of(StepDone)]
        reason = "Read-only file system" if kind == "read-only" else "No space left on device"
        expected = [f"no checkpoint at step {step}, the previous one stays: " for step in (2, 3)]
        if steps != [0, 1, 2, 3]:
            violations.append(f"{kind}: expected to train on, got steps {steps}")
        if [message[: len(start)] for message, start in zip(warnings, expected, strict=False)] != expected:
            violations.append(f"{kind}: expected one warning per failed save, got {warnings}")
        if any(reason not in message for message in warnings):
            violations.append(f"{kind}: expected {reason}, got {warnings}")
        if (exit_code, failures) != (EXIT_OTHER, [("CHECKPOINT_FAILED", 4)]):
            violations.append(f"{kind}: expected exit code 1 and CHECKPOINT_FAILED, got {exit_code} and {failures}")
        left = [path.name for path in root.rglob(".tmp-*")]
        if left or not Path(first.path, "manifest.json").is_file():
            violations.append(f"{kind}: left behind {left}")
        if kind == "read-only":
            return
        filler.unlink()
        with launch(generation=1) as worker:
            ready = greet(worker, config, root)
            worker.serve(ready, make_digit_batches(config, images, generation=1), 4)
            if (ready.step, worker.exit_code()) != (1, 0):
                violations.append(f"with room again: expected step 1 and exit code 0, got {ready.step}")


def main(scale: str, folder: Path) -> None:
    """Prints what checkpoints.ts reads."""
    violations: list[str] = []
    faults: Counter[str] = Counter()
    try:
        with mounted(folder / "probe", "size=64k"):
            pass
    except PermissionError as error:
        print(json.dumps({"notRun": f"a tmpfs may not be mounted here: {error}"}))
        return
    check_saves(folder, {"short": 8, "quick": 30, "long": 80}[scale], violations, faults)
    for kind in [] if scale == "short" else ["full", "read-only"]:
        faults["workers whose disk fails"] += 1
        check_worker(folder, kind, violations)
    print(json.dumps({"violations": violations, "faults": faults}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
