"""Checkpoints: written aside, hashed, synced, renamed; what is there afterwards is whole, or it is skipped."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import safetensors.torch
import torch

from .codec import MALFORMED
from .errors import CheckpointError, ConfigError, SupersededError
from .files import TEMPORARY_PREFIX, remove_tree, replace_folder, sweep_temporary, sync_folder, write_durably
from .protocol import Fingerprint
from .state import TrainState, state_sha256, tensor_parts

Warn = Callable[[str], None]

_MANIFEST = "manifest.json"
_SCALARS = "scalars.json"
_GENERATIONS = "generation.json"
_TENSOR_PARTS = ("network", "ema", "optimizer")
_FILES = {_SCALARS, *(f"{part}.safetensors" for part in (*_TENSOR_PARTS, "target"))}
_FOLDER = re.compile(r"step-(\d{12})")
# Half-written: the generation of its writer, the step.
_TEMPORARY = re.compile(re.escape(TEMPORARY_PREFIX) + r"(\d+)-\d+")


class FileRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file of a checkpoint must be. length: bytes."""

    sha256: str
    length: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """manifest.json: written last, so a folder without it was never finished. parent: the checkpoint trained from.

    sha256: of this manifest's JSON with an empty sha256.
    """

    format: Literal["immiscible-checkpoint/3"]
    step: int
    run_id: str
    config_hash: str
    files: dict[str, FileRecord]
    state_sha256: str
    fingerprint: Fingerprint
    parent: str | None
    sha256: str = ""


class _Generations(msgspec.Struct, frozen=True):
    """The orchestrator's count of workers. next: the generation that the next one gets."""

    next: int


