"""open_judge(): splits the real images, looks at them once, and answers what measures samples beside them."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..errors import UsageError
from .classifier import train_observer
from .contract import InceptionFile, Judge, Quality
from .inception import open_inception
from .measures import open_on_features, open_pixelwise

# Of samples, and of real images on either side: fewer say nothing.
MIN_IMAGES = 16
_MAX_REFERENCE = 10_000


def open_judge(
    images: torch.Tensor,
    labels: torch.Tensor | None,
    num_classes: int,
    *,
    name: str,
    inception: InceptionFile | None,
    num_images: int,
    seed: int,
    num_bootstrap: int,
    device: torch.device,
) -> Judge:
    """What measures `num_images` samples at a time beside real ones. A function of its arguments alone, to the bit
    on the same number of threads.

    images: uint8 [N, C, H, W]. labels: int64 [N] in 0..num_classes-1, or None. name: of the data set. num_bootstrap:
    resamples behind each interval, 0 for none.

    Without `inception` the real images are split by `seed`: into the reference (a half, at most 10,000), which a small
    classifier is trained on where there are labels, and others, as many as will be judged or as there are, whose
    metrics are the floors. With it, all of them are the reference, and there are no floors. Torch's random state is
    left as it was.

    Raises UsageError where there are too few images or the Inception file is not what was named; the judge, where
    samples are not `num_images` of the size of `images`.
    """
    if num_images < MIN_IMAGES:
        raise UsageError(f"number of images: expected {MIN_IMAGES} or more, got {num_images}")
    if num_bootstrap == 1:
        raise UsageError("number of bootstrap resamples: expected 0, or 2 or more, got 1")
    is_split = inception is None
    least = 2 * MIN_IMAGES if is_split else MIN_IMAGES
    if len(images) < least:
        raise UsageError(f"{name}: expected {least} or more real images, got {len(images)}")
    if not is_split and images.shape[1] not in (1, 3):
        raise UsageError(f"inception: expected images of 1 or 3 channels, got {images.shape[1]} in {name}")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=generator)
    num_reference = min(len(images) // 2, _MAX_REFERENCE) if is_split else len(images)
    chosen, others = order[:num_reference], order[num_reference:][:num_images]
    reference = images[chosen]
    if inception is not None:
        observer = open_inception(inception, device)
    elif labels is not None:
        observer = train_observer(reference, labels[chosen], num_classes, seed, device)
    else:
        observer = None
    parts = [] if observer is None else [open_on_features(observer, reference, seed)]
    parts.append(open_pixelwise(reference, seed, device))
    floors: dict[str, float] = {}
    if is_split:
        floors = {measure.name: measure.value for part in parts for measure in part(images[others], 0)}
    words = f"{len(reference):,} of the {len(images):,} images of {name}; floors: {len(others):,} others"
    expected_shape = [num_images, *images.shape[1:]]

    def judge(samples: torch.Tensor) -> Quality:
        if samples.dtype != torch.uint8 or list(samples.shape) != expected_shape:
            got = f"{str(samples.dtype).removeprefix('torch.')} {list(samples.shape)}"
            raise UsageError(f"samples: expected uint8 {expected_shape}, got {got}")
        # In the layout of the real images: strides of another go through other kernels, whose last bits are others.
        plain = samples.clone(memory_format=torch.contiguous_format)
        measures = [measure for part in parts for measure in part(plain, num_bootstrap)]
        return Quality(
            features="none" if observer is None else observer.features,
            features_sha256=None if observer is None else observer.sha256,
            num_images=num_images,
            num_reference=len(reference),
            reference=words if is_split else f"all {len(images):,} images of {name}",
            measures=tuple(replace(measure, floor=floors.get(measure.name)) for measure in measures),
        )

    return judge
