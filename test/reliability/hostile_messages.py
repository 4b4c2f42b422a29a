"""Every decoder of the worker with messages that are hostile to it, and a good one."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import msgspec
import numpy as np
import torch
from histories import CONFIG_HASH, FINGERPRINT, RUN_ID, digest_of, label_of, make_state, save
from mutation import flip_one, mutate, mutate_value

from example import digits, make_config, make_dataset
from immiscible_worker import batches, checkpoint, codec, record
from immiscible_worker.checkpoint import FileRecord, Manifest, Origin
from immiscible_worker.errors import CheckpointError, ConfigError, ProtocolError, UsageError
from immiscible_worker.protocol import PROTOCOL_VERSION, Ping, Reject, Stop
from orchestrator import draw_batch, welcome_of

CONFIG = make_config()
IMAGES = digits()[0]
DATASET = make_dataset(IMAGES)
GENERATION = 2
# Their product takes seconds.
DIMENSIONS = 90_000

# Not the checkpoint module's, which a control may have replaced.
honest_seal = checkpoint.seal


@dataclass
class Decoder:
    """attack: decodes one hostile message; answers what was wrong, "refused" or "accepted". Typed errors may come out.

    is_good: decodes a good message, whatever came before.
    """

    attack: Callable[[Random], str]
    is_good: Callable[[], bool]
    errors: tuple[type[Exception], ...]


def make_frames(step: int = 3) -> list[bytes]:
    return codec.encode_batch(RUN_ID, GENERATION, step, 0, draw_batch(CONFIG, IMAGES, step))


def reseal(frames: Sequence[bytes], header: bytes) -> list[bytes]:
    """As a peer that knows the protocol would: with checksums that hold."""
    prefix = bytearray(frames[0])
    sizes = (len(header), len(frames) - 2, sum(len(frame) for frame in frames[2:]))
    struct.pack_into("<IIQ", prefix, 36, *sizes)
    struct.pack_into("<I", prefix, 52, zlib.crc32(header))
    struct.pack_into("<I", prefix, 60, zlib.crc32(prefix[:60]))
    return [bytes(prefix), header, *frames[2:]]


def decode(frames: Sequence[bytes]) -> codec.StagedBatch | None:
    """All that the worker does with a data message before it trains on it."""
    batch = codec.decode_batch(frames, RUN_ID, GENERATION)
    if batch is None:
        return None
    codec.check_contract(batch, batch.header.step, CONFIG.global_batch_size, DATASET)
    return codec.stage(batch, torch.device("cpu"))


def attack_batch(random: Random) -> str:
    good = make_cached(random.randrange(4))
    kind = random.randrange(8)
    frames = list(good)
    if kind < 3:
        at = random.randrange(len(frames))
        frames[at] = flip_one(frames[at], random) if kind == 0 or not frames[at] else mutate(frames[at], random)
    elif kind == 3:
        frames = reframe(frames, random)
    else:
        return attack_sealed(frames, kind, random)
    if frames == good:
        return "refused"
    staged = decode(frames)
    return "refused" if staged is None else "accepted although it was changed"


def attack_sealed(frames: list[bytes], kind: int, random: Random) -> str:
    """Checksums hold: what is refused is refused for what it says."""
    if kind == 4:
        frames = reseal(frames, mutate(frames[1], random))
    elif kind == 5:
        # Lengths of the prefix's own choosing.
        prefix = bytearray(frames[0])
        struct.pack_into(random.choice(["<I", "<Q"]), prefix, random.choice([32, 36, 40, 44]), random.getrandbits(32))
        struct.pack_into("<I", prefix, 60, zlib.crc32(prefix[:60]))
        frames = [bytes(prefix), *frames[1:]]
    else:
        header = mutate_value(msgspec.msgpack.decode(frames[1]), random)
        at = 2 + random.randrange(len(frames) - 2)
        if random.random() < 0.001:
            header = msgspec.msgpack.decode(frames[1])
            header["tensors"][0]["shape"] = [2**31 - 1] * DIMENSIONS
        elif kind == 7:
            frames[at] = mutate(frames[at], random)
            tensors = header.get("tensors") if isinstance(header, dict) else None
            for spec, frame in zip(tensors if isinstance(tensors, list) else [], frames[2:], strict=False):
                if isinstance(spec, dict):
                    spec.update(crc32=zlib.crc32(frame), byteLength=len(frame))
        frames = reseal(frames, msgspec.msgpack.encode(header))
    return "refused" if decode(frames) is None else "accepted"


def reframe(frames: list[bytes], random: Random) -> list[bytes]:
    """Frames left out, twice, in another order, or very many."""
    at, other = random.randrange(len(frames)), random.randrange(len(frames))
    kind = random.randrange(5)
    if kind == 0:
        del frames[at]
    elif kind == 1:
        frames.insert(other, frames[at])
    elif kind == 2:
        frames[at], frames[other] = frames[other], frames[at]
    elif kind == 3:
        frames += [b""] * random.choice([1, 14, 15, 100, 100_000 if random.random() < 0.01 else 1000])
    else:
        frames = frames[: random.randrange(len(frames))]
    return frames


_frames: dict[int, list[bytes]] = {}


def make_cached(step: int) -> list[bytes]:
    if step not in _frames:
        _frames[step] = make_frames(step)
    return _frames[step]


def is_good_batch() -> bool:
    staged = decode(make_cached(1))
    expected = dict(draw_batch(CONFIG, IMAGES, 1))
    return staged is not None and np.array_equal(staged.noise.numpy(), expected["noise"])


# --- commands, and what lies in files


def make_commands(folder: Path) -> list[bytes]:
    commands = [welcome_of(CONFIG, folder, IMAGES), Reject("CODE", "a message"), Stop(), Ping()]
    return [codec.encode_message(command) for command in commands]


def attack_command(commands: list[bytes], random: Random) -> str:
    data = random.choice(commands)
    if random.random() < 0.3:
        data = msgspec.msgpack.encode(mutate_value(msgspec.msgpack.decode(data), random))
    else:
        data = mutate(data, random)
    codec.decode_command(data)
    return "accepted"


def attack_state(manifest: Manifest, contents: dict[str, bytes], random: Random) -> str:
    """Files whose hashes hold, as those of a checkpoint that somebody made."""
    name = random.choice(list(contents))
    data = contents[name]
    if name.endswith(".json") and random.random() < 0.5:
        changed = msgspec.json.encode(mutate_value(json.loads(data), random))
    elif random.random() < 0.5 and name.endswith(".safetensors"):
        length = int.from_bytes(data[:8], "little")
        header = msgspec.json.encode(mutate_value(json.loads(data[8 : 8 + length]), random))
        changed = len(header).to_bytes(8, "little") + header + data[8 + length :]
    else:
        changed = mutate(data, random)
    state = checkpoint._to_state(manifest, {**contents, name: changed})  # pyright: ignore[reportPrivateUsage]
    return "accepted" if digest_of(state) == manifest.state_sha256 else "accepted although it is another state"


def attack_manifest(folder: Path, good: bytes, manifest: Manifest, random: Random) -> str:
    data = mutate(good, random)
    kind = random.random()
    if kind < 0.3:
        value = mutate_value(json.loads(good), random)
        data = msgspec.json.encode(value)
    elif kind < 0.5:
        # Sealed: it says so itself, and of files that are not there.
        name = random.choice(
            ["/dev/zero", "../../etc/passwd", "scalars.json", "target.safetensors", "a\0b", "x" * 5000]
        )
        files = {**manifest.files, name: FileRecord(hashlib.sha256(b"").hexdigest(), random.choice([0, 1 << 62]))}
        data = honest_seal(msgspec.structs.replace(manifest, files=files))
    (folder / "manifest.json").write_bytes(data)
    checkpoint.read_verified(folder)
    return "accepted" if data == good else "accepted although it was changed"


def attack_record(folder: Path, good: bytes, random: Random) -> str:
    data = mutate(good, random)
    if random.random() < 0.4:
        data = msgspec.json.encode(mutate_value(json.loads(good), random))
    (folder / record.RECORD_FILE).write_bytes(data)
    record.read_record(folder)
    return "accepted"


def attack_connection(path: Path, good: bytes, random: Random) -> str:
    data = mutate(good, random)
    if random.random() < 0.4:
        data = msgspec.json.encode(mutate_value(json.loads(good), random))
    path.write_bytes(data)
    batches._read_connection(path, 1)  # pyright: ignore[reportPrivateUsage]
    return "accepted"


def make_decoders(folder: Path) -> dict[str, Decoder]:
    """Every decoder by name, with good files of its own below folder."""
    folder.mkdir(parents=True, exist_ok=True)
    commands = make_commands(folder)
    state = make_state(5, 1)
    save(folder, state, 1)
    root = folder / "checkpoints"
    saved = root / f"step-{5:012d}"
    manifest, contents = checkpoint.read_verified(saved)
    sealed = (saved / "manifest.json").read_bytes()
    origin = Origin(RUN_ID, CONFIG_HASH, 0, FINGERPRINT)
    recorded = record.write_record(CONFIG, DATASET, "ddim", origin, 5, "5" * 64)
    connection = folder / batches.FILE_NAME
    endpoints = ("ipc://c", "ipc://d", None)
    address = batches.Connection("immiscible-serve/1", PROTOCOL_VERSION, *endpoints, "t", RUN_ID, 0, CONFIG_HASH, 20)
    served = msgspec.json.encode(address)
    connection.touch(0o600)

    def is_good_manifest() -> bool:
        (saved / "manifest.json").write_bytes(sealed)
        loaded = checkpoint.load_newest(root, RUN_ID, CONFIG_HASH, lambda _: None)
        return loaded is not None and label_of(loaded[1]) == label_of(state)

    def is_good_record() -> bool:
        (folder / record.RECORD_FILE).write_bytes(recorded)
        got = record.read_record(folder)
        return got is not None and got.step == 5

    def is_good_connection() -> bool:
        connection.write_bytes(served)
        return batches._read_connection(connection, 1).control == "ipc://c"  # pyright: ignore[reportPrivateUsage]

    return {
        "batch": Decoder(attack_batch, is_good_batch, (ProtocolError,)),
        "command": Decoder(
            lambda random: attack_command(commands, random),
            lambda: codec.decode_command(commands[2]) == Stop(),
            (ProtocolError,),
        ),
        "state": Decoder(lambda random: attack_state(manifest, contents, random), is_good_manifest, (CheckpointError,)),
        "manifest": Decoder(
            lambda random: attack_manifest(saved, sealed, manifest, random),
            is_good_manifest,
            (CheckpointError, ConfigError),
        ),
        "record": Decoder(lambda random: attack_record(folder, recorded, random), is_good_record, (UsageError,)),
        "connection": Decoder(
            lambda random: attack_connection(connection, served, random), is_good_connection, (UsageError,)
        ),
    }
