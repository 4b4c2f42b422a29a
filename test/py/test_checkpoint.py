"""Checkpoints are whole or skipped, old ones go only when enough verified ones are there, and all state is in them."""

from __future__ import annotations

import errno
import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch
from training import make_origin, make_trainer, train, write_checkpoint

from immiscible_worker import checkpoint, files
from immiscible_worker.checkpoint import FileRecord, load_newest, read_verified, seal
from immiscible_worker.errors import CheckpointError, ConfigError, SupersededError
from immiscible_worker.state import TrainState, state_sha256
from immiscible_worker.trainer import Trainer
from orchestrator import CONFIG_HASH, RUN_ID


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    """Trained for a moment, so that every part of the state is there. Tests do not change it."""
    return train(make_trainer(), 2)


def at_step(trainer: Trainer, step: int) -> TrainState:
    return replace(trainer.state(), step=step)


def write_at(root: Path, trainer: Trainer, *steps: int, total_limit: int = 9) -> list[str]:
    """Checkpoints of the same tensors under several steps; answers the warnings."""
    warnings: list[str] = []
    for step in steps:
        checkpoint.save(root, at_step(trainer, step), make_origin(), {}, None, total_limit, warnings.append)
    return warnings


def steps_in(root: Path) -> list[int]:
    return sorted(int(folder.name.removeprefix("step-")) for folder in root.iterdir())


def load_step(root: Path, warnings: list[str] | None = None) -> int | None:
    loaded = load_newest(root, RUN_ID, CONFIG_HASH, (warnings if warnings is not None else []).append)
    return loaded[1].step if loaded else None


def test_a_checkpoint_holds_the_whole_state(tmp_path: Path, trainer: Trainer) -> None:
    written = write_checkpoint(tmp_path, trainer)
    loaded = load_newest(tmp_path, RUN_ID, CONFIG_HASH, pytest.fail)
    assert loaded is not None
    assert loaded[0].manifest.state_sha256 == written.manifest.state_sha256 == state_sha256(trainer.state())
    fresh = make_trainer()
    fresh.load(loaded[1])
    assert state_sha256(fresh.state()) == written.manifest.state_sha256
    assert fresh.step == 2


def test_nothing_but_the_finished_folder_is_left(tmp_path: Path, trainer: Trainer) -> None:
    folder = write_checkpoint(tmp_path, trainer).folder
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000000002"]
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "network.safetensors",
        "ema.safetensors",
        "optimizer.safetensors",
        "scalars.json",
        "manifest.json",
    }


@pytest.mark.parametrize(("latest", "is_written"), [(3, True), (4, False), (None, True)])
def test_only_the_latest_generation_commits(
    tmp_path: Path, trainer: Trainer, latest: int | None, is_written: bool
) -> None:
    root = tmp_path / "checkpoints"
    if latest is not None:
        (tmp_path / "generation.json").write_text(f'{{ "next": {latest + 1} }}')
    origin = make_origin(generation=3)
    if is_written:
        checkpoint.save(root, trainer.state(), origin, {}, None, 1, pytest.fail)
    else:
        with pytest.raises(SupersededError, match="generation 3 of the run and generation 4 has begun"):
            checkpoint.save(root, trainer.state(), origin, {}, None, 1, pytest.fail)
    assert [path.name for path in root.iterdir()] == (["step-000000000002"] if is_written else [])


def test_the_digest_sees_every_part(trainer: Trainer) -> None:
    state = trainer.state()
    digest = state_sha256(state)
    for part in ("network", "ema", "optimizer"):
        tensors = getattr(state, part)
        for name in ("conv_in.bias", "conv_in.bias.exp_avg", "conv_in.bias.exp_avg_sq", "conv_in.bias.step"):
            if name in tensors:
                changed = {**tensors, name: tensors[name] + 1}
                assert state_sha256(replace(state, **{part: changed})) != digest, f"{part} {name}"
    assert state_sha256(replace(state, ema_updates=state.ema_updates + 1)) != digest
    assert state_sha256(replace(state, ema={})) != digest
    assert state_sha256(replace(state, network=dict(reversed(list(state.network.items()))))) == digest


def test_a_state_restored_without_its_ema_has_another_digest(trainer: Trainer) -> None:
    """The control: were the EMA left out of a checkpoint, comparing digests would show it."""
    fresh = make_trainer()
    state = trainer.state()
    fresh.load(replace(state, ema=dict(state.network)))
    assert state_sha256(fresh.state()) != state_sha256(state)


