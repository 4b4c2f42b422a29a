"""Histories of checkpoint writers and loaders, and every state that a loss of power may leave of them."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import torch
from disk import (
    DiedError,
    Folder,
    Image,
    Operation,
    Recorder,
    apply,
    crash_images,
    live_image,
    read_image,
    recording,
    write_image,
)

from immiscible_worker import checkpoint
from immiscible_worker.protocol import Fingerprint
from immiscible_worker.state import TrainState, state_sha256

RUN_ID, CONFIG_HASH = "0" * 32, "c" * 64
FINGERPRINT = Fingerprint("3", "2", "0", "cpu", "AVX2", 1, "here")

# Not the checkpoint module's, which a control may have replaced.
digest_of = state_sha256
Label = tuple[int, str]
Drops = Callable[[Operation], bool]


@dataclass
class Findings:
    """What the checks found, and what was done to the writer."""

    violations: list[str] = field(default_factory=list[str])
    faults: Counter[str] = field(default_factory=Counter[str])


def make_state(step: int, variant: int) -> TrainState:
    """A state like a trainer's, of a few bytes."""
    random = Random(f"{step}/{variant}")

    def tensors(*names: str) -> dict[str, torch.Tensor]:
        return {name: torch.tensor([random.random() for _ in range(6)]) for name in names}

    network, ema, optimizer = tensors("a", "b"), tensors("a", "b"), tensors("a.exp_avg", "a.step")
    target = tensors("a") if variant % 2 else {}
    return TrainState(step, network, ema, target, optimizer, {"scale": random.random()}, step)


def save(root: Path, state: TrainState, total_limit: int, warnings: list[str] | None = None) -> None:
    """As the worker does."""
    origin = checkpoint.Origin(RUN_ID, CONFIG_HASH, 0, FINGERPRINT)
    warn = (warnings if warnings is not None else []).append
    checkpoint.save(root / "checkpoints", state, origin, {"lr": 0.1}, None, total_limit, warn)


def load(root: Path, warnings: list[str] | None = None) -> Label | None:
    """What the worker would go on from: its step and digest."""
    warn = (warnings if warnings is not None else []).append
    loaded = checkpoint.load_newest(root / "checkpoints", RUN_ID, CONFIG_HASH, warn)
    return None if loaded is None else (loaded[1].step, digest_of(loaded[1]))


def label_of(state: TrainState) -> Label:
    return state.step, digest_of(state)


@dataclass
class History:
    """What one worker after another did to a run folder: its operations, and when it promised which checkpoint.

    promises: (number of operations before, what must be there from now on). attempts: what may be there from then on.
    """

    name: str
    recorder: Recorder
    promises: list[tuple[int, Label | None]] = field(default_factory=lambda: [(0, None)])
    attempts: list[tuple[int, Label]] = field(default_factory=list[tuple[int, Label]])

    def allowed(self, at: int) -> set[Label | None]:
        """What a loader may find where `at` operations were carried out."""
        since, promised = [promise for promise in self.promises if promise[0] <= at][-1]
        begun = {label for begun_at, label in self.attempts if since <= begun_at <= at}
        return {promised, *begun}


def write_history(root: Path, random: Random, total_limit: int, drops: Drops) -> History:
    """Saves, deaths in the middle, loads, a replaced checkpoint, rot: all by the real code in a real folder."""
    root.mkdir(parents=True)
    recorder = Recorder(root, drops=drops)
    history = History(f"limit {total_limit}", recorder)

    def now() -> int:
        return len(recorder.operations)

    def save_one(step: int, variant: int = 0) -> None:
        state = make_state(step, variant)
        history.attempts.append((now(), label_of(state)))
        save(root, state, total_limit)
        history.promises.append((now(), label_of(state)))

    def load_one() -> None:
        label = load(root)
        history.promises.append((now(), label))

    def die(action: Callable[[], None], after: int | None) -> None:
        """The process ends after so many more operations, or right after a rename; its files stay as they are."""
        begun = now()

        def before(_: Operation) -> None:
            is_renamed = now() > begun and recorder.operations[-1].kind == "rename"
            if is_renamed if after is None else now() >= begun + after:
                raise DiedError

        recorder.before = before
        with contextlib.suppress(DiedError):
            action()
        recorder.before = lambda _: None

    with recording(recorder):
        variant = random.randrange(2)
        num_older = random.randrange(4)
        for step in range(1, num_older + 1):
            save_one(5 * step, variant)
        at = 5 * num_older
        for _ in range(random.randrange(3)):
            die(lambda at=at: save_one(at + 5, variant), random.choice([None, random.randrange(45)]))
            if random.random() < 0.3:
                die(load_one, random.randrange(6))
            load_one()
            history.name += f", died after {now()} operations"
        promised = history.promises[-1][1]
        if promised and random.random() < 0.5:
            # Another machine, other bits: what is there under this step must make room.
            if random.random() < 0.5:
                die(lambda: save_one(promised[0], variant + 2), None)
                load_one()
            save_one(promised[0], variant + 2)
        save_one(at + 10, variant)
        save_one(at + 15, variant)
    model = Folder()
    for operation in recorder.operations:
        apply(model, operation)
    assert live_image(model) == read_image(root), "what was recorded is not what was done"
    return history


def check_history(history: History, scratch: Path, per_prefix: int, random: Random, findings: Findings) -> int:
    """Every state after a crash at every operation: is what the loader takes whole, and what was promised?

    Answers the number of different states.
    """
    model = Folder()
    loaded: dict[frozenset[tuple[str, bytes | None]], Label | str | None] = {}
    operations = history.recorder.operations
    for at in range(len(operations) + 1):
        allowed = history.allowed(at)
        for image in crash_images(model, per_prefix, random):
            key = frozenset(image.items())
            if key not in loaded:
                loaded[key] = load_image(scratch, image, is_continued=len(loaded) % 40 == 0)
            if loaded[key] not in allowed:
                last = operations[at - 1] if at else None
                done = f"{last.kind} {last.path}" if last else "nothing"
                steps = sorted(str(label and label[0]) for label in allowed)
                where = f"{history.name}: power lost after {at} operations ({done})"
                findings.violations.append(f"{where}: expected step {' or '.join(steps)}, got {loaded[key]}")
        if at < len(operations):
            apply(model, operations[at])
    findings.faults["prefixes of operations"] += len(operations) + 1
    return len(loaded)


def load_image(scratch: Path, image: Image, is_continued: bool) -> Label | str | None:
    """What the loader takes from a disk in this state, or what went wrong, in words."""
    write_image(scratch, image)
    try:
        label = load(scratch)
        left = [path.name for path in scratch.rglob(".tmp-*")]
        if left:
            return f"{', '.join(left)} left behind"
        if is_continued:
            state = make_state(label[0] + 1 if label else 1, 7)
            save(scratch, state, 1)
            if load(scratch) != label_of(state):
                return "the next checkpoint is not taken"
        return label
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def enumerate_states(
    folder: Path, target: int, random: Random, findings: Findings, per_prefix: int = 400, drops: Drops = lambda _: False
) -> int:
    """Histories until at least so many different states were looked at. Ends early where something was found.

    per_prefix: states of one prefix of the operations: a random choice where a crash could leave more.
    """
    count = number = 0
    while count < target and not findings.violations:
        root = folder / f"history-{number}"
        history = write_history(root, random, 1 + number % 3, drops)
        history.name = f"history {number}, {history.name}"
        count += check_history(history, folder / "scratch", per_prefix, random, findings)
        number += 1
    findings.faults["histories"] += number
    return count
