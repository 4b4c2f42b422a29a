"""The judge of samples: known degradations of real digits rank as they must, and floors are those of real images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from example import digits
from immiscible_worker import metric
from immiscible_worker.errors import UsageError
from immiscible_worker.quality import Judge, Quality, open_judge

CPU = torch.device("cpu")
NUM_IMAGES = 449
ON_FEATURES = ("fdClassifier", "kdClassifier", "precisionClassifier", "recallClassifier", "classifierScore")
IN_PIXELS = ("slicedWasserstein", "nearestTrain")
DISTANCES = ("fdClassifier", "kdClassifier", "slicedWasserstein")


def real() -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = digits()
    return torch.from_numpy(images), torch.from_numpy(labels).long()


def open_on_digits(**changes: Any) -> Judge:
    images, labels = real()
    settings: dict[str, Any] = {
        "name": "digits",
        "inception": None,
        "num_images": NUM_IMAGES,
        "seed": 0,
        "num_bootstrap": 20,
        "device": CPU,
        "images": images,
        "labels": labels,
        "num_classes": 10,
    }
    return open_judge(**{**settings, **changes})


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small are slower on two, and far slower where something else computes beside them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def judge() -> Judge:
    return open_on_digits()


@pytest.fixture(scope="module")
def parts() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Reference, images of the floors, images that the judge never sees, and the labels of the last two."""
    images, labels = real()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    half = len(images) // 2
    rows = order[half:]
    return images[order[:half]], images[rows[:NUM_IMAGES]], images[rows[NUM_IMAGES : 2 * NUM_IMAGES]], labels[rows]


@pytest.fixture(scope="module")
def values(judge: Judge, parts: Any) -> dict[str, dict[str, float]]:
    """Of each degradation of the images of the floors, by its name."""
    reference, others, unseen, labels = parts
    generator = torch.Generator().manual_seed(1)

    def noise(level: float) -> torch.Tensor:
        return to_levels(others.float() + level * 127.5 * torch.randn(others.shape, generator=generator))

    def blur(times: int) -> torch.Tensor:
        blurred = others.float()
        for _ in range(times):
            blurred = functional.avg_pool2d(functional.pad(blurred, (1, 1, 1, 1), mode="replicate"), 3, 1)
        return to_levels(blurred)

    def drop(keep: int) -> torch.Tensor:
        kept = torch.cat([others, unseen])[labels[: 2 * NUM_IMAGES] < keep]
        return kept.repeat(10, 1, 1, 1)[:NUM_IMAGES]

    pixel_order = torch.rand((NUM_IMAGES, 1, 64), generator=generator).argsort(-1)
    sets = {
        "others": others,
        "unseen": unseen,
        **{f"noise {level}": noise(level) for level in (0.05, 0.1, 0.2, 0.4, 0.8)},
        **{f"blur {times}": blur(times) for times in (1, 2)},
        **{f"{keep} of 10 classes": drop(keep) for keep in (8, 5, 1)},
        "memorised": reference[:NUM_IMAGES],
        "one image": reference[:1].repeat(NUM_IMAGES, 1, 1, 1),
        "shuffled pixels": others.flatten(2).gather(2, pixel_order).view_as(others),
        "nothing but noise": torch.randint(0, 256, others.shape, generator=generator, dtype=torch.uint8),
    }
    return {name: {measure.name: measure.value for measure in judge(images).measures} for name, images in sets.items()}


def to_levels(images: torch.Tensor) -> torch.Tensor:
    return images.clamp(0, 255).round().to(torch.uint8)


def by_name(quality: Quality) -> dict[str, Any]:
    return {measure.name: measure for measure in quality.measures}


def test_what_is_measured_is_said(judge: Judge, parts: Any) -> None:
    quality = judge(parts[1])
    assert (quality.features, quality.num_images, quality.num_reference) == ("classifier", NUM_IMAGES, 898)
    assert quality.reference == "898 of the 1,797 images of digits; floors: 449 others"
    assert quality.features_sha256 is not None
    assert len(quality.features_sha256) == 64
    assert [measure.name for measure in quality.measures] == [*ON_FEATURES, *IN_PIXELS]
    assert not [name for name in by_name(quality) if "fid" in name.lower()]


def test_real_images_are_at_the_floor(judge: Judge, parts: Any, values: dict[str, dict[str, float]]) -> None:
    _, others, unseen, _ = parts
    assert all(measure.value == measure.floor for measure in judge(others).measures)
    for name, measure in by_name(judge(unseen)).items():
        assert measure.low <= measure.floor <= measure.high, f"{name}: {measure}"
    # Control: what is not real is not there.
    degraded = by_name(judge(to_levels(others.float() * 0.8)))
    outside = [name for name, measure in degraded.items() if not measure.low <= measure.floor <= measure.high]
    assert {"fdClassifier", "slicedWasserstein"} <= set(outside)


@pytest.mark.parametrize(
    "better_first",
    [
        ["others", "noise 0.05", "noise 0.1", "noise 0.2", "noise 0.4", "noise 0.8", "nothing but noise"],
        ["others", "blur 1", "blur 2"],
        ["others", "8 of 10 classes", "5 of 10 classes", "1 of 10 classes"],
        ["others", "noise 0.4", "shuffled pixels"],
    ],
)
@pytest.mark.parametrize("name", DISTANCES)
def test_distances_rank_degradations(values: dict[str, dict[str, float]], name: str, better_first: list[str]) -> None:
    found = [values[degradation][name] for degradation in better_first]
    assert found == sorted(found)
    assert len(set(found)) == len(found)


