"""The frames that the orchestrator sends, as committed in protocol/golden, are read here as they were meant."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from immiscible_worker import codec
from immiscible_worker.errors import ProtocolError
from immiscible_worker.protocol import DatasetInfo, Ping, Reject, Stop, Welcome

GOLDEN = Path(__file__).parents[2] / "protocol" / "golden"
RUN_ID = bytes(range(16)).hex()


def read_frames(name: str) -> list[bytes]:
    """The container of test/fixture/golden-frames.ts: a little-endian u32 length and the bytes, for each frame."""
    data = (GOLDEN / f"{name}.frames").read_bytes()
    frames, at = list[bytes](), 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "little")
        frames.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return frames


def read_batch(name: str, dtype: Literal["uint8", "float32"] = "uint8") -> tuple[codec.Batch, codec.StagedBatch]:
    dataset = DatasetInfo("golden", "d" * 64, 2, [1, 2, 2], 10, dtype, None if dtype == "uint8" else 0.18215)
    batch = codec.decode_batch(read_frames(name), RUN_ID, 5)
    assert batch is not None
    codec.check_contract(batch, 300_000, 2, dataset)
    return batch, codec.stage(batch, torch.device("cpu"))


def test_a_batch_with_labels_and_float16_noise() -> None:
    batch, staged = read_batch("batch-float16")
    assert (batch.header.step, batch.header.epoch, batch.header.num_images) == (300_000, 12, 2)
    assert staged.images.flatten().tolist() == [0, 1, 127, 128, 200, 254, 255, 64]
    expected = np.arange(0x3C00, 0x3C08, dtype=np.uint16).view(np.float16)
    np.testing.assert_array_equal(staged.noise.flatten().numpy(), expected)
    assert staged.labels is not None
    assert staged.labels.tolist() == [7, 3]
    np.testing.assert_array_equal(staged.uniforms.numpy(), np.array([[0, 0.25, 0.5], [0.75, 0.999, 0.125]], np.float32))


def test_a_batch_without_labels_and_with_float32_noise() -> None:
    _, staged = read_batch("batch-float32-unlabelled")
    assert staged.labels is None
    np.testing.assert_array_equal(staged.noise.flatten().numpy(), ((np.arange(8) - 4) / 3).astype(np.float32))


def test_a_batch_of_latents_where_the_data_set_has_them_and_nowhere_else() -> None:
    _, staged = read_batch("batch-latents", "float32")
    np.testing.assert_array_equal(staged.images.flatten().numpy(), ((np.arange(8) - 3) / 2).astype(np.float32))
    with pytest.raises(ProtocolError, match="images dtype: expected uint8, got float32"):
        read_batch("batch-latents")
    with pytest.raises(ProtocolError, match="images dtype: expected float32, got uint8"):
        read_batch("batch-float16", "float32")


def test_a_batch_of_another_run_or_generation_is_not_read() -> None:
    frames = read_frames("batch-float16")
    assert codec.decode_batch(frames, RUN_ID, 6) is None
    with pytest.raises(ProtocolError, match="run id"):
        codec.decode_batch(frames, RUN_ID[::-1], 5)


def test_this_side_would_send_the_same_bytes() -> None:
    """Up to the order of keys in the header, which msgpack leaves open."""
    batch, staged = read_batch("batch-float16")
    assert staged.labels is not None
    tensors = [
        ("images", staged.images),
        ("noise", staged.noise),
        ("labels", staged.labels),
        ("uniforms", staged.uniforms),
    ]
    ours = codec.encode_batch(RUN_ID, 5, 300_000, 12, [(name, tensor.numpy()) for name, tensor in tensors])
    assert ours[2:] == read_frames("batch-float16")[2:]
    again = codec.decode_batch(ours, RUN_ID, 5)
    assert again is not None
    assert again.header == batch.header


def test_commands() -> None:
    [message] = read_frames("command-welcome")
    welcome = codec.decode_command(message)
    assert isinstance(welcome, Welcome)
    assert (welcome.config.seed, welcome.dataset.num_images) == (4_294_967_295, 1797)
    assert codec.decode_command(read_frames("command-reject")[0]) == Reject(
        "token", "token: not the one this run gave out"
    )
    assert codec.decode_command(read_frames("command-stop")[0]) == Stop()
    assert codec.decode_command(read_frames("command-ping")[0]) == Ping()