class Scalars(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """scalars.json: the state that is no tensor. Floats are hexadecimal, so that no digit is lost."""

    step: int
    ema_updates: int
    optimizer: dict[str, str]
    scaler: dict[str, str]


@dataclass(frozen=True)
class Origin:
    """Who writes: repeated in every manifest and compared at every load."""

    run_id: str
    config_hash: str
    generation: int
    fingerprint: Fingerprint


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files all verify."""

    folder: Path
    manifest: Manifest


def save(
    root: Path,
    state: TrainState,
    origin: Origin,
    hyperparameters: Mapping[str, float],
    parent: str | None,
    total_limit: int,
    warn: Warn,
) -> Checkpoint:
    """Writes `root/step-<12 digits>` and then removes the oldest verified ones beyond `total_limit`.

    A whole checkpoint of the same state is kept as it is, anything else under that name is replaced. Raises OSError,
    or SupersededError; the previous checkpoints are then as they were.
    """
    root.mkdir(parents=True, exist_ok=True)
    sync_folder(root.parent)
    target = root / f"step-{state.step:012d}"
    digest = state_sha256(state)
    if target.exists():
        try:
            manifest = read_verified(target)[0]
            if manifest.state_sha256 == digest:
                return Checkpoint(target, manifest)
        except CheckpointError as error:
            warn(f"checkpoint {target.name} is replaced: {error}")
    temporary = root / f"{TEMPORARY_PREFIX}{origin.generation}-{state.step}"
    try:
        remove_tree(temporary)
        temporary.mkdir()
        manifest = _write(temporary, state, digest, origin, hyperparameters, parent)
        # Last: a worker that was stopped, and whose successor began, learns it here or finds its folder swept.
        check_generation(root, origin)
        replace_folder(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _retain(root, target, total_limit, warn)
    return Checkpoint(target, manifest)


def check_generation(root: Path, origin: Origin) -> None:
    """Raises SupersededError where the orchestrator has given out a later generation than that of `origin`.

    Raises CheckpointError where what it has given out cannot be read.
    """
    path = root.parent / _GENERATIONS
    try:
        given_out = msgspec.json.decode(path.read_bytes(), type=_Generations)
    except FileNotFoundError:
        return  # whoever writes here has no orchestrator
    except MALFORMED as error:
        raise CheckpointError(f"{path}: expected the run's count of workers: {error}") from error
    if given_out.next - 1 > origin.generation:
        raise SupersededError(origin.generation, given_out.next - 1)


def _write(
    folder: Path,
    state: TrainState,
    digest: str,
    origin: Origin,
    hyperparameters: Mapping[str, float],
    parent: str | None,
) -> Manifest:
    scalars = Scalars(state.step, state.ema_updates, _to_hex(hyperparameters), _to_hex(state.scaler))
    contents = {f"{part}.safetensors": _to_safetensors(named) for part, named in tensor_parts(state).items()}
    contents[_SCALARS] = _to_json(scalars)
    for name, data in contents.items():
        write_durably(folder / name, data)
    manifest = Manifest(
        format="immiscible-checkpoint/3",
        step=state.step,
        run_id=origin.run_id,
        config_hash=origin.config_hash,
        files={name: FileRecord(hashlib.sha256(data).hexdigest(), len(data)) for name, data in contents.items()},
        state_sha256=digest,
        fingerprint=origin.fingerprint,
        parent=parent,
    )
    write_durably(folder / _MANIFEST, seal(manifest))
    sync_folder(folder)
    return manifest


def seal(manifest: Manifest) -> bytes:
    """The content of manifest.json, with its own SHA-256 in it."""
    digest = hashlib.sha256(_to_json(msgspec.structs.replace(manifest, sha256=""))).hexdigest()
    return _to_json(msgspec.structs.replace(manifest, sha256=digest))


def _to_safetensors(tensors: Mapping[str, torch.Tensor]) -> bytes:
    return safetensors.torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def _to_hex(values: Mapping[str, float]) -> dict[str, str]:
    return {name: float(value).hex() for name, value in values.items()}


def _to_json(struct: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(struct), indent=2) + b"\n"


def _retain(root: Path, written: Path, total_limit: int, warn: Warn) -> None:
    """Keeps the newest `total_limit` checkpoints that verify. One that does not is neither counted nor removed."""
    verified: list[Path] = []
    for folder in reversed(_folders(root)):
        try:
            if folder != written:
                read_verified(folder)
            verified.append(folder)
        except CheckpointError as error:
            warn(f"checkpoint {folder.name} is not counted: {error}")
    try:
        # Renamed first, and that on the disk: a folder that is half removed must not look like a damaged checkpoint.
        doomed: list[Path] = []
        for folder in verified[total_limit:]:
            if folder != written:
                doomed.append(folder.rename(root / f"{TEMPORARY_PREFIX}old-{folder.name}"))
        if doomed:
            sync_folder(root)
        for folder in doomed:
            remove_tree(folder)
    except OSError as error:
        warn(f"an old checkpoint could not be removed: {error}")


def load_newest(
    root: Path, run_id: str, config_hash: str, warn: Warn, generation: int | None = None
) -> tuple[Checkpoint, TrainState] | None:
    """The highest step whose manifest, files and state verify; None where there is none. Sweeps half-written ones.

    generation: whose worker asks. What a later one writes is left alone: one that was stopped while it started may wake
    when its successor is saving.
    Raises ConfigError (CONFIG_MISMATCH) where it belongs to another run or config. One that does not verify is skipped
    with a warning that names the file.
    """

    def is_left(name: str) -> bool:
        written = _TEMPORARY.fullmatch(name)
        return generation is None or written is None or int(written[1]) <= generation

    sweep_temporary(root, is_left)
    for folder in reversed(_folders(root)):
        try:
            manifest, contents = read_verified(folder)
            state = _to_state(manifest, contents)
        except CheckpointError as error:
            warn(f"checkpoint {folder.name} is skipped: {error}")
            continue
        for what, expected, got in (
            ("run id", run_id, manifest.run_id),
            ("config hash", config_hash, manifest.config_hash),
        ):
            if expected != got:
                message = f"checkpoint {folder} is of another run: {what}: expected {expected}, got {got}"
                raise ConfigError("CONFIG_MISMATCH", message)
        # A worker may have died between a rename and its way to the disk. What is trained on from here must stay.
        with contextlib.suppress(OSError):
            sync_folder(root)
            sync_folder(root.parent)
        return Checkpoint(folder, manifest), state
    return None


def read_verified(folder: Path) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest and the files that it lists. Raises CheckpointError naming the first file that is not as listed."""
    try:
        data = (folder / _MANIFEST).read_bytes()
        manifest = msgspec.json.decode(data, type=Manifest)
    except (OSError, *MALFORMED) as error:
        raise CheckpointError(f"{_MANIFEST}: {error}") from error
    if data != seal(manifest):
        raise CheckpointError(f"{_MANIFEST}: its SHA-256 is not that of its content")
    if folder.name != f"step-{manifest.step:012d}":
        raise CheckpointError(f"{_MANIFEST}: expected the step of {folder.name}, got {manifest.step}")
    contents: dict[str, bytes] = {}
    for name, record in manifest.files.items():
        if name not in _FILES:
            raise CheckpointError(f"{_MANIFEST}: expected files of {', '.join(sorted(_FILES))}, got {name!r}")
        try:
            length = (folder / name).stat().st_size
            if length != record.length:
                raise CheckpointError(f"{name}: expected {record.length} bytes, got {length}")
            data = (folder / name).read_bytes()
        except OSError as error:
            raise CheckpointError(f"{name}: {error}") from error
        if hashlib.sha256(data).hexdigest() != record.sha256:
            raise CheckpointError(f"{name}: its SHA-256 is not that of the manifest")
        contents[name] = data
    return manifest, contents


def _to_state(manifest: Manifest, contents: Mapping[str, bytes]) -> TrainState:
    """Raises CheckpointError where the files are whole but do not hold the state whose digest the manifest has."""
    try:
        network, ema, optimizer = (safetensors.torch.load(contents[f"{part}.safetensors"]) for part in _TENSOR_PARTS)
        target = safetensors.torch.load(contents["target.safetensors"]) if "target.safetensors" in contents else {}
        scalars = msgspec.json.decode(contents[_SCALARS], type=Scalars)
        scaler = {name: float.fromhex(value) for name, value in scalars.scaler.items()}
    except (KeyError, ValueError, OverflowError, safetensors.SafetensorError, *MALFORMED) as error:
        raise CheckpointError(f"not readable: {error}") from error
    state = TrainState(scalars.step, network, ema, target, optimizer, scaler, scalars.ema_updates)
    if scalars.step != manifest.step or state_sha256(state) != manifest.state_sha256:
        raise CheckpointError("its tensors are not the state whose SHA-256 the manifest has")
    return state


def _folders(root: Path) -> list[Path]:
    """Finished-looking checkpoints, lowest step first."""
    if not root.is_dir():
        return []
    return sorted(folder for folder in root.iterdir() if folder.is_dir() and _FOLDER.fullmatch(folder.name))
