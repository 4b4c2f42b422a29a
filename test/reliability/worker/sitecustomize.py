"""What campaigns do inside a worker: a ledger of the steps applied, signals at named phases, and the planted faults.

Python imports a module of this name at its start where this folder is on PYTHONPATH; server.py calls `install` itself.
Nothing happens unless HOOK_FOLDER is set. There lie `ledger.jsonl`, whose lines are written before (rename) or after
(start, applied, commit) what they tell of and before the worker says so, and `plan.json`, which is consumed by the
worker that reaches its phase for the count-th time: {"phase", "count", "action"}.
HOOK_FAULT names a fault: see FAULTS.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

FOLDER = os.environ.get("HOOK_FOLDER")


def install() -> None:
    """Wraps the worker's functions at each phase. The product itself knows nothing of this."""
    folder = Path(os.environ["HOOK_FOLDER"])
    generation = int(os.environ["IMMISCIBLE_GENERATION"])
    reached: Counter[str] = Counter()
    plan = folder / "plan.json"
    orchestrator = int(os.environ.get("HOOK_ORCHESTRATOR") or os.getppid())

    def write(kind: str, **fields: object) -> None:
        line = json.dumps({"kind": kind, "generation": generation, "pid": os.getpid(), **fields}) + "\n"
        ledger = os.open(folder / "ledger.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(ledger, line.encode())
        os.close(ledger)

    def reach(phase: str) -> None:
        try:
            planned = json.loads(plan.read_bytes())
            made = plan.stat().st_mtime_ns
            reached[f"{phase} {made}"] += 1
            if planned["phase"] != phase or planned["count"] != reached[f"{phase} {made}"]:
                return
            plan.rename(folder / "plan.done")
        except FileNotFoundError:
            return
        write("reached", phase=phase, action=planned["action"])
        ACTIONS[planned["action"]](orchestrator)

    def wrap(owner: Any, name: str, before: str | None, after: str | None = None, when: Any = None) -> None:
        original = getattr(owner, name)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            is_meant = when is None or when(*arguments)
            if before and is_meant:
                reach(before)
            result = original(*arguments, **named)
            if after and is_meant:
                reach(after)
            return result

        setattr(owner, name, wrapped)

    write("begin", orchestrator=orchestrator)
    from immiscible_worker import checkpoint, files, sampler, worker
    from immiscible_worker.channel import Channel
    from immiscible_worker.trainer import Trainer

    fault = os.environ.get("HOOK_FAULT")
    if fault:
        FAULTS[fault](generation)
    train_step, start = Trainer.train_step, worker._start  # pyright: ignore[reportPrivateUsage]

    def train_and_tell(trainer: Trainer, batch: Any) -> Any:
        metrics = train_step(trainer, batch)
        write("applied", step=batch.step, batch=batch.sha256)
        return metrics

    def start_and_tell(*arguments: Any) -> Any:
        run = start(*arguments)
        write("start", step=run.trainer.step)
        return run

    def is_root(path: Path) -> bool:
        return path.name == "checkpoints"

    def replace_and_tell(temporary: Path, target: Path) -> None:
        saving[:] = [int(target.name.removeprefix("step-"))]
        write("rename", step=saving[0])
        replace_folder(temporary, target)

    def sync_and_tell(folder: Path) -> None:
        if is_root(folder):
            write("commit", step=saving[0])
        sync_folder(folder)

    saving: list[int] = []
    sync_folder, replace_folder = files.sync_folder, checkpoint.replace_folder
    cast(Any, Trainer).train_step = train_and_tell
    files.sync_folder, checkpoint.replace_folder = sync_and_tell, replace_and_tell
    worker._start = start_and_tell  # pyright: ignore[reportPrivateUsage]
    wrap(Channel, "__init__", None, "connected")
    wrap(Channel, "receive", None, "after-receive")
    wrap(checkpoint, "load_newest", "before-load", "during-resume")
    wrap(Trainer, "load", None, "after-resume")
    wrap(worker, "stage", None, "staged")
    wrap(Trainer, "train_step", None, "after-step")
    wrap(Trainer, "_clip", "backward-done")
    wrap(checkpoint, "_write", "before-save")
    wrap(checkpoint, "write_durably", "mid-save")
    wrap(checkpoint, "replace_folder", "before-rename", "after-commit")
    wrap(files, "sync_folder", "after-rename", when=is_root)
    wrap(checkpoint, "remove_tree", "mid-retention", when=lambda path: ".tmp-old" in path.name)
    wrap(checkpoint, "_retain", None, "after-retention")
    wrap(sampler, "sample", "sampling")
    wrap(sampler, "write_grid", "before-grid", "after-grid")
    wrap(sampler, "save_pipeline", "before-pipeline", "after-pipeline")


def kill(*pids: int) -> None:
    """SIGKILL. This process last: it does not come back from that."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def hold_gil(_: int) -> None:
    """Does not come back, and lets no other thread run."""
    import ctypes

    ctypes.PyDLL(None).sleep(600)


def spin(_: int) -> None:
    """An endless loop of Python."""
    while True:
        pass


def interrupt(orchestrator: int) -> None:
    """Has the orchestrator stop the run, and is gone before it is told."""
    os.kill(orchestrator, signal.SIGINT)
    kill(os.getpid())


def shout(_: int) -> None:
    """Writes much, in every shape, and is gone."""
    for number in range(5000):
        os.write(1 + number % 2, f"shout {number}\n".encode())
    os.write(1, b"x" * 3_000_000 + b"\n")
    os.write(2, b"last words \xff")
    kill(os.getpid())


ACTIONS: dict[str, Callable[[int], None]] = {
    "kill worker": lambda _: kill(os.getpid()),
    "kill orchestrator": lambda orchestrator: kill(orchestrator),
    "kill both": lambda orchestrator: kill(orchestrator, os.getpid()),
    "stop worker": lambda _: os.kill(os.getpid(), signal.SIGSTOP),
    "hold GIL": hold_gil,
    "spin": spin,
    "sleep": lambda _: time.sleep(600),
    "interrupt and kill worker": interrupt,
    "nap": lambda _: time.sleep(2),
    "pause": lambda _: time.sleep(7),
    "shout": shout,
}


def after_load(change: Callable[[Any, list[Any]], None]) -> Callable[[int], None]:
    """A fault: after each resume, `change` gets the trainer and the EMA as it was before."""

    def plant(_: int) -> None:
        from immiscible_worker.trainer import Trainer

        load, owner = Trainer.load, cast(Any, Trainer)

        def planted(trainer: Any, state: Any) -> None:
            fresh = [parameter.clone() for parameter in trainer.ema.shadow_params]
            load(trainer, state)
            change(trainer, fresh)

        owner.load = planted

    return plant


def forget_ema(trainer: Any, fresh: list[Any]) -> None:
    """The EMA is not restored."""
    trainer.ema.shadow_params = fresh


def forget_optimizer(trainer: Any, _: list[Any]) -> None:
    """The optimiser's moments are not restored."""
    trainer._optimizer.state.clear()


def skip_a_step(trainer: Any, _: list[Any]) -> None:
    """One step is left out."""
    trainer.step += 1


def change_a_batch(generation: int) -> None:
    """The first batch of every worker but the first has one bit flipped."""
    from dataclasses import replace

    from immiscible_worker import worker

    stage, is_left = worker.stage, [generation > 0]

    def planted(batch: Any, device: Any) -> Any:
        if is_left[0]:
            is_left[0] = False
            first = bytearray(batch.frames[0])
            first[0] ^= 1
            batch = replace(batch, frames=(memoryview(first), *batch.frames[1:]))
        return stage(batch, device)

    worker.stage = planted


def unfence(_: int) -> None:
    """Whoever was given up commits all the same."""
    from immiscible_worker import channel, checkpoint

    def anybody(*_: object) -> None:
        return None

    checkpoint.check_generation = anybody
    # Nor does it end with its orchestrator.
    channel._end_orphan = anybody  # pyright: ignore[reportPrivateUsage]
    channel._lifeline = anybody  # pyright: ignore[reportPrivateUsage]


def jump_clock(_: int) -> None:
    """time.time() jumps by days or years, back and forth, many times a second."""
    real, real_ns, started = time.time, time.time_ns, time.monotonic()
    jumps = (0, -3 * 86400, 2 * 365 * 86400, -40 * 365 * 86400)

    def offset() -> int:
        return jumps[int((time.monotonic() - started) * 140) % len(jumps)]

    time.time = lambda: real() + offset()
    time.time_ns = lambda: real_ns() + offset() * 10**9


def poison(_: int) -> None:
    """Whoever trains on the batch of step 7 dies. Its images go to poison.bin, as they came."""
    from immiscible_worker.trainer import Trainer

    train_step, owner = Trainer.train_step, cast(Any, Trainer)

    def planted(trainer: Any, batch: Any) -> Any:
        if batch.step != 7:
            return train_step(trainer, batch)
        Path(os.environ["HOOK_FOLDER"], "poison.bin").write_bytes(batch.images.numpy().tobytes())
        # That step 6 is done is still on its way: had one life told it and another not, that would be progress.
        time.sleep(0.5)
        os._exit(9)

    owner.train_step = planted


def seem_fresh(_: int) -> None:
    """The heartbeats say that there was progress just now, whatever the worker does."""
    from immiscible_worker import channel

    heartbeat = channel.Heartbeat
    cast(Any, channel).Heartbeat = lambda phase, step, age_ms: heartbeat(phase, step, age_ms * 0)


def end_unsaved(_: int) -> None:
    """Only the first checkpoint is written: what it has is told ever after."""
    from immiscible_worker import worker

    save, owner = worker._save, cast(Any, worker)  # pyright: ignore[reportPrivateUsage]
    owner._save = lambda run: run.saved or save(run)


def leak(_: int) -> None:
    """Each step keeps a descriptor and 256 KiB."""
    from immiscible_worker.trainer import Trainer

    train_step, owner, kept = Trainer.train_step, cast(Any, Trainer), list[Any]()

    def planted(trainer: Any, batch: Any) -> Any:
        kept.append((os.open(os.devnull, os.O_RDONLY), os.urandom(1 << 18)))
        return train_step(trainer, batch)

    owner.train_step = planted


FAULTS: dict[str, Callable[[int], None]] = {
    "EMA not restored": after_load(forget_ema),
    "optimizer not restored": after_load(forget_optimizer),
    "step position off by one": after_load(skip_a_step),
    "batch changed on replay": change_a_batch,
    "zombie not fenced": unfence,
    "clock jumps": jump_clock,
    "timeouts by the wall clock": jump_clock,
    "poison": poison,
    "progress always fresh": seem_fresh,
    "stop does not save": end_unsaved,
    "leak": leak,
}

if FOLDER and "IMMISCIBLE_RUN_ID" in os.environ and sys.argv[0] == "-m":
    install()
