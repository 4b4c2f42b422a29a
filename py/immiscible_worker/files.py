"""Files that are either whole or absent after a crash: write, flush, fsync, rename, fsync the folder."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

TEMPORARY_PREFIX = ".tmp-"
_ASIDE_PREFIX = f"{TEMPORARY_PREFIX}aside-"


def write_durably(path: Path, data: bytes) -> None:
    """Writes a file and waits until it is on the disk. Raises OSError."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_durably(path: Path, data: bytes) -> None:
    """Writes a file under a temporary name beside `path` and renames it: readers see the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{path.name}")
    try:
        write_durably(temporary, data)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on the disk."""
    if os.name == "nt":
        return  # Windows opens no folders, and orders renames by itself
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Waits until every file and folder below `folder` is on the disk."""
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb+") as file:
                os.fsync(file.fileno())
    sync_folder(folder)


def replace_folder(temporary: Path, target: Path) -> None:
    """Renames a complete folder into place. What was there is moved aside first and removed last. Raises OSError."""
    aside = target.with_name(f"{_ASIDE_PREFIX}{target.name}")
    remove_tree(aside)
    try:
        temporary.rename(target)
    except OSError as error:
        # Where `temporary` is gone, a successor swept it, and what is there is the successor's: it must not be moved.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        _rename_over(temporary, target, aside)
    sync_folder(target.parent)
    # It is in nobody's way, and `sweep_temporary` will find it.
    shutil.rmtree(aside, ignore_errors=True)


def _rename_over(temporary: Path, target: Path, aside: Path) -> None:
    target.rename(aside)
    try:
        temporary.rename(target)
    except OSError:
        _move_back(aside, target)
        raise


def _move_back(aside: Path, target: Path) -> None:
    with contextlib.suppress(OSError):
        aside.rename(target)


def remove_tree(folder: Path) -> None:
    """Removes a folder if it is there. Raises OSError where it is there and stays."""
    if folder.exists():
        shutil.rmtree(folder)


def sweep_temporary(folder: Path, is_left: Callable[[str], bool] = lambda _: True) -> None:
    """Removes what earlier processes left half-written. Call it only where no other process is writing.

    What was moved aside for a successor that never came is moved back. is_left: whether a name is an earlier process's.
    """
    if not folder.is_dir():
        return
    for path in [path for path in folder.glob(f"{TEMPORARY_PREFIX}*") if is_left(path.name)]:
        target = path.with_name(path.name.removeprefix(_ASIDE_PREFIX))
        if target != path and not target.exists():
            _move_back(path, target)
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
