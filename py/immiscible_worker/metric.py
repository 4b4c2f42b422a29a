"""Confident classification: how many samples does a classifier, trained on the real images and on garbage, recognise?

A plain classifier is confident about noise too, since it knows nothing but digits. This one has one class more, "none
of them", made of noise, shuffled pixels, blends of two classes and heavily noised images, so that its confidence means
something.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .pixels import to_model_scale, to_pixels
from .sampler import sample
from .sampling import Settings, labels_of

THRESHOLD = 0.9
_HELD_OUT_SHARE = 0.2
_TRAIN_STEPS = 600
_BATCH = 64
_LEARNING_RATE = 3e-3


@dataclass(frozen=True)
class Evaluation:
    """confident_share: of samples with a class probability of at least `threshold`; untrained_share: the same from the
    same network with fresh weights. held_out_*: on real images that the classifier never saw. per_class: confident
    samples of each class. label_agreement: of a class-conditional model, the share of samples that the classifier takes
    for the class that was asked for rather than any other or none; None of an unconditional one.
    """

    confident_share: float
    held_out_accuracy: float
    held_out_confident_share: float
    untrained_share: float
    per_class: list[int]
    label_agreement: float | None
    threshold: float
    num_images: int
    seed: int


def evaluate(
    network: nn.Module,
    scheduler: Any,
    images: torch.Tensor,
    labels: torch.Tensor,
    num_classes: int,
    num_images: int,
    settings: Settings,
    seed: int,
    *,
    image_scale: float = 1.0,
) -> Evaluation:
    """Trains the classifier (seconds on a CPU), samples from `network` and counts. A function of its arguments alone.

    images: uint8 [B, C, H, W]. labels: int64 [B] in 0..num_classes-1. Everything on the CPU. image_scale: what the
    training multiplied images by. A class-conditional model is asked for every class in turn.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        classifier, real, real_labels = train_judge(images, labels, num_classes, generator)
        model: Any = network
        fresh: nn.Module = type(model).from_config(model.config)
    fresh = fresh.eval().requires_grad_(False)
    samples, untrained = (
        sample(candidate, scheduler, num_images, settings, seed, image_scale=image_scale)
        for candidate in (network, fresh)
    )
    probabilities = classify(classifier, _as_seen(samples))
    confident = probabilities.max(1).values >= THRESHOLD
    seen = classify(classifier, real)
    asked = labels_of(network, None, num_images)
    return Evaluation(
        confident_share=float(confident.float().mean()),
        held_out_accuracy=float((seen.argmax(1) == real_labels).float().mean()),
        held_out_confident_share=confident_share(seen),
        untrained_share=confident_share(classify(classifier, _as_seen(untrained))),
        per_class=torch.bincount(probabilities.argmax(1)[confident], minlength=num_classes).tolist(),
        label_agreement=None if asked is None else label_agreement(probabilities, asked),
        threshold=THRESHOLD,
        num_images=num_images,
        seed=seed,
    )


def judge_pixels(
    pixels: torch.Tensor, images: torch.Tensor, labels: torch.Tensor, num_classes: int, seed: int
) -> dict[str, float]:
    """How pixels (uint8 [B, C, H, W]) look to a classifier as `evaluate` trains it: on `images` and `labels`, as there.

    confidentShare: of the pixels; heldOutAccuracy: on real images that it never saw.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        classifier, real, real_labels = train_judge(images, labels, num_classes, generator)
    return {
        "confidentShare": confident_share(classify(classifier, to_model_scale(pixels))),
        "heldOutAccuracy": float((classify(classifier, real).argmax(1) == real_labels).float().mean()),
    }


def train_judge(
    images: torch.Tensor, labels: torch.Tensor, num_classes: int, generator: torch.Generator
) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A classifier, and the images (float32 in [-1, 1]) and labels that were held out from it."""
    order = torch.randperm(len(images), generator=generator)
    num_held_out = max(1, int(len(images) * _HELD_OUT_SHARE))
    held_out, kept = order[:num_held_out], order[num_held_out:]
    scaled = to_model_scale(images)
    classifier = train_classifier(scaled[kept], labels[kept], num_classes, generator)
    return classifier, scaled[held_out], labels[held_out]


