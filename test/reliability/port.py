"""An orchestrator that sends garbage: the worker's channel answers each with a typed error. Prints a JSON line."""

from __future__ import annotations

import contextlib
import json
import random
import resource
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import zmq

from immiscible_worker import channel as channel_module
from immiscible_worker.channel import Channel, Environment
from immiscible_worker.codec import encode_batch, encode_message
from immiscible_worker.errors import ProtocolError, WorkerError
from immiscible_worker.protocol import Reject, Stop

RUN_ID = "ab" * 16
Frames = list[bytes]


def good_batch(step: int = 0) -> Frames:
    """A small batch that holds in itself."""
    return encode_batch(RUN_ID, 0, step, 0, [("images", np.zeros((2, 1, 2, 2), np.uint8))])


def mutated(draw: random.Random, frames: Frames) -> Frames:
    """One byte of one frame is another."""
    changed = [bytearray(frame) for frame in frames]
    frame = draw.choice([frame for frame in changed if frame])
    frame[draw.randrange(len(frame))] ^= 1 << draw.randrange(8)
    return [bytes(frame) for frame in changed]


def resealed(draw: random.Random) -> Frames:
    """A prefix that says something wrong, with checksums that hold."""
    prefix, *rest = good_batch()
    changed = bytearray(prefix[:60])
    at = draw.choice([4, 6, 8, 24, 28, 36, 40, 44, 52, 56])
    # A batch of another generation is no error, see decode_batch.
    at = 8 if at == 24 else at
    struct.pack_into("<I", changed, at, draw.randrange(1, 2**32))
    return [bytes(changed) + struct.pack("<I", zlib.crc32(changed)), *rest]


def nested(levels: int) -> bytes:
    """Arrays within arrays."""
    return b"\x91" * levels + b"\xc0"


LONG = [b"\xdd", b"\xdf", b"\xdb"]

# What comes on which socket. All of it must end in a ProtocolError.
ATTACKS: dict[str, tuple[str, Callable[[random.Random], Frames]]] = {
    "random command": ("control", lambda draw: [b"\xc1" + draw.randbytes(draw.randrange(200))]),
    "empty command": ("control", lambda _: [b""]),
    "command of two frames": ("control", lambda _: [encode_message(Stop()), encode_message(Stop())]),
    "command of 20,000 frames": ("control", lambda _: [b"x"] * 20_000),
    "command that claims 2^32 entries": (
        "control",
        lambda draw: [draw.choice([b"\xdd", b"\xdf", b"\xdb"]) + b"\xff" * 4],
    ),
    "command of 100,000 levels": ("control", lambda _: [nested(100_000)]),
    "unknown command": ("control", lambda _: [msgspec.msgpack.encode({"kind": "exec", "code": "1"})]),
    "event as a command": ("control", lambda _: [msgspec.msgpack.encode({"kind": "attach", "token": ""})]),
    "command with a key too many": ("control", lambda _: [msgspec.msgpack.encode({"kind": "stop", "now": True})]),
    "batch of one frame": ("data", lambda draw: [draw.randbytes(64)]),
    "batch of empty frames": ("data", lambda _: [b"", b"", b""]),
    "batch of 20,000 frames": ("data", lambda _: [*good_batch()[:2], *[b"x"] * 20_000]),
    "random batch": ("data", lambda draw: [draw.randbytes(64), draw.randbytes(100), draw.randbytes(1000)]),
    "mutated batch": ("data", lambda draw: mutated(draw, good_batch())),
    "resealed prefix": ("data", resealed),
    "batch without a tensor": ("data", lambda _: good_batch()[:-1]),
    "batch with a tensor twice": ("data", lambda _: [*good_batch(), good_batch()[-1]]),
}


def attack(name: str, draw: random.Random, folder: str, number: int, flood: int) -> str | None:
    """What is wrong with how the channel took it, or None."""
    where, make = ATTACKS[name]
    with zmq.Context() as context:
        routers = {key: context.socket(zmq.ROUTER) for key in ("control", "data")}
        for key, router in routers.items():
            router.setsockopt(zmq.LINGER, 0)
            # A flood waits until it is taken: the memory that grows is then the channel's, not that of this side.
            router.setsockopt(zmq.SNDHWM, 16)
            router.setsockopt(zmq.ROUTER_MANDATORY, 1)
            router.bind(f"ipc://{folder}/{key}{number}")
        environment = Environment(
            control=f"ipc://{folder}/control{number}",
            data=f"ipc://{folder}/data{number}",
            token="",
            run_id=RUN_ID,
            generation=0,
            config_hash="",
            rank=0,
            lease_seconds=60,
        )
        try:
            with Channel(environment, is_child=False) as channel:
                heard = {key: router.recv_multipart()[0] for key, router in routers.items()}
                # A channel whose thread has ended is gone, and the router says so: what it has to say comes below.
                with contextlib.suppress(zmq.ZMQError):
                    for _ in range(flood):
                        routers[where].send_multipart([heard[where], *make(draw)])
                    # On the other socket it may overtake; it must not hide what went wrong.
                    routers["control"].send_multipart([heard["control"], encode_message(Reject(code="x", message=""))])
                try:
                    got = channel.receive(30)
                    if where == "data" and isinstance(got, Reject):
                        got = channel.receive(5)
                except ProtocolError:
                    return None
                except WorkerError as error:
                    return f"{name}: expected a ProtocolError, got {error.code}"
                except BaseException as error:
                    return f"{name}: expected a ProtocolError, got {type(error).__name__}: {str(error)[:200]}"
                return f"{name}: expected a ProtocolError, got {type(got).__name__}"
        finally:
            for router in routers.values():
                router.close()


def main() -> None:
    """argv[1]: {seed, trials, fault}. fault: what the channel does wrong, for a control."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    draw = random.Random(job["seed"])
    if job["fault"] == "untyped":
        channel_module.decode_command = lambda data: {}[data]
    if job["fault"] == "deaf":
        setattr(Channel, "_break_off", lambda self, error: None)  # noqa: B010
    violations: list[str] = []
    numbers: dict[str, int] = dict.fromkeys(ATTACKS, 0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        for number in range(job["trials"]):
            name = list(ATTACKS)[number % len(ATTACKS)]
            is_flood = number % 50 == 49 and "20,000" not in name
            problem = attack(name, draw, folder, number, flood=5000 if is_flood else 1)
            numbers[name] += 1
            if problem:
                violations.append(f"trial {number}, {problem}")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    print(json.dumps({"violations": violations[:20], "numbers": numbers, "rssMiB": grown}))


main()
