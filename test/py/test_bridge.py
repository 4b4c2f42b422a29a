"""The adapter of openPython(): values as text and back, what is answered when a function raises, images, the judge."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from training import make_trainer

from example import digits, make_config
from immiscible_worker import bridge, metric
from immiscible_worker.describe import describe
from immiscible_worker.errors import UsageError
from immiscible_worker.images import read_images
from immiscible_worker.pixels import to_pixels
from immiscible_worker.sampler import sample
from immiscible_worker.sampling import Settings
from immiscible_worker.values import from_json, to_json

VALUES = [
    None,
    True,
    0,
    -0.0,
    0.1,
    math.inf,
    -math.inf,
    2**53,
    -(2**200),
    "text \ud800",
    b"\x00\xff",
    [[], {}],
    {"$object": 1, "a": {"$number": "NaN"}},
    {"deep": [{"$array": [math.inf]}]},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back_as_it_went(value: Any) -> None:
    text = to_json(value)
    back = from_json(text)
    assert (type(back), repr(back)) == (type(value), repr(value))
    assert "NaN" not in text.replace('"NaN"', "")
    assert "Infinity" not in text.replace('Infinity"', "")


def test_nan_comes_back() -> None:
    assert math.isnan(from_json(to_json(math.nan)))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint64", "float32", "float64"])
def test_an_array_comes_back(dtype: str) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype)[:, ::2]
    back = from_json(to_json(array))
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (torch.tensor([1.5, 2.5], dtype=torch.bfloat16), np.array([1.5, 2.5], np.float32)),
        (np.array([1.5], np.float16), np.array([1.5], np.float32)),
        (np.array([True]), np.array([1], np.uint8)),
        (np.arange(2, dtype=">i4"), np.arange(2, dtype="<i4")),
        (torch.ones(2, requires_grad=True), np.ones(2, np.float32)),
    ],
)
def test_what_typed_arrays_lack_is_widened(value: Any, expected: np.ndarray) -> None:
    back = from_json(to_json(value))
    assert back.dtype == expected.dtype
    np.testing.assert_array_equal(back, expected)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1, 2}, "answer: expected what JSON has, .* got a set"),
        ({"a": [object()]}, r"answer\['a'\]\[0\]: .* got a object"),
        ({(1, 2): 3}, r"answer: expected text or a number as a key, got \(1, 2\)"),
        (np.array(["text"]), "answer: expected an array of one of .* got <U4"),
        (np.array([1j]), "answer: expected an array of one of .* got complex128"),
    ],
)
def test_what_has_no_place_is_refused_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        to_json(value)


def ask(target: str, *args: Any) -> dict[str, Any]:
    return json.loads(bridge.answer(json.dumps({"target": target, "args": args, "kwargs": {}})))


def test_a_call_is_answered_and_never_raises(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    functions = ["calls = []", "def count():", "    calls.append(1)", "    return len(calls)"]
    path.write_text("\n".join([*functions, "def stop():", "    raise KeyboardInterrupt"]))
    assert [ask(f"{path}:count"), ask(f"{path}:count")] == [{"value": 1}, {"value": 2}]
    assert ask("operator:neg", 3) == {"value": -3}
    assert ask("os:path.basename", "/a/b") == {"value": "b"}
    assert ask(f"{path}:stop")["error"]["type"] == "KeyboardInterrupt"
    assert json.loads(bridge.answer("no JSON"))["error"]["type"] == "JSONDecodeError"
    assert ask("sys:exit", 2)["error"] | {"traceback": ""} == {"type": "SystemExit", "message": "2", "traceback": ""}


def test_a_file_with_a_mistake_tells_where(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("x = 1\ny = = 2\n")
    error = ask(f"{path}:f")["error"]
    assert error["type"] == "SyntaxError"
    assert f'{path}", line 2' in error["traceback"]


def test_images_of_a_folder_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, value in [("b.png", 2), ("a.png", 1)]:
        Image.fromarray(np.full((2, 3), value, np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    images = read_images(tmp_path)
    assert (images.shape, images[:, 0, 0, 0].tolist()) == ((2, 2, 3, 1), [1, 2])
    assert read_images(tmp_path / "b.png").shape == (1, 2, 3, 1)
    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(tmp_path / "c.png")
    with pytest.raises(UsageError, match="expected images of one size"):
        read_images(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"expected images .*got none"):
        read_images(tmp_path / "empty")


def test_the_judge_of_a_folder_is_that_of_evaluate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric, "_TRAIN_STEPS", 20)
    monkeypatch.setattr(metric, "THRESHOLD", 0.2)
    trainer = make_trainer(make_config())
    network, settings = trainer.network.eval(), Settings(num_inference_steps=2)
    pixels, labels = digits()
    images, classes = torch.from_numpy(pixels[:200]), torch.from_numpy(labels[:200]).long()
    scheduler = trainer.objective.scheduler
    evaluated = metric.evaluate(network, scheduler, images, classes, 10, 32, settings, 0)
    drawn = to_pixels(sample(network, scheduler, 32, settings, 0))
    judged = metric.judge_pixels(drawn, images, classes, 10, 0)
    assert judged == {"confidentShare": evaluated.confident_share, "heldOutAccuracy": evaluated.held_out_accuracy}


def test_describe_says_what_is_there_and_what_is_not() -> None:
    said = describe(["torch", "no-such-package"])
    assert said["packages"]["no-such-package"] is None
    assert said["torch"]["version"] == torch.__version__
    assert said["torch"]["device"] in ("cpu", "cuda", "mps")
