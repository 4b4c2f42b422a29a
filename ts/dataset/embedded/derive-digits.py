"""Derives the embedded digits from scikit-learn: derive-digits.py [FOLDER]. A test runs it and compares bytes."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

LEVELS = 16  # optdigits counts ink in 4x4 blocks of a 32x32 bitmap: 0..16


def main(folder: Path) -> None:
    data = load_digits()
    images = np.rint(data.images * (255 / LEVELS)).astype(np.uint8)[:, np.newaxis]
    labels = data.target.astype(np.uint8)
    files = {"digits.u8.bin": images.tobytes(), "digits.labels.bin": labels.tobytes()}
    sidecar = {
        "name": "digits",
        "shape": list(images.shape),
        "layout": "image, channel, height, width; uint8; round(v * 255 / 16)",
        "numClasses": 10,
        "labels": "uint8, one for each image",
        "source": "E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits (test set), "
        "UCI Machine Learning Repository, https://doi.org/10.24432/C50P49; as in sklearn.datasets.load_digits",
        "licence": "CC BY 4.0 (data), BSD-3-Clause (scikit-learn); see NOTICE",
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "digits.json").write_text(json.dumps(sidecar, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