def test_precision_sees_bad_images_and_recall_missing_ones(values: dict[str, dict[str, float]]) -> None:
    def both(degradation: str) -> tuple[float, float]:
        return values[degradation]["precisionClassifier"], values[degradation]["recallClassifier"]

    precision, recall = both("others")
    assert min(precision, recall) > 0.85
    half_precision, half_recall = both("5 of 10 classes")
    assert half_precision > 0.85
    assert half_recall < 0.6 * recall
    assert both("1 of 10 classes")[1] < 0.05
    assert both("one image") == (1, pytest.approx(0, abs=0.01))
    assert both("noise 0.4")[0] < 0.3 * precision
    assert max(both("nothing but noise")) < 0.01


def test_the_score_counts_classes(values: dict[str, dict[str, float]]) -> None:
    found = {name: of["classifierScore"] for name, of in values.items()}
    assert 9 < found["others"] <= 10
    assert found["5 of 10 classes"] == pytest.approx(5, abs=0.4)
    for name in ("1 of 10 classes", "one image", "shuffled pixels", "nothing but noise"):
        assert found[name] == pytest.approx(1, abs=0.15)


def test_a_memorised_set_is_below_the_floor(values: dict[str, dict[str, float]]) -> None:
    memorised, others = values["memorised"], values["others"]
    assert memorised["nearestTrain"] == 0
    assert others["nearestTrain"] > 1
    for name in DISTANCES:
        assert memorised[name] < others[name]
    # Control: fresh real images are not.
    assert values["unseen"]["nearestTrain"] == pytest.approx(others["nearestTrain"], rel=0.05)


def test_it_is_a_function_of_its_arguments(monkeypatch: pytest.MonkeyPatch, parts: Any) -> None:
    monkeypatch.setattr(metric, "_TRAIN_STEPS", 20)
    samples = parts[2][:64]
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first = open_on_digits(num_images=64)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(8)
    again = open_on_digits(num_images=64)
    quality = first(samples)
    assert quality == again(samples) == first(samples)
    # Whatever the layout in memory is: as `read_images` has them.
    channels_last = torch.from_numpy(samples.numpy().reshape(64, 8, 8, 1)).permute(0, 3, 1, 2)
    assert channels_last.stride() != samples.stride()
    assert first(channels_last) == quality
    values = [measure.value for measure in quality.measures]
    assert [measure.value for measure in open_on_digits(num_images=64, num_bootstrap=3)(samples).measures] == values
    other = open_on_digits(num_images=64, seed=1)(samples)
    assert other.features_sha256 != quality.features_sha256
    assert other.reference == quality.reference
    torch.set_num_threads(2)
    assert open_on_digits(num_images=64)(samples).features_sha256 == quality.features_sha256
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


def test_without_labels_there_are_the_metrics_in_pixels(parts: Any) -> None:
    quality = open_on_digits(labels=None, num_classes=0, num_bootstrap=0)(parts[1])
    assert (quality.features, quality.features_sha256) == ("none", None)
    assert [measure.name for measure in quality.measures] == list(IN_PIXELS)
    assert all(measure.low is None and measure.value == measure.floor for measure in quality.measures)


def test_large_colour_images_are_shrunk_for_the_classifier_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric, "_TRAIN_STEPS", 20)
    generator = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (80, 3, 48, 40), generator=generator, dtype=torch.uint8)
    labels = torch.arange(80) % 2
    seen: list[torch.Size] = []
    fit = metric.fit_classifier

    def watched(classifier: Any, small: torch.Tensor, *rest: Any) -> None:
        seen.append(small.shape)
        fit(classifier, small, *rest)

    monkeypatch.setattr("immiscible_worker.quality.classifier.fit_classifier", watched)
    measured = by_name(open_on_digits(images=images, labels=labels, num_classes=2, num_images=16)(images[:16]))
    assert seen == [(40, 3, 32, 32)]
    assert np.isfinite([measure.value for measure in measured.values()]).all()


def test_a_large_set_is_compared_in_part(monkeypatch: pytest.MonkeyPatch, parts: Any) -> None:
    monkeypatch.setattr("immiscible_worker.quality.judge._MAX_REFERENCE", 500)
    quality = open_on_digits(labels=None, num_classes=0, num_images=1400)(parts[1].repeat(4, 1, 1, 1)[:1400])
    assert quality.num_reference == 500
    assert quality.reference == "500 of the 1,797 images of digits; floors: 1,297 others"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_images": 15}, "number of images: expected 16 or more, got 15"),
        ({"num_bootstrap": 1}, "number of bootstrap resamples: expected 0, or 2 or more, got 1"),
        ({"images": real()[0][:31], "labels": None}, "digits: expected 32 or more real images, got 31"),
    ],
)
def test_too_little_to_judge_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}$"):
        open_on_digits(**changes)


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lambda samples: samples[:-1], r"uint8 \[448, 1, 8, 8\]"),
        (lambda samples: samples[:, :, 1:], r"uint8 \[449, 1, 7, 8\]"),
        (lambda samples: samples.expand(-1, 3, -1, -1), r"uint8 \[449, 3, 8, 8\]"),
        (lambda samples: samples.float(), r"float32 \[449, 1, 8, 8\]"),
    ],
)
def test_samples_of_another_kind_are_refused(
    judge: Judge, parts: Any, change: Callable[[torch.Tensor], torch.Tensor], got: str
) -> None:
    with pytest.raises(UsageError, match=rf"^samples: expected uint8 \[449, 1, 8, 8\], got {got}$"):
        judge(change(parts[1]))
