"""Hostile forms of a good message: of its bytes, and of what it says."""

from __future__ import annotations

from random import Random
from typing import Any

_MOST = b"\xff\xff\xff\xff"
# What parsers have fallen for: msgpack's longest lengths of each kind, text that is none, numbers that are none.
_PIECES = [
    *(bytes([code]) + _MOST for code in (0xC6, 0xC9, 0xDB, 0xDD, 0xDF)),
    b"\xdd\x01\xff\xff\xff" * 3,
    b"\xdc\xff\xff",
    b"\xde\xff\xff",
    b"\xc1",
    b"\xc7\xff\x05",
    b"\xd6\xff" + _MOST,
    b"\xcf" + _MOST * 2,
    b"\xd3\x80" + bytes(7),
    b"\xcb\x7f\xf8" + bytes(6),
    b"\xff\xfe\xfd",
    b"\xed\xa0\x80",
    b"\x00",
    b'"\\ud800"',
    b"1e999",
    b"-1e-999999999",
    b"NaN",
    b"9" * 400,
    b"{}",
    b'{"__proto__":1}',
    b'"0x1p99999"',
    b"18446744073709551616",
]
_NESTS = [b"\x91", b"\x81\xa1a", b"[", b'{"a":']


def flip_one(data: bytes, random: Random) -> bytes:
    """With one bit flipped."""
    if not data:
        return b"\0"
    changed = bytearray(data)
    changed[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(changed)


def mutate(data: bytes, random: Random) -> bytes:
    """Bytes changed in one to three places."""
    changed = bytearray(data)
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        at = random.randrange(len(changed) + 1)
        to = min(len(changed), at + 1 + int(random.expovariate(0.2)))
        kind = random.randrange(10)
        if kind == 0 and changed:
            changed[at % len(changed)] ^= 1 << random.randrange(8)
        elif kind == 1 and changed:
            changed[at % len(changed)] = random.randrange(256)
        elif kind == 2:
            del changed[at:to]
        elif kind == 3:
            del changed[at:]
        elif kind == 4:
            changed[at:at] = random.randbytes(to - at + 1)
        elif kind == 5:
            changed[at:at] = changed[at:to] * random.choice([1, 2, 50])
        elif kind == 6:
            other = random.randrange(len(changed) + 1)
            changed[at:to] = changed[other : other + to - at]
        elif kind == 7:
            piece = random.choice(_PIECES)
            changed[at : at + random.choice([0, len(piece)])] = piece
        elif kind == 8:
            changed[at:to] = random.choice([b"\0", b"\xff"]) * (to - at)
        elif random.random() < 0.1:
            changed[at:at] = random.choice(_NESTS) * random.choice([10, 600, 1100, 20_000])
    return bytes(changed)


def mutate_value(value: Any, random: Random) -> Any:
    """The same tree with one thing in it replaced, left out, renamed or repeated."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        changed = dict(value)
        key = random.choice(list(changed))
        kind = random.random()
        if kind < 0.1:
            del changed[key]
        elif kind < 0.15:
            changed[random.choice(["__proto__", "", "x" * 300, "kind", "\x00"])] = changed.pop(key)
        else:
            changed[key] = mutate_value(changed[key], random)
        return changed
    if isinstance(value, list) and value and random.random() < 0.8:
        items = list(value)
        at = random.randrange(len(items))
        kind = random.random()
        if kind < 0.1:
            del items[at]
        elif kind < 0.2:
            items += [items[at]] * random.choice([1, 20, 20_000 if random.random() < 0.02 else 100])
        else:
            items[at] = mutate_value(items[at], random)
        return items
    return _odd_value(value, random)


def _odd_value(value: Any, random: Random) -> Any:
    """Something else, of the same kind half of the time."""
    if random.random() < 0.5 and isinstance(value, int | float | str):
        if isinstance(value, str):
            return random.choice([value[:-1], value + "\0", value.upper(), value * 100, "../" * 5 + value, "é" + value])
        return random.choice([-value, value + 1, value - 1, value * 2, value + 0.5, 2**31, 2**32, 2**63 - 1, -(2**63)])
    odd: list[Any] = [
        None, True, 0, -1, 2**32 - 1, 2**53 + 1, 1e308, 5e-324, "", "x" * 1000, [], {}, [[[]]], {"a": {"b": []}},
        "0x1p99999", "nan", "F8_E4M3", "I4", "F4", "C64", "U64", "BOOL", "E8M0", [2**31, 2**31], [0] * 50,
    ]  # fmt: skip
    return random.choice(odd)
