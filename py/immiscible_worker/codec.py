"""The only file that knows bytes: frames to checked batches and tensors, messages to structs, and back."""

from __future__ import annotations

import hashlib
import math
import struct
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec
import numpy as np

from .errors import ProtocolError
from .protocol import (
    DTYPE_BYTES,
    PREFIX_BYTES,
    PREFIX_MAGIC,
    PROTOCOL_VERSION,
    UNIFORM_COLUMNS,
    BatchHeader,
    Command,
    DatasetInfo,
    Event,
    TensorSpec,
)

if TYPE_CHECKING:
    import torch

Buffer = bytes | bytearray | memoryview
Split = Literal["train", "heldOut"]

# protocol/batch.ts has the table. The last word is the CRC-32 of the 60 bytes before it.
_PREFIX = struct.Struct("<4sHH16sIQIIQIII")
_CRC = struct.Struct("<I")
_MAX_TENSORS = 16
_MAX_DIMENSIONS = 4
_MAX_HEADER_BYTES = 1 << 20

# What msgspec raises for bytes that are not what they should be: text that is no UTF-8 and deep nesting included.
MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_header_decoder = msgspec.msgpack.Decoder(BatchHeader)
_command_decoder: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_event_decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)
_encoder = msgspec.msgpack.Encoder()


@dataclass(frozen=True)
class Batch:
    """A batch as received: every length and checksum holds; `frames` are raw, little-endian, C order, unaligned.

    received_at, checked_at: `time.perf_counter()` when the whole message was there, and when its check was done.
    """

    header: BatchHeader
    frames: tuple[memoryview, ...]
    received_at: float
    checked_at: float


@dataclass(frozen=True)
class StagedBatch:
    """A batch as trained on. B images of C channels, H rows, W columns, on one device.

    images: uint8 [B, C, H, W], or of latents float32. noise: float16 or float32, same shape, row i assigned to image i.
    labels: int32 [B], or None. uniforms: float32 [B, 3] in [0, 1), columns as `UNIFORM_COLUMNS`.
    sha256: of the tensor frames in frame order, taken after they were copied.
    """

    step: int
    images: torch.Tensor
    noise: torch.Tensor
    labels: torch.Tensor | None
    uniforms: torch.Tensor
    sha256: str


def encode_message(message: Command | Event) -> bytes:
    """A command or an event as one msgpack map."""
    return _encoder.encode(message)


def decode_command(data: Buffer) -> Command:
    """One msgpack map as a command. Raises ProtocolError where it is not exactly one of them."""
    try:
        return _command_decoder.decode(data)
    except MALFORMED as error:
        raise ProtocolError("command", "a command of the protocol", error) from error


def decode_event(data: Buffer) -> Event:
    """One msgpack map as an event: for tests, which play the orchestrator."""
    try:
        return _event_decoder.decode(data)
    except MALFORMED as error:
        raise ProtocolError("event", "an event of the protocol", error) from error


def decode_batch(parts: Sequence[Buffer], run_id: str, generation: int) -> Batch | None:
    """Checks the frames of one data message from the outside in and decodes nothing before its checksum holds.

    To be called as soon as the message is there. run_id: 32 hex digits. Returns None for a batch of another generation:
    it was on its way when this one started.
    Raises ProtocolError naming the field.
    """
    received_at = time.perf_counter()
    if len(parts) < 2:
        raise ProtocolError("batch", "a prefix and a header frame", f"{len(parts)} frames")
    _expect("prefix length", PREFIX_BYTES, len(parts[0]))
    prefix = bytes(parts[0])
    fields = _PREFIX.unpack(prefix)
    magic, version, reserved, got_run, got_generation, step, header_length, num_tensors = fields[:8]
    tensor_bytes, header_crc, reserved_too, prefix_crc = fields[8:]
    _expect("magic", PREFIX_MAGIC, magic)
    _expect("protocol version", PROTOCOL_VERSION, version)
    _expect("prefix crc32", zlib.crc32(prefix[:60]), prefix_crc)
    _expect("reserved", (0, 0), (reserved, reserved_too))
    _expect("run id", run_id, got_run.hex())
    if got_generation != generation:
        return None
    if num_tensors > _MAX_TENSORS:
        raise ProtocolError("number of tensor frames", f"at most {_MAX_TENSORS}", num_tensors)
    _expect("number of frames", num_tensors + 2, len(parts))
    if header_length > _MAX_HEADER_BYTES:
        raise ProtocolError("header length", f"at most {_MAX_HEADER_BYTES}", header_length)
    _expect("header length", header_length, len(parts[1]))
    _expect("header crc32", header_crc, zlib.crc32(parts[1]))
    try:
        header = _header_decoder.decode(parts[1])
    except MALFORMED as error:
        raise ProtocolError("header", "a BatchHeader", error) from error
    _expect("header step", step, header.step)
    _expect("header tensors", num_tensors, len(header.tensors))
    frames = tuple(memoryview(part).cast("B") for part in parts[2:])
    _expect("tensor bytes", tensor_bytes, sum(len(frame) for frame in frames))
    for spec, frame in zip(header.tensors, frames, strict=True):
        _check_frame(spec, frame)
    return Batch(header, frames, received_at, checked_at=time.perf_counter())


