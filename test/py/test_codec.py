"""Batches survive the codec bit for bit, and nothing that was changed on the way gets through it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
import torch
from training import CPU, receive

from example import digits, make_config, make_dataset
from immiscible_worker.codec import check_contract, decode_batch, decode_command, encode_batch, encode_message, stage
from immiscible_worker.errors import ProtocolError
from immiscible_worker.protocol import BatchHeader, Ping, Reject, Stop
from orchestrator import RUN_ID, draw_batch, welcome_of

CONFIG = make_config()
IMAGES = digits()[0]
DIGITS = make_dataset(IMAGES)


def make_frames(step: int = 3, generation: int = 2) -> list[bytes]:
    return encode_batch(RUN_ID, generation, step, 0, draw_batch(CONFIG, IMAGES, step))


def reseal(frames: list[bytes], header: bytes) -> list[bytes]:
    """Frames with another header and checksums that hold."""
    prefix = bytearray(frames[0])
    struct.pack_into("<I", prefix, 36, len(header))
    struct.pack_into("<I", prefix, 52, zlib.crc32(header))
    struct.pack_into("<I", prefix, 60, zlib.crc32(prefix[:60]))
    return [bytes(prefix), header, *frames[2:]]


def test_a_batch_arrives_as_it_was_sent() -> None:
    batch = decode_batch(make_frames(), RUN_ID, 2)
    assert batch is not None
    staged = stage(batch, CPU)
    expected = dict(draw_batch(CONFIG, IMAGES, 3))
    assert staged.step == 3
    assert staged.labels is not None
    got = {"images": staged.images, "noise": staged.noise, "labels": staged.labels, "uniforms": staged.uniforms}
    for name, tensor in got.items():
        np.testing.assert_array_equal(tensor.numpy(), expected[name], err_msg=name)
        assert tensor.numpy().dtype == expected[name].dtype


def test_tensors_are_aligned_and_outlive_unaligned_frames() -> None:
    frames: list[bytearray | memoryview] = []
    for frame in make_frames():
        padded = bytearray(b"x" + frame)
        frames.append(memoryview(padded)[1:])
    batch = decode_batch(frames, RUN_ID, 2)
    assert batch is not None
    staged = stage(batch, CPU)
    noise = staged.noise.clone()
    for frame in frames[2:]:
        frame[:] = bytes(len(frame))
    assert torch.equal(staged.noise, noise)
    assert staged.uniforms.data_ptr() % 16 == 0


@pytest.mark.parametrize("at", range(64))
def test_every_flipped_byte_of_the_prefix_is_refused(at: int) -> None:
    frames = make_frames()
    for bit in (1, 128):
        prefix = bytearray(frames[0])
        prefix[at] ^= bit
        with pytest.raises(ProtocolError):
            decode_batch([bytes(prefix), *frames[1:]], RUN_ID, 2)


def test_every_flipped_byte_of_the_header_is_refused() -> None:
    frames = make_frames()
    for at in range(len(frames[1])):
        header = bytearray(frames[1])
        header[at] ^= 1
        with pytest.raises(ProtocolError, match="header crc32"):
            decode_batch([frames[0], bytes(header), *frames[2:]], RUN_ID, 2)


@pytest.mark.parametrize("tensor", range(4))
def test_a_flipped_bit_in_a_tensor_is_refused_by_name(tensor: int) -> None:
    frames = make_frames()
    damaged = bytearray(frames[2 + tensor])
    damaged[len(damaged) // 2] ^= 4
    frames[2 + tensor] = bytes(damaged)
    with pytest.raises(ProtocolError, match=f"{['images', 'noise', 'labels', 'uniforms'][tensor]} crc32"):
        decode_batch(frames, RUN_ID, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frames: frames[:1], "a prefix and a header"),
        (lambda frames: frames[:-1], "number of frames"),
        (lambda frames: [*frames, b""], "number of frames"),
        (lambda frames: [frames[0][:-1], *frames[1:]], "prefix length"),
        (lambda frames: [frames[0], frames[1] + b"x", *frames[2:]], "header length"),
        (lambda frames: [*frames[:2], frames[2][:-1], *frames[3:]], "tensor bytes"),
        (lambda frames: [*frames[:2], frames[3], frames[2], *frames[4:]], "images frame bytes"),
        (lambda frames: reseal(frames, frames[1][:-1]), "expected a BatchHeader"),
        (lambda frames: reseal(frames, frames[1] + b"\x00"), "expected a BatchHeader"),
        (lambda frames: reseal(frames, frames[1].replace(b"images", b"image\xff")), "expected a BatchHeader"),
        (lambda frames: reseal(frames, b"\x81\xa1a" * 50_000), "expected a BatchHeader"),
        (lambda frames: reseal(frames, bytes(1 << 21)), "header length: expected at most 1048576"),
    ],
)
def test_a_message_of_another_form_is_refused(change: Callable[[list[bytes]], list[bytes]], message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        decode_batch(change(make_frames()), RUN_ID, 2)


def test_a_header_that_lies_is_refused_although_its_checksums_hold() -> None:
    frames = make_frames()
    header = msgspec.msgpack.decode(frames[1], type=BatchHeader)
    images = header.tensors[0]
    lies = {
        "header step": msgspec.structs.replace(header, step=4),
        "header tensors": msgspec.structs.replace(header, tensors=header.tensors[:3]),
        "images shape": msgspec.structs.replace(
            header, tensors=[msgspec.structs.replace(images, shape=[2**31 - 1] * 90_000), *header.tensors[1:]]
        ),
        "images byteLength": msgspec.structs.replace(
            header, tensors=[msgspec.structs.replace(images, shape=[16, 1, 8, 9]), *header.tensors[1:]]
        ),
    }
    for field, lie in lies.items():
        with pytest.raises(ProtocolError, match=field):
            decode_batch(reseal(frames, msgspec.msgpack.encode(lie)), RUN_ID, 2)


def test_another_generation_is_dropped_and_another_run_is_refused() -> None:
    assert decode_batch(make_frames(generation=1), RUN_ID, 2) is None
    with pytest.raises(ProtocolError, match="run id"):
        decode_batch(make_frames(), RUN_ID[::-1], 2)


def test_a_batch_that_was_not_asked_for_is_refused() -> None:
    batch = receive(CONFIG, 3)
    check_contract(batch, 3, 16, DIGITS)
    with pytest.raises(ProtocolError, match="step: expected 4, got 3"):
        check_contract(batch, 4, 16, DIGITS)
    with pytest.raises(ProtocolError, match="numImages: expected 32, got 16"):
        check_contract(batch, 3, 32, DIGITS)
    with pytest.raises(ProtocolError, match="images shape"):
        check_contract(batch, 3, 16, msgspec.structs.replace(DIGITS, image_shape=[3, 8, 8]))


@pytest.mark.parametrize("missing", ["images", "noise", "uniforms"])
def test_a_batch_without_a_tensor_is_refused_but_labels_are_optional(missing: str) -> None:
    def check(without: str) -> None:
        tensors = [(name, array) for name, array in draw_batch(CONFIG, IMAGES, 3) if name != without]
        batch = decode_batch(encode_batch(RUN_ID, 0, 3, 0, tensors), RUN_ID, 0)
        assert batch is not None
        check_contract(batch, 3, 16, DIGITS)

    check("labels")
    with pytest.raises(ProtocolError, match="tensors: expected images, noise, labels"):
        check(missing)


def test_a_dtype_out_of_place_is_refused() -> None:
    tensors = [(n, a.astype(np.int32) if n == "images" else a) for n, a in draw_batch(CONFIG, IMAGES, 3)]
    batch = decode_batch(encode_batch(RUN_ID, 0, 3, 0, tensors), RUN_ID, 0)
    assert batch is not None
    with pytest.raises(ProtocolError, match="images dtype: expected uint8, got int32"):
        check_contract(batch, 3, 16, DIGITS)


def test_commands_survive_and_anything_else_is_refused(tmp_path: object) -> None:
    from pathlib import Path

    for command in (Stop(), Ping(), Reject("TOKEN", "no"), welcome_of(CONFIG, Path("run"), IMAGES)):
        assert decode_command(encode_message(command)) == command
    nested = b"\x81\xa1a" * 50_000
    no_text = encode_message(Reject("TOKEN", "no")).replace(b"no", b"\xff\xfe")
    for message in (
        b"",
        b"\xc1",
        b"\xdd\x01\xff\xff\xff",
        nested,
        no_text,
        msgspec.msgpack.encode({"kind": "stop", "extra": 1}),
    ):
        with pytest.raises(ProtocolError, match="command"):
            decode_command(message)
