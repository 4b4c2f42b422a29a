"""The checkpoint writer against crashes, rot, failing disks: `checkpoints.py SCALE SEED FOLDER` prints one JSON line.

`checkpoints.py write FOLDER` saves a few times, to be watched.
checkpoints.ts starts it. Every check is also run on a writer or a loader with a planted fault, which it must find.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
import torch
from damage import check_errnos, check_rot, check_unreadable
from disk import Recorder, recording, write_image
from histories import Drops, Findings, enumerate_states, make_state, save
from planting import ANYTHING, planted

from immiscible_worker import checkpoint, files
from immiscible_worker.state import TrainState

# Crash states, those of one prefix of the operations at most, damaged checkpoints.
SCALES = {"short": (2_000, 40, 200), "quick": (15_000, 200, 600), "long": (150_000, 400, 2_500)}
# Within so many crash states or damaged checkpoints a planted fault must be found.
CONTROL_LIMIT = 30_000


_load_newest, _read_verified, _to_state = checkpoint.load_newest, checkpoint.read_verified, checkpoint._to_state  # pyright: ignore[reportPrivateUsage]


def _read_trusting(folder: Path) -> Any:
    """A loader that takes whatever is under the name."""
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=checkpoint.Manifest)
    return manifest, {name: (folder / name).read_bytes() for name in manifest.files}


def _to_state_trusting(manifest: Any, contents: Any) -> TrainState:
    with planted((checkpoint, "state_sha256", lambda _: manifest.state_sha256)):
        return _to_state(manifest, contents)


def _read_unsealed(folder: Path) -> Any:
    with planted((checkpoint, "seal", lambda _: ANYTHING)):
        return _read_verified(folder)


def _load_unsynced(*arguments: Any) -> Any:
    with planted((checkpoint, "sync_folder", lambda _: None)):
        return _load_newest(*arguments)


def _retain_first(temporary: Path, target: Path) -> None:
    for folder in sorted(target.parent.glob("step-*")):
        files.remove_tree(folder)
    files.replace_folder(temporary, target)


def _retain_by_name(root: Path, _written: Path, total_limit: int, _warn: object) -> None:
    for folder in sorted(root.glob("step-*"))[:-total_limit]:
        files.remove_tree(folder)


def _sweep_all(folder: Path, _is_left: object) -> None:
    for path in folder.glob(".tmp-*") if folder.is_dir() else []:
        files.shutil.rmtree(path)


def is_folder(path: str) -> bool:
    return "." not in path.rsplit("/", 1)[-1].removeprefix(".tmp-") or path == "."


TRUSTING = ((checkpoint, "read_verified", _read_trusting), (checkpoint, "_to_state", _to_state_trusting))
# Faults of the writer or loader that the enumeration must find.
CRASH_CONTROLS: dict[str, tuple[Drops, tuple[tuple[Any, str, Any], ...]]] = {
    "nothing is synced": (lambda operation: operation.kind == "fsync", ()),
    "no file is synced": (lambda operation: operation.kind == "fsync" and not is_folder(operation.path), ()),
    "no folder is synced": (lambda operation: operation.kind == "fsync" and is_folder(operation.path), ()),
    "the run folder is not synced": (lambda operation: operation.kind == "fsync" and operation.path == ".", ()),
    "nothing is synced, nothing is verified": (lambda operation: operation.kind == "fsync", TRUSTING),
    "retention before the rename": (lambda _: False, ((checkpoint, "replace_folder", _retain_first),)),
    "what was loaded is not synced": (lambda _: False, ((checkpoint, "load_newest", _load_unsynced),)),
    "what was moved aside is swept": (lambda _: False, ((checkpoint, "sweep_temporary", _sweep_all),)),
}
# Faults that the damaged checkpoints must find.
ROT_CONTROLS: dict[str, tuple[tuple[Any, str, Any], ...]] = {
    "the newest name is trusted": TRUSTING,
    "the manifest is not sealed": ((checkpoint, "read_verified", _read_unsealed),),
    "retention counts names": ((checkpoint, "_retain", _retain_by_name),),
}


def run_controls(folder: Path, random: Random) -> list[dict[str, Any]]:
    """Whether each planted fault was found."""
    controls: list[dict[str, Any]] = []
    for number, (name, (drops, faults)) in enumerate(CRASH_CONTROLS.items()):
        findings = Findings()
        with planted(*faults):
            enumerate_states(folder / f"control-{number}", CONTROL_LIMIT, random, findings, per_prefix=8, drops=drops)
        controls.append({"name": name, "isCaught": bool(findings.violations)})
    for name, faults in ROT_CONTROLS.items():
        findings = Findings()
        with planted(*faults):
            for _ in range(CONTROL_LIMIT // 50):
                if not findings.violations:
                    check_rot(folder / "rot", 50, random, findings)
        controls.append({"name": name, "isCaught": bool(findings.violations)})
    findings = Findings()
    with planted((checkpoint, "shutil", SimpleNamespace(rmtree=lambda *_, **__: None))):
        check_errnos(folder / "errno", findings)
    controls.append({"name": "a failing save cleans nothing up", "isCaught": bool(findings.violations)})
    return controls


def write_a_few(root: Path) -> None:
    """What a worker that keeps one checkpoint does: for those who watch its system calls."""
    for step in (1, 2, 3):
        save(root, make_state(step, 0), 1)


def record_a_few(root: Path) -> list[dict[str, str]]:
    """The same, as the recorder has it."""
    write_image(root, {})
    with recording(Recorder(root)) as recorder:
        write_a_few(root)
    return [
        {"kind": operation.kind, "path": operation.path, **({"target": operation.target} if operation.target else {})}
        for operation in recorder.operations
    ]


def main(scale: str, seed: int, folder: Path) -> None:
    """Prints what checkpoints.ts reads."""
    torch.set_num_threads(1)
    num_states, per_prefix, num_rots = SCALES[scale]
    findings = Findings()
    random = Random(seed)
    count = enumerate_states(folder / "states", num_states, random, findings, per_prefix)
    findings.faults["crash states"] = count
    check_rot(folder / "rot", num_rots, random, findings)
    check_errnos(folder / "errno", findings)
    check_unreadable(folder / "unreadable", findings)
    outcome = {
        "violations": findings.violations[:50],
        "faults": findings.faults,
        "controls": run_controls(folder, random),
        "recorded": record_a_few(folder / "recorded"),
    }
    print(json.dumps(outcome))


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write_a_few(Path(sys.argv[2]))
    else:
        main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
