"""Hostile bytes against every decoder of the worker: `hostile_python.py SCALE SEED FOLDER` prints one JSON line.

Each message is refused by a typed error, or it says what a message may say; memory and CPU time are bounded, and a good
message is decoded afterwards. hostile-python.ts starts it.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import sys
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
import torch
from hostile_messages import Decoder, make_decoders
from planting import ANYTHING, planted

from immiscible_worker import checkpoint, codec, record

MESSAGES = {"short": 20_000, "quick": 120_000, "long": 2_400_000}
# Of all messages, in percent: more than a million frames of each kind in the long form. Those of a folder are slower.
SHARES = {"batch": 42, "command": 42, "state": 8, "manifest": 4, "record": 2, "connection": 2}
# Beyond what this process has when an attack begins.
MEMORY_LIMIT = 64 << 20
# Among so many messages of all decoders a planted fault must be found.
CONTROL_MESSAGES = 60_000
# Of one message. The slowest good one takes some milliseconds.
CPU_SECONDS = 2.0


class TooSlowError(BaseException):
    """A message took longer than CPU_SECONDS."""


@dataclass
class Findings:
    """most: with so many violations it ends."""

    most: int = 20
    violations: list[str] = field(default_factory=list[str])
    faults: Counter[str] = field(default_factory=Counter[str])


def attack(name: str, decoder: Decoder, count: int, seed: int, findings: Findings) -> None:
    """`count` messages, each of a seed of its own, so that one can be sent again."""
    for number in range(count):
        try:
            verdict = attack_once(decoder, Random(f"{seed}/{name}/{number}"))
        except decoder.errors:
            verdict = "refused"
        except TooSlowError:
            verdict = f"took more than {CPU_SECONDS:g} s"
        except Exception as error:
            verdict = f"{type(error).__name__}: {str(error)[:200]}"
        findings.faults[f"{name} messages"] += 1
        if verdict not in ("refused", "accepted"):
            findings.violations.append(f"{name} message {number} of seed {seed}: {verdict}")
        elif verdict == "accepted":
            findings.faults["changed, and still a message"] += 1
        if number % 1000 == 999 and not decoder.is_good():
            findings.violations.append(f"{name} message {number} of seed {seed}: a good one is no longer decoded")
        if len(findings.violations) >= findings.most:
            return


def attack_once(decoder: Decoder, random: Random) -> str:
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        return decoder.attack(random)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def too_slow(*_: object) -> None:
    raise TooSlowError


@contextlib.contextmanager
def limited_memory() -> Generator[None]:
    """Within it this process gets MEMORY_LIMIT more than it has: what asks for more gets a MemoryError, which is no
    answer of a decoder's. Where the system does not enforce that, only the peak is looked at.
    """
    size = Path("/proc/self/statm")
    if not size.exists():
        yield
        return
    limits = resource.getrlimit(resource.RLIMIT_AS)
    now = int(size.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_LIMIT, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def peak_bytes() -> int:
    """Resident memory at its peak, since the start."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def attack_all(decoders: dict[str, Decoder], total: int, seed: int, findings: Findings) -> None:
    """Every decoder in its share, in bounded memory."""
    for name in decoders:
        before = peak_bytes()
        with limited_memory():
            attack(name, decoders[name], total * SHARES[name] // 100, seed, findings)
        grown = peak_bytes() - before
        findings.faults["MiB of memory at most"] = max(
            findings.faults["MiB of memory at most"], -(-max(0, grown) >> 20)
        )
        if grown > MEMORY_LIMIT:
            findings.violations.append(f"{name}: {grown >> 20} MiB more, expected at most {MEMORY_LIMIT >> 20}")


def greedy_decoder(data: bytes) -> Any:
    """As a decoder would that believes a length: it makes room for an array before it is there."""
    at = data.find(0xDD)
    if at >= 0:
        bytearray(min(300 << 20, int.from_bytes(data[at + 1 : at + 5], "big"))).count(1)
    return honest_command.decode(data)


honest_command = codec._command_decoder  # pyright: ignore[reportPrivateUsage]
CONTROLS: dict[str, tuple[str, tuple[tuple[Any, str, Any], ...]]] = {
    "a decoder without checksums": ("batch", ((codec, "zlib", SimpleNamespace(crc32=lambda _: ANYTHING)),)),
    "a decoder that compares no lengths": ("batch", ((codec, "_check_frame", lambda *_: None),)),
    "a decoder that expects decoding errors only": ("command", ((codec, "MALFORMED", (msgspec.DecodeError,)),)),
    "a decoder that believes lengths": (
        "command",
        ((codec, "_command_decoder", SimpleNamespace(decode=greedy_decoder)),),
    ),
    "a manifest without its own hash": ("manifest", ((checkpoint, "seal", lambda _: ANYTHING),)),
    "a loader that expects decoding errors only": ("manifest", ((checkpoint, "MALFORMED", (msgspec.DecodeError,)),)),
    "a record that expects decoding errors only": ("record", ((record, "MALFORMED", (msgspec.DecodeError,)),)),
}


# Its message takes many seconds.
SLOW_CONTROL = ("a decoder of any number of dimensions", ("batch", ((codec, "_MAX_DIMENSIONS", 1 << 62),)))


def main(scale: str, seed: int, folder: Path) -> None:
    """Prints what hostile-python.ts reads."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGPROF, too_slow)
    findings = Findings()
    decoders = make_decoders(folder)
    attack_all(decoders, MESSAGES[scale], seed, findings)
    controls: list[dict[str, Any]] = []
    for name, (target, faults) in [*CONTROLS.items(), *([] if scale == "short" else [SLOW_CONTROL])]:
        found = Findings(most=1)
        with planted(*faults):
            attack_all({target: decoders[target]}, CONTROL_MESSAGES, seed, found)
        controls.append({"name": name, "isCaught": bool(found.violations)})
    print(json.dumps({"violations": findings.violations, "faults": findings.faults, "controls": controls}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
