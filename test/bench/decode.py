"""The bench of decoding, Python's side: writes the files, then loops over them as PIL is mostly used, on one thread.

python decode.py write FOLDER COUNT | python decode.py time FOLDER CASE ROUNDS
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

BILINEAR = Image.Resampling.BILINEAR


def photo(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """Smooth shapes with some noise: compresses about as photographs do."""
    shapes = rng.integers(0, 256, (max(2, height // 16), max(2, width // 16), 3), np.uint8)
    smooth = np.asarray(Image.fromarray(shapes).resize((width, height), Image.Resampling.BICUBIC))
    return Image.fromarray(np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8))


def write(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for case, (height, width), options in [
        ("cifar", (32, 32), {"format": "PNG"}),
        ("celeba", (218, 178), {"format": "JPEG", "quality": 92}),
        ("imagenet", (375, 500), {"format": "JPEG", "quality": 90}),
    ]:
        (folder / case).mkdir(parents=True)
        for number in range(count):
            photo(rng, height, width).save(folder / case / f"{number:05d}.{options['format'].lower()}", **options)


def load(path: Path, case: str) -> np.ndarray:
    image = Image.open(path).convert("RGB")
    if case == "celeba":
        image = image.crop((0, 20, 178, 198)).resize((64, 64), BILINEAR)
    if case == "imagenet":
        image = image.resize((85, 64), BILINEAR).crop((10, 0, 74, 64))
    return np.asarray(image)


def main() -> None:
    command, folder, *rest = sys.argv[1:]
    if command == "write":
        write(Path(folder), int(rest[0]))
        return
    case, rounds = rest[0], int(rest[1])
    paths = sorted((Path(folder) / case).iterdir())
    seconds = []
    for _ in range(rounds + 1):
        start = time.process_time()
        for path in paths:
            load(path, case)
        seconds.append((time.process_time() - start) / len(paths))
    # The first round warms up.
    print(json.dumps(seconds[1:]))


if __name__ == "__main__":
    main()
