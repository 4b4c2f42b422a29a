"""The bench of decoding, Python's side: writes the files, then loops over them as PIL is mostly used, on one thread.

python decode.py write FOLDER COUNT | python decode.py time FOLDER CASE WARM_UP ROUNDS
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
    for case, height, width, kind, quality in [
        ("cifar", 32, 32, "png", 0),
        ("celeba", 218, 178, "jpeg", 92),
        ("imagenet", 375, 500, "jpeg", 90),
    ]:
        (folder / case).mkdir(parents=True)
        # Small ones are quickly done: more of them, for the clock.
        for number in range(count * (4 if case == "cifar" else 1)):
            photo(rng, height, width).save(folder / case / f"{number:05d}.{kind}", kind, quality=quality)


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
    case, warm_up, rounds = rest[0], int(rest[1]), int(rest[2])
    paths = sorted((Path(folder) / case).iterdir())
    seconds = []
    for _ in range(warm_up + rounds):
        start = time.process_time()
        for path in paths:
            load(path, case)
        seconds.append((time.process_time() - start) / len(paths))
    print(json.dumps(seconds[warm_up:]))


if __name__ == "__main__":
    main()