def _check_frame(spec: TensorSpec, frame: memoryview) -> None:
    # The product of ten thousand dimensions takes seconds.
    if len(spec.shape) > _MAX_DIMENSIONS:
        raise ProtocolError(f"{spec.name} shape", f"at most {_MAX_DIMENSIONS} dimensions", len(spec.shape))
    expected = math.prod(spec.shape) * DTYPE_BYTES[spec.dtype]
    _expect(f"{spec.name} byteLength", expected, spec.byte_length)
    _expect(f"{spec.name} frame bytes", expected, len(frame))
    _expect(f"{spec.name} crc32", spec.crc32, zlib.crc32(frame))


def check_contract(batch: Batch, step: int, num_images: int, dataset: DatasetInfo, split: Split = "train") -> None:
    """Is this the batch that was asked for? Raises ProtocolError on another split, step, size, shape or dtype."""
    header = batch.header
    _expect("split", split, header.split)
    _expect("step", step, header.step, code="WRONG_STEP")
    _expect("numImages", num_images, header.num_images)
    images = [num_images, *dataset.image_shape]
    table: dict[str, tuple[list[int], tuple[str, ...]]] = {
        "images": (images, (dataset.dtype,)),
        "noise": (images, ("float16", "float32")),
        "labels": ([num_images], ("int32",)),
        "uniforms": ([num_images, len(UNIFORM_COLUMNS)], ("float32",)),
    }
    names = [spec.name for spec in header.tensors]
    if names not in (list(table), [name for name in table if name != "labels"]):
        raise ProtocolError("tensors", "images, noise, labels (optional), uniforms", ", ".join(names))
    for spec in header.tensors:
        shape, dtypes = table[spec.name]
        _expect(f"{spec.name} shape", shape, spec.shape)
        if spec.dtype not in dtypes:
            raise ProtocolError(f"{spec.name} dtype", " or ".join(dtypes), spec.dtype)


def stage(batch: Batch, device: torch.device) -> StagedBatch:
    """Copies the frames into aligned tensors on `device`. The frames are free afterwards."""
    import torch

    from .device import staging_buffer, to_device

    digest = hashlib.sha256()
    tensors: dict[str, torch.Tensor] = {}
    for spec, frame in zip(batch.header.tensors, batch.frames, strict=True):
        # A received frame starts at any address; a tensor of 2- or 4-byte elements must not.
        staged = staging_buffer(len(frame), device)
        staged.numpy()[:] = np.frombuffer(frame, np.uint8)
        digest.update(staged.numpy().data)
        typed = staged.view(getattr(torch, spec.dtype)).view(spec.shape)
        tensors[spec.name] = to_device(typed, device)
    return StagedBatch(
        step=batch.header.step,
        images=tensors["images"],
        noise=tensors["noise"],
        labels=tensors.get("labels"),
        uniforms=tensors["uniforms"],
        sha256=digest.hexdigest(),
    )


def encode_batch(
    run_id: str,
    generation: int,
    step: int,
    epoch: int,
    tensors: Sequence[tuple[str, np.ndarray[Any, Any]]],
    split: Split = "train",
) -> list[bytes]:
    """The frames of a batch as the orchestrator sends them: for tests and for comparing golden dumps."""
    frames = [np.ascontiguousarray(array).tobytes() for _, array in tensors]
    specs = [
        TensorSpec(name, cast(Any, str(array.dtype)), list(array.shape), len(frame), zlib.crc32(frame))
        for (name, array), frame in zip(tensors, frames, strict=True)
    ]
    header = _encoder.encode(
        BatchHeader(split=split, step=step, epoch=epoch, num_images=len(tensors[0][1]), tensors=specs, telemetry=[])
    )
    origin = (PREFIX_MAGIC, PROTOCOL_VERSION, 0, bytes.fromhex(run_id), generation, step)
    sizes = (len(header), len(frames), sum(len(frame) for frame in frames))
    prefix = _PREFIX.pack(*origin, *sizes, zlib.crc32(header), 0, 0)[:60]
    return [prefix + _CRC.pack(zlib.crc32(prefix)), header, *frames]


def raw_bytes(tensor: torch.Tensor) -> memoryview:
    """The elements of a tensor in C order as bytes; on the CPU without a copy where it is contiguous already."""
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def tensor_sha256(tensor: torch.Tensor) -> str:
    """SHA-256 (hex) of dtype, shape and elements."""
    digest = hashlib.sha256(f"{tensor.dtype} {list(tensor.shape)} ".encode())
    digest.update(raw_bytes(tensor))
    return digest.hexdigest()


def _expect(field: str, expected: object, got: object, code: str = "PROTOCOL") -> None:
    if expected != got:
        raise ProtocolError(field, expected, got, code)