@pytest.mark.parametrize("name", ["network.safetensors", "ema.safetensors", "optimizer.safetensors", "scalars.json"])
@pytest.mark.parametrize("damage", ["missing", "short", "changed", "zeros"])
def test_a_damaged_file_is_named_and_the_checkpoint_before_it_is_loaded(
    tmp_path: Path, trainer: Trainer, name: str, damage: str
) -> None:
    write_at(tmp_path, trainer, 5, 10)
    path = tmp_path / "step-000000000010" / name
    data = path.read_bytes()
    path.unlink()
    if damage != "missing":
        middle = len(data) // 2
        changed = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        path.write_bytes({"short": data[:-1], "changed": changed, "zeros": bytes(len(data))}[damage])
    warnings: list[str] = []
    assert load_step(tmp_path, warnings) == 5
    assert len(warnings) == 1
    assert "step-000000000010" in warnings[0]
    assert name in warnings[0]


@pytest.mark.parametrize("manifest", [None, b"", b"{}", b'{"format": "immiscible-checkpoint/3"}'])
def test_a_folder_without_a_good_manifest_is_skipped(tmp_path: Path, trainer: Trainer, manifest: bytes | None) -> None:
    write_at(tmp_path, trainer, 5, 10)
    path = tmp_path / "step-000000000010" / "manifest.json"
    path.unlink()
    if manifest is not None:
        path.write_bytes(manifest)
    warnings: list[str] = []
    assert load_step(tmp_path, warnings) == 5
    assert "manifest.json" in warnings[0]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"runId": "0', b'"runId": "1'),  # would be another run's, which ends the worker
        (b'"parent": null', b'"parent": "x" '),
        (b'"platform": "', b'"platform": "\xff'),  # no UTF-8
        (b"  ", b" "),
        (b'"parent"', b'"parent": ' + b"[" * 100_000),
    ],
)
def test_a_manifest_that_changed_is_skipped(tmp_path: Path, trainer: Trainer, before: bytes, after: bytes) -> None:
    write_at(tmp_path, trainer, 5, 10)
    path = tmp_path / "step-000000000010" / "manifest.json"
    assert before in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(before, after, 1))
    warnings: list[str] = []
    assert load_step(tmp_path, warnings) == 5
    assert "step-000000000010 is skipped: manifest.json: " in warnings[0]


@pytest.mark.parametrize("name", ["/dev/zero", "../step-000000000005/scalars.json", "manifest.json"])
def test_a_manifest_names_no_other_files(tmp_path: Path, trainer: Trainer, name: str) -> None:
    write_at(tmp_path, trainer, 5)
    path = tmp_path / "step-000000000005" / "manifest.json"
    manifest = read_verified(path.parent)[0]
    files = {**manifest.files, name: FileRecord("0" * 64, 0)}
    path.write_bytes(seal(msgspec.structs.replace(manifest, files=files)))
    with pytest.raises(CheckpointError, match=r"manifest\.json: expected files of .*, got"):
        read_verified(path.parent)


@pytest.mark.parametrize("value", ["0x1p99999", "nonsense", ""])
def test_a_number_that_is_none_is_skipped(tmp_path: Path, trainer: Trainer, value: str) -> None:
    """As a checkpoint would have it whose hashes all hold: of a version with a fault."""
    write_at(tmp_path, trainer, 5)
    folder = tmp_path / "step-000000000005"
    manifest = read_verified(folder)[0]
    data = msgspec.json.encode(checkpoint.Scalars(5, 1, {}, {"scale": value}))
    (folder / "scalars.json").write_bytes(data)
    files = {**manifest.files, "scalars.json": FileRecord(hashlib.sha256(data).hexdigest(), len(data))}
    (folder / "manifest.json").write_bytes(seal(msgspec.structs.replace(manifest, files=files)))
    assert read_verified(folder)[0].step == 5
    warnings: list[str] = []
    assert load_step(tmp_path, warnings) is None
    assert "not readable" in warnings[0]


def test_a_checkpoint_under_another_step_is_skipped(tmp_path: Path, trainer: Trainer) -> None:
    write_at(tmp_path, trainer, 5)
    shutil.copytree(tmp_path / "step-000000000005", tmp_path / "step-000000000099")
    assert load_step(tmp_path) == 5


def test_tensors_that_are_not_the_hashed_state_are_skipped(tmp_path: Path, trainer: Trainer) -> None:
    write_at(tmp_path, trainer, 5)
    path = tmp_path / "step-000000000005" / "manifest.json"
    manifest = read_verified(path.parent)[0]
    path.write_bytes(seal(msgspec.structs.replace(manifest, state_sha256="0" * 64)))
    warnings: list[str] = []
    assert load_step(tmp_path, warnings) is None
    assert "not the state" in warnings[0]


