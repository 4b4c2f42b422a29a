"""A disk that loses what was not synced: records what code does to files, and lists every state that a crash may leave.

The model is the pessimistic one (ALICE, Pillai et al. 2014): a file that was not synced may hold anything of its size,
or nothing; a name that was made, moved or removed may be there or not until its folder is synced.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Literal

Kind = Literal["mkdir", "create", "write", "fsync", "rename", "unlink", "rmdir", "read", "damage"]
# What a folder holds after a crash: path -> content, None for a folder.
Image = dict[str, bytes | None]


@dataclass(frozen=True)
class Operation:
    """What one call did. Paths are relative; target: of a rename; data: of a write, or of damage by nobody's hand."""

    kind: Kind
    path: str
    target: str = ""
    data: bytes = b""


class DiedError(BaseException):
    """The process ends here: nothing after it is carried out, no cleaning up either."""


@dataclass
class Recorder:
    """operations: those below root that were carried out, reads left out.

    before: called with each operation before it is carried out; what it raises happens instead (half of a write is
    carried out then). drops: operations that are silently left out, for controls.
    """

    root: Path
    operations: list[Operation] = field(default_factory=list[Operation])
    before: Callable[[Operation], None] = lambda _: None
    drops: Callable[[Operation], bool] = lambda _: False

    def carry_out(self, operation: Operation, call: Callable[[], Any]) -> Any:
        """The call, with all that is asked of it."""
        if self.drops(operation):
            return None
        self.before(operation)
        answer = call()
        if operation.kind != "read":
            self.operations.append(operation)
        return answer

    def relative(self, path: Any) -> str | None:
        """None: outside."""
        try:
            return Path(path).relative_to(self.root).as_posix()
        except (TypeError, ValueError):
            return None