def confident_share(probabilities: torch.Tensor) -> float:
    """Share of rows whose best class reaches the threshold. probabilities: float32 [B, classes], without "none"."""
    return float((probabilities.max(1).values >= THRESHOLD).float().mean())


def label_agreement(probabilities: torch.Tensor, asked: torch.Tensor) -> float:
    """Share of rows whose likeliest class, "none" included, is the one asked for.

    probabilities: float32 [B, classes], without "none". asked: int64 [B].
    """
    best = probabilities.max(1)
    is_some = best.values > 1 - probabilities.sum(1)
    return float(((best.indices == asked) & is_some).float().mean())


def _as_seen(samples: torch.Tensor) -> torch.Tensor:
    """Through 8-bit pixels, as anybody would look at them."""
    return to_model_scale(to_pixels(samples))


def train_classifier(
    images: torch.Tensor, labels: torch.Tensor, num_classes: int, generator: torch.Generator
) -> nn.Module:
    """A small convolutional classifier of `num_classes` + 1 classes, in eval mode.

    images: float32 [B, C, H, W] in [-1, 1]. Weights are drawn from torch's global generator.
    """
    classifier = nn.Sequential(
        nn.Conv2d(images.shape[1], 24, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(24, 48, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.Conv2d(48, 64, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(64 * 16, num_classes + 1),
    )
    fit_classifier(classifier, images, labels, num_classes, generator)
    return classifier


def fit_classifier(
    classifier: nn.Module, images: torch.Tensor, labels: torch.Tensor, num_classes: int, generator: torch.Generator
) -> None:
    """Trains a network of images to `num_classes` + 1 logits, and leaves it in eval mode. As `train_classifier`."""
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=_LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=_TRAIN_STEPS)
    for _ in range(_TRAIN_STEPS):
        rows = torch.randint(len(images), (_BATCH,), generator=generator)
        # Light noise, so that a faint grain in a sample does not make a digit unrecognisable.
        grain = 0.1 * torch.rand((_BATCH, 1, 1, 1), generator=generator)
        real = images[rows] + grain * _normal(images[rows], generator)
        garbage = make_garbage(images, labels, _BATCH, generator)
        inputs = torch.cat([real.clamp(-1, 1), garbage])
        targets = torch.cat([labels[rows], torch.full((len(garbage),), num_classes)])
        loss = nn.functional.cross_entropy(classifier(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    classifier.eval()


def make_garbage(
    images: torch.Tensor, labels: torch.Tensor, num_images: int, generator: torch.Generator
) -> torch.Tensor:
    """Images of no class, float32 in [-1, 1]: noise, shuffled pixels, blends of two classes, heavily noised images."""
    rows = torch.randint(len(images), (num_images,), generator=generator)
    others = torch.randint(len(images), (num_images,), generator=generator)
    chosen = images[rows]
    noise = _normal(chosen, generator)
    pixel_order = torch.rand((num_images, 1, chosen[0, 0].numel()), generator=generator).argsort(-1)
    shuffled = chosen.flatten(2).gather(2, pixel_order.expand(-1, chosen.shape[1], -1)).view_as(chosen)
    share = 0.35 + 0.3 * torch.rand((num_images, 1, 1, 1), generator=generator)
    blended = share * chosen + (1 - share) * images[others]
    # Two images of one class may blend into a good one: those become plain noise.
    blended = torch.where((labels[rows] != labels[others]).view(-1, 1, 1, 1), blended, noise)
    level = 0.6 + 1.2 * torch.rand((num_images, 1, 1, 1), generator=generator)
    kinds = torch.stack([noise, shuffled, blended, chosen + level * noise])
    kind = torch.arange(num_images) % len(kinds)
    return kinds[kind, torch.arange(num_images)].clamp(-1, 1)


@torch.no_grad()
def classify(classifier: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Probabilities of the classes without "none": float32 [B, classes], rows summing to at most 1."""
    return classifier(images).softmax(1)[:, :-1]


def _normal(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(like.shape, generator=generator)
