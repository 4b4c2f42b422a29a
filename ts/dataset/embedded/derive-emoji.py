"""Derives the embedded emoji from npm's emoji-datasource-google: python derive-emoji.py PACKAGE_FOLDER [FOLDER].

`npm pack emoji-datasource-google@16.0.0` and unpacking it makes the package folder. Needs Pillow 13 and NumPy.
"""

import hashlib
import json
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 32
CELL = SIZE + 2  # cells of the sheet have a border of one pixel
LEFT_OUT = ("Flags", "Symbols", "Component")


def main(package: Path, folder: Path) -> None:
    emoji = [item for item in json.loads((package / "emoji.json").read_text()) if item["has_img_google"]]
    emoji = sorted((item for item in emoji if item["category"] not in LEFT_OUT), key=lambda item: item["sort_order"])
    classes = sorted({item["category"] for item in emoji})
    sheet = Image.open(package / "img/google/sheets/32.png").convert("RGBA")
    opaque = Image.new("RGBA", sheet.size, (255, 255, 255, 255))
    opaque.alpha_composite(sheet)
    tiles = [crop(opaque.convert("RGB"), item["sheet_x"], item["sheet_y"]) for item in emoji]
    # One palette for all: 256 colours, median cut refined by k-means, no dithering.
    strip = Image.fromarray(np.concatenate(tiles)).quantize(
        256, method=Image.Quantize.MEDIANCUT, kmeans=3, dither=Image.Dither.NONE
    )
    palette = bytes(strip.getpalette()[: 256 * 3])
    pixels = palette + np.asarray(strip).tobytes()
    labels = bytes(classes.index(item["category"]) for item in emoji)
    files = {"emoji.palette.zlib": zlib.compress(pixels, 9), "emoji.labels.bin": labels}
    sidecar = {
        "name": "emoji",
        "shape": [len(emoji), 3, SIZE, SIZE],
        "layout": "zlib: 256 RGB colours, then one index per pixel (image, height, width); on white",
        "numClasses": len(classes),
        "classes": classes,
        "labels": "uint8, one for each image",
        "source": "Noto Emoji by Google, from the npm package emoji-datasource-google 16.0.0 (sheets/32.png)",
        "licence": "Apache-2.0 (images); see NOTICE",
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "emoji.json").write_text(json.dumps(sidecar, indent=2) + "\n")


def crop(sheet: Image.Image, column: int, row: int) -> np.ndarray:
    left, top = column * CELL + 1, row * CELL + 1
    return np.asarray(sheet.crop((left, top, left + SIZE, top + SIZE)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent)