@pytest.mark.parametrize("died_before", ["write_durably", "seal", "replace_folder"])
def test_death_at_any_point_before_the_rename_leaves_the_previous_one(
    tmp_path: Path, trainer: Trainer, died_before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_at(tmp_path, trainer, 5)

    def die(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, died_before, die)
        # A process that dies cleans nothing up.
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(SystemExit):
            write_at(tmp_path, trainer, 10)
    assert any(path.name.startswith(".tmp-") for path in tmp_path.iterdir())
    assert load_step(tmp_path) == 5
    assert steps_in(tmp_path) == [5], "what was half-written is swept"
    write_at(tmp_path, trainer, 10)
    assert load_step(tmp_path) == 10


def test_a_worker_that_wakes_leaves_alone_what_its_successor_writes(tmp_path: Path, trainer: Trainer) -> None:
    write_at(tmp_path, trainer, 5)
    for name in (".tmp-1-10", ".tmp-2-10", ".tmp-3-10"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "network.safetensors").touch()
    assert load_newest(tmp_path, RUN_ID, CONFIG_HASH, pytest.fail, 2) is not None
    assert sorted(path.name for path in tmp_path.glob(".tmp-*")) == [".tmp-3-10"]
    assert load_newest(tmp_path, RUN_ID, CONFIG_HASH, pytest.fail, 3) is not None
    assert list(tmp_path.glob(".tmp-*")) == []


def test_a_worker_whose_folder_was_swept_never_moves_what_its_successor_wrote(
    tmp_path: Path, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_at(tmp_path, trainer, 5)
    target = tmp_path / "step-000000000005"
    monkeypatch.setattr(files, "_rename_over", lambda *_: pytest.fail("it was moved, if only for a moment"))
    with pytest.raises(FileNotFoundError):
        files.replace_folder(tmp_path / ".tmp-0-5", target)
    assert load_step(tmp_path) == 5


def test_death_before_the_old_ones_are_removed_leaves_both(
    tmp_path: Path, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_at(tmp_path, trainer, 5)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_retain", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            write_at(tmp_path, trainer, 10, total_limit=1)
    assert steps_in(tmp_path) == [5, 10]
    assert load_step(tmp_path) == 10


def test_the_newest_verified_ones_are_kept(tmp_path: Path, trainer: Trainer) -> None:
    write_at(tmp_path, trainer, 5, 10, 15, 20, total_limit=2)
    assert steps_in(tmp_path) == [15, 20]


def test_a_damaged_one_does_not_count_as_kept(tmp_path: Path, trainer: Trainer) -> None:
    write_at(tmp_path, trainer, 5, 10)
    (tmp_path / "step-000000000010" / "ema.safetensors").write_bytes(b"")
    warnings = write_at(tmp_path, trainer, 15, total_limit=2)
    assert steps_in(tmp_path) == [5, 10, 15]
    assert "step-000000000010" in warnings[0]
    (tmp_path / "step-000000000015" / "ema.safetensors").write_bytes(b"")
    assert load_step(tmp_path) == 5


def test_the_one_just_written_is_never_removed(tmp_path: Path, trainer: Trainer) -> None:
    write_at(tmp_path, trainer, 50, 60)
    write_at(tmp_path, trainer, 5, total_limit=1)
    assert 5 in steps_in(tmp_path)


def test_a_replayed_checkpoint_is_kept_and_a_torn_one_is_replaced(tmp_path: Path, trainer: Trainer) -> None:
    write_at(tmp_path, trainer, 5)
    folder = tmp_path / "step-000000000005"
    written = folder.stat().st_ino
    assert write_at(tmp_path, trainer, 5) == []
    assert folder.stat().st_ino == written
    (folder / "network.safetensors").write_bytes(b"torn")
    warnings = write_at(tmp_path, trainer, 5)
    assert "network.safetensors" in warnings[0]
    assert read_verified(folder)[0].step == 5
    assert steps_in(tmp_path) == [5]


def test_a_failing_save_keeps_the_previous_one_and_leaves_nothing(
    tmp_path: Path, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_at(tmp_path, trainer, 5)
    calls: list[Path] = []
    honest = checkpoint.write_durably

    def fill_the_disk(path: Path, data: bytes) -> None:
        calls.append(path)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        honest(path, data)

    monkeypatch.setattr(checkpoint, "write_durably", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        write_at(tmp_path, trainer, 10)
    assert steps_in(tmp_path) == [5]
    assert load_step(tmp_path) == 5


@pytest.mark.parametrize(("run_id", "config_hash"), [("f" * 32, CONFIG_HASH), (RUN_ID, "e" * 64)])
def test_a_checkpoint_of_another_run_is_an_error(
    tmp_path: Path, trainer: Trainer, run_id: str, config_hash: str
) -> None:
    write_at(tmp_path, trainer, 5)
    with pytest.raises(ConfigError, match="of another run") as caught:
        load_newest(tmp_path, run_id, config_hash, pytest.fail)
    assert caught.value.code == "CONFIG_MISMATCH"


def test_a_verified_folder_cannot_hide_a_changed_tensor(tmp_path: Path, trainer: Trainer) -> None:
    write_checkpoint(tmp_path, trainer)
    path = tmp_path / "step-000000000002" / "ema.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + torch.tensor([1.0]).numpy().tobytes())
    with pytest.raises(CheckpointError, match=r"ema\.safetensors: its SHA-256"):
        read_verified(path.parent)