class _Writing:
    """A file open for writing, whose bytes are recorded."""

    def __init__(self, recorder: Recorder, path: str, file: Any, descriptors: dict[int, str]) -> None:
        self._recorder, self._path, self._file, self._descriptors = recorder, path, file, descriptors

    def write(self, data: bytes) -> int:
        try:
            operation = Operation("write", self._path, data=bytes(data))
            return self._recorder.carry_out(operation, lambda: self._write(data))
        except OSError:
            half = bytes(data[: len(data) // 2])
            self._write(half)
            self._recorder.operations.append(Operation("write", self._path, data=half))
            raise

    def _write(self, data: bytes) -> int:
        count = self._file.write(data)
        self._file.flush()
        return count

    def fileno(self) -> int:
        descriptor = self._file.fileno()
        self._descriptors[descriptor] = self._path
        return descriptor

    def flush(self) -> None:
        self._file.flush()

    def __enter__(self) -> _Writing:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


@contextlib.contextmanager
def recording(recorder: Recorder) -> Generator[Recorder]:
    """Within it every file operation below the recorder's root passes through the recorder."""
    honest: dict[str, Any] = {
        **{f"Path.{name}": getattr(Path, name) for name in ("open", "mkdir", "rename", "replace")},
        **{f"os.{name}": getattr(os, name) for name in ("open", "fsync", "unlink", "rmdir")},
    }
    descriptors: dict[int, str] = {}

    def open_file(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        name = recorder.relative(path)
        call = lambda: honest["Path.open"](path, mode, *arguments, **options)  # noqa: E731
        if name is None:
            return call()
        if "w" not in mode:
            return recorder.carry_out(Operation("read", name), call)
        return _Writing(recorder, name, recorder.carry_out(Operation("create", name), call), descriptors)

    def mkdir(path: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        name = recorder.relative(path)
        if name is None or path.exists():
            return honest["Path.mkdir"](path, mode, parents, exist_ok)
        if parents and not path.parent.exists():
            mkdir(path.parent, parents=True, exist_ok=True)
        return recorder.carry_out(Operation("mkdir", name), lambda: honest["Path.mkdir"](path, mode))

    def move(path: Path, target: Any) -> Any:
        name, other = recorder.relative(path), recorder.relative(target)
        assert name is not None, f"{path} is moved"
        assert other is not None, f"{path} is moved to {target}"
        return recorder.carry_out(Operation("rename", name, other), lambda: honest["Path.replace"](path, target))

    def remove(kind: Kind, path: Any) -> None:
        name = recorder.relative(path)
        call = lambda: honest[f"os.{kind}"](path)  # noqa: E731
        return call() if name is None else recorder.carry_out(Operation(kind, name), call)

    def open_descriptor(path: Any, *arguments: Any, **options: Any) -> int:
        descriptor = honest["os.open"](path, *arguments, **options)
        descriptors[descriptor] = recorder.relative(path) or ""
        return descriptor

    def fsync(descriptor: int) -> None:
        name = descriptors.get(descriptor)
        assert name, f"fsync of {descriptor}, which was not opened here"
        # tmpfs has nothing to wait for, and a disk would only make it slow.
        recorder.carry_out(Operation("fsync", name), lambda: None)

    replacements: list[tuple[Any, str, Any]] = [
        (Path, "open", open_file),
        (Path, "mkdir", mkdir),
        (Path, "rename", move),
        (Path, "replace", move),
        (os, "open", open_descriptor),
        (os, "fsync", fsync),
        (os, "unlink", lambda path, **_: remove("unlink", path)),
        (os, "rmdir", lambda path, **_: remove("rmdir", path)),
        # rmtree by paths, which can be told apart; by descriptors it is the same calls.
        (shutil, "_use_fd_functions", False),
    ]
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in replacements]
    for owner, name, replacement in replacements:
        setattr(owner, name, replacement)
    try:
        yield recorder
    finally:
        for owner, name, original in kept:
            setattr(owner, name, original)


@dataclass(eq=False)
class File:
    """synced: as of the last fsync, None before the first."""

    live: bytes = b""
    synced: bytes | None = None


@dataclass(eq=False)
class Folder:
    """synced: the entries as of the last fsync; pending: the changes since then, each whole or not there."""

    live: dict[str, File | Folder] = field(default_factory=dict[str, "File | Folder"])
    synced: dict[str, File | Folder] = field(default_factory=dict[str, "File | Folder"])
    pending: list[dict[str, File | Folder | None]] = field(default_factory=list[dict[str, "File | Folder | None"]])

    def change(self, entries: dict[str, File | Folder | None]) -> None:
        """None: no longer there."""
        _update(self.live, entries)
        self.pending.append(entries)


def _update(entries: dict[str, File | Folder], change: dict[str, File | Folder | None]) -> None:
    for name, node in change.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


def apply(root: Folder, operation: Operation) -> None:
    """Carries an operation out on the model."""
    parent, name = _find(root, operation.path)
    node = root if operation.path == "." else parent.live.get(name)
    match operation.kind:
        case "mkdir":
            parent.change({name: Folder()})
        case "create" if isinstance(node, File):
            node.live = b""
        case "create":
            parent.change({name: File()})
        case "rename":
            other, target = _find(root, operation.target)
            assert other is parent, f"{operation} between folders"
            parent.change({name: None, target: node})
        case "unlink" | "rmdir":
            parent.change({name: None})
        case "fsync" if isinstance(node, Folder):
            node.synced, node.pending = dict(node.live), []
        case _:
            assert isinstance(node, File), f"{operation}: {node}"
            if operation.kind == "write":
                node.live += operation.data
            elif operation.kind == "damage":
                node.live = node.synced = operation.data
            else:
                node.synced = node.live


def _find(root: Folder, path: str) -> tuple[Folder, str]:
    *folders, name = path.split("/")
    for part in folders:
        child = root.live[part]
        assert isinstance(child, Folder)
        root = child
    return root, name


def live_image(root: Folder) -> Image:
    """What a process sees, and what stays where only the process dies."""
    return _build(root, lambda folder, _: True, lambda file: file.live)


def crash_images(root: Folder, limit: int, random: Random) -> Iterator[Image]:
    """Every state that the disk may be in after the power went; a random `limit` of them where there are more."""
    folders: list[Folder] = []
    files: list[File] = []
    _collect(root, folders, files)
    changes = [(folder, index) for folder in folders for index in range(len(folder.pending))]
    contents = [_contents(file, random) for file in files]
    counts = [2] * len(changes) + [len(some) for some in contents]
    choices: Iterator[tuple[int, ...]]
    if math.prod(counts) <= limit:
        choices = itertools.product(*map(range, counts))
    else:
        choices = (tuple(random.randrange(count) for count in counts) for _ in range(limit))
    for choice in choices:
        kept = {(id(folder), index): value for (folder, index), value in zip(changes, choice, strict=False)}
        chosen = {id(file): some[at] for file, some, at in zip(files, contents, choice[len(changes) :], strict=True)}
        yield _build(root, _keeps(kept), _reads(chosen))


def _keeps(kept: dict[tuple[int, int], int]) -> Callable[[Folder, int], bool]:
    return lambda folder, index: bool(kept[id(folder), index])


def _reads(chosen: dict[int, bytes]) -> Callable[[File], bytes]:
    return lambda file: chosen[id(file)]


def _collect(folder: Folder, folders: list[Folder], files: list[File]) -> None:
    folders.append(folder)
    nodes = [*folder.synced.values(), *(node for change in folder.pending for node in change.values())]
    for node in {id(node): node for node in nodes}.values():
        if isinstance(node, File) and node not in files:
            files.append(node)
        elif isinstance(node, Folder) and node not in folders:
            _collect(node, folders, files)


def _contents(file: File, random: Random) -> list[bytes]:
    """What a file may hold: full, empty, half, zeros, half zeros, one bit flipped, or as it was synced before."""
    live = file.live
    if live == file.synced:
        return [live]
    half = len(live) // 2
    some = [live, b"", live[:half], bytes(len(live)), live[:half] + bytes(len(live) - half)]
    if live:
        flipped = bytearray(live)
        flipped[random.randrange(len(live))] ^= 1 << random.randrange(8)
        some.append(bytes(flipped))
    if file.synced is not None:
        some.append(file.synced)
    return list(dict.fromkeys(some))


def _build(root: Folder, keeps: Callable[[Folder, int], bool], read: Callable[[File], bytes]) -> Image:
    image: Image = {}

    def add(folder: Folder, prefix: str) -> None:
        entries = dict(folder.synced)
        for index, change in enumerate(folder.pending):
            if keeps(folder, index):
                _update(entries, change)
        for name, node in entries.items():
            if isinstance(node, File):
                image[prefix + name] = read(node)
            else:
                image[prefix + name] = None
                add(node, f"{prefix}{name}/")

    add(root, "")
    return image


def read_image(root: Path) -> Image:
    """Of a real folder."""
    return {path.relative_to(root).as_posix(): None if path.is_dir() else path.read_bytes() for path in root.rglob("*")}


def write_image(root: Path, image: Image) -> None:
    """Makes a folder hold this and nothing else. By plain calls: it is done a hundred thousand times."""
    shutil.rmtree(root, ignore_errors=True)
    os.mkdir(root)  # noqa: PTH102
    for name in sorted(image):
        content = image[name]
        if content is None:
            os.mkdir(f"{root}/{name}")  # noqa: PTH102
        else:
            descriptor = os.open(f"{root}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.write(descriptor, content)
            os.close(descriptor)
