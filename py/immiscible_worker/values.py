"""Values to and from TypeScript as JSON text, with what JSON lacks written out. The other half: ts/python/values.ts.

{"$number": "NaN" | "Infinity" | "-Infinity" | "-0" | digits}: a float
{"$integer": digits}: an int beyond 2^53     {"$bytes": base64}
{"$array": base64, "dtype": "float32", "shape": [2, 3]}: little-endian, C order
{"$object": [[key, value], ...]}: an object with a key that begins with "$"
"""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

_SAFE_INTEGER = 2**53 - 1
_DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
# What a typed array of every Node cannot hold, as what can, without a loss.
_WIDENED = {"bool": "uint8", "float16": "float32"}


def to_json(value: Any) -> str:
    """Raises TypeError, with the place, for what neither JSON nor the table above has."""
    return json.dumps(_plain(value, "answer"), allow_nan=False)


def from_json(text: str) -> Any:
    """Arrays become NumPy's, bytes become bytes."""
    return json.loads(text, object_hook=_revive)


def _plain(value: Any, place: str) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) <= _SAFE_INTEGER else {"$integer": str(int(value))}
    if isinstance(value, float):
        return _plain_float(float(value))
    if isinstance(value, Mapping):
        entries = [[_key(key, place), _plain(item, f"{place}[{key!r}]")] for key, item in value.items()]
        return {"$object": entries} if any(str(key).startswith("$") for key, _ in entries) else dict(entries)
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{place}[{at}]") for at, item in enumerate(value)]
    if isinstance(value, (bytes, bytearray)):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if is_dataclass(value) and not isinstance(value, type):
        return _plain({field.name: getattr(value, field.name) for field in fields(value)}, place)
    if hasattr(value, "__array__"):
        return _plain_array(value, place)
    raise TypeError(
        f"{place}: expected what JSON has, bytes, a path, a dataclass or an array, got a {type(value).__name__}"
    )


def _key(key: Any, place: str) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, (int, float)) and not isinstance(key, bool):
        return str(key)
    raise TypeError(f"{place}: expected text or a number as a key, got {key!r}")


def _plain_float(value: float) -> Any:
    if math.isfinite(value):
        return {"$number": "-0"} if value == 0 and math.copysign(1, value) < 0 else value
    return {"$number": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}


def _plain_array(value: Any, place: str) -> Any:
    """Of NumPy, or a tensor; what has no dimensions is a number."""
    import numpy as np

    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    array = np.asarray(value)
    if array.ndim == 0:
        return _plain(array.item(), place)
    dtype = _WIDENED.get(array.dtype.name, array.dtype.name)
    if dtype not in _DTYPES:
        raise TypeError(f"{place}: expected an array of one of {', '.join(_DTYPES)}, got {array.dtype}")
    data = np.ascontiguousarray(array, dtype=np.dtype(dtype).newbyteorder("<"))
    return {"$array": base64.b64encode(data.tobytes()).decode(), "dtype": dtype, "shape": list(array.shape)}


def _revive(entry: dict[str, Any]) -> Any:
    if "$array" in entry:
        import numpy as np

        data = bytearray(base64.b64decode(entry["$array"]))  # so that it may be written to
        return np.frombuffer(data, np.dtype(entry["dtype"]).newbyteorder("<")).reshape(entry["shape"])
    if "$number" in entry:
        return float(entry["$number"])
    if "$integer" in entry:
        return int(entry["$integer"])
    if "$bytes" in entry:
        return base64.b64decode(entry["$bytes"])
    return dict(entry["$object"]) if "$object" in entry else entry
