"""What happens to checkpoints after they were committed, and to a save on a disk that fails."""

from __future__ import annotations

import errno
from pathlib import Path
from random import Random

from disk import Operation, Recorder, read_image, recording, write_image
from histories import Findings, label_of, load, make_state, save

from immiscible_worker.state import TrainState


def rot(folder: Path, other: Path, random: Random) -> tuple[str, str]:
    """Damages one file of a checkpoint. Answers what was done, and to which."""
    paths = sorted(path for path in folder.iterdir())
    path = folder / "manifest.json" if random.random() < 0.3 else random.choice(paths)
    data = path.read_bytes()
    at = random.randrange(len(data))
    kind = random.choice(["flip", "truncate", "append", "zeros", "delete", "swap", "half", "byte", "folder"])
    changed = {
        "flip": data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :],
        "truncate": data[:at],
        "append": data + random.randbytes(1 + random.randrange(9)),
        "zeros": data[:at] + bytes(len(data) - at),
        "swap": (other / path.name).read_bytes() if (other / path.name).exists() else b"",
        "half": data[: len(data) // 2],
        "byte": data[:at] + random.randbytes(1) + data[at + 1 :],
    }
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind != "delete":
        path.write_bytes(changed[kind])
        if changed[kind] == data:
            return rot(folder, other, random)
    return kind, f"{folder.name}/{path.name}"


def check_rot(root: Path, trials: int, random: Random, findings: Findings) -> None:
    """Of three checkpoints the newest, sometimes the two newest, are damaged: the next one is taken, and it is said."""
    states = [make_state(step, step % 2) for step in (5, 10, 15, 20)]
    write_image(root, {})
    for state in states[:3]:
        save(root, state, 3)
    good = read_image(root)
    folders = [root / "checkpoints" / f"step-{state.step:012d}" for state in states]
    for _ in range(trials):
        write_image(root, good)
        kind, name = rot(folders[2], folders[1], random)
        num_damaged = 1
        if random.random() < 0.2:
            rot(folders[1], folders[0], random)
            num_damaged = 2
        findings.faults["damaged checkpoints"] += num_damaged
        warnings: list[str] = []
        is_saved_first = random.random() < 0.3
        expected = label_of(states[2 - num_damaged])
        try:
            if is_saved_first:
                # Retention must not count the damaged ones, so with two to keep the good one of before stays.
                save(root, states[3], 2)
                (folders[3] / "manifest.json").unlink()
            got = load(root, warnings)
        except Exception as error:
            findings.violations.append(f"{kind} of {name}: {type(error).__name__}: {error}")
            continue
        unsaid = [folder.name for folder in folders[3 - num_damaged : 3] if folder.name not in "\n".join(warnings)]
        if got != expected:
            findings.violations.append(f"{kind} of {name}: expected {expected}, got {got}")
        elif unsaid:
            findings.violations.append(f"{kind} of {name}: nothing was said of {', '.join(unsaid)}")


ERRNOS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EMFILE)
NEEDS_SPACE = ("mkdir", "create", "write")


def check_errnos(root: Path, findings: Findings) -> None:
    """At each operation of a save once, and from then on: only OSError, the older ones stay, nothing is left behind."""
    older, newest = make_state(5, 0), make_state(10, 0)
    for is_replacing in (False, True):
        states = [older, newest, make_state(10 if is_replacing else 15, 1)]
        write_image(root, {})
        for state in states[:2]:
            save(root, state, 2)
        before = read_image(root)
        recorder = Recorder(root)
        with recording(recorder):
            save(root, states[2], 2)
        for code in ERRNOS:
            for lasts in (False, True):
                for at in range(len(recorder.operations)):
                    write_image(root, before)
                    findings.faults["failing operations"] += 1
                    where = f"operation {at}{' and after' * lasts}{' of a replacing save' * is_replacing}"
                    problem = save_with_errno(root, states, code, at, lasts)
                    if problem:
                        findings.violations.append(f"{errno.errorcode[code]} at {where}: {problem}")


def save_with_errno(root: Path, states: list[TrainState], code: int, at: int, lasts: bool) -> str | None:
    """What went wrong, in words."""
    count = 0
    failed: list[Operation] = []

    def before(operation: Operation) -> None:
        nonlocal count
        if operation.kind == "read":
            return
        is_here = count == at or (lasts and count > at)
        count += 1
        if is_here and not (failed and code in (errno.ENOSPC, errno.EDQUOT) and operation.kind not in NEEDS_SPACE):
            failed.append(operation)
            raise OSError(code, "planted")

    warnings: list[str] = []
    is_saved = True
    with recording(Recorder(root, before=before)):
        try:
            save(root, states[2], 2, warnings)
        except OSError as error:
            is_saved = False
            if error.errno != code:
                return f"another error: {error}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    if is_saved and not warnings and failed[0].kind not in ("unlink", "rmdir"):
        return "nothing was said"
    # What could not be removed, since removing failed, or was moved aside and may be all that survives, may lie there.
    is_removal = any(operation.kind in ("unlink", "rmdir") for operation in failed)
    left = [path.name for path in root.rglob(".tmp-*")]
    if left and not is_removal and not any(name.startswith((".tmp-aside-", ".tmp-old-")) for name in left):
        return f"{', '.join(left)} left behind"
    got = load(root)
    if got not in ([label_of(states[2])] if is_saved else [label_of(states[1]), label_of(states[2])]):
        return f"then took {got}"
    if [path.name for path in root.rglob(".tmp-*")]:
        return "the next start does not sweep"
    save(root, states[2], 2)
    return None if load(root) == label_of(states[2]) else "the next save is not taken"


def check_unreadable(root: Path, findings: Findings) -> None:
    """Each file of the newest checkpoint cannot be read: the one before is taken, and it is said why."""
    states = [make_state(step, 1) for step in (5, 10)]
    for code in ERRNOS:
        for name in ("manifest.json", "scalars.json", "network.safetensors", "target.safetensors"):
            write_image(root, {})
            for state in states:
                save(root, state, 2)
            path = f"checkpoints/step-{10:012d}/{name}"

            def before(operation: Operation, path: str = path, code: int = code) -> None:
                if operation == Operation("read", path):
                    raise OSError(code, "planted")

            warnings: list[str] = []
            with recording(Recorder(root, before=before)):
                got = load(root, warnings)
            findings.faults["failing operations"] += 1
            if got != label_of(states[0]) or len(warnings) != 1 or name not in warnings[0]:
                what = f"{errno.errorcode[code]} reading {name}"
                findings.violations.append(f"{what}: expected step 5 and a warning, got {got} and {warnings}")
