"""diffusers' AutoencoderKL from a local folder: never from a hub, never a pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL

WEIGHTS = "diffusion_pytorch_model.safetensors"


def load_autoencoder(folder: Path) -> Any:
    """In eval mode on the CPU, without gradients.

    Raises ValueError for a folder that is none, another class, or latents that need more than a factor.
    """
    if not (folder / "config.json").is_file() or not (folder / WEIGHTS).is_file():
        raise ValueError(f"expected a local folder with config.json and {WEIGHTS}, got {folder}")
    config = json.loads((folder / "config.json").read_text())
    if config.get("_class_name") != AutoencoderKL.__name__:
        raise ValueError(f"{folder}: expected an AutoencoderKL, got {config.get('_class_name')}")
    for name in ("shift_factor", "latents_mean", "latents_std"):
        if config.get(name) is not None:
            raise ValueError(f"{folder}: expected latents with a scaling factor alone, got {name} as well")
    try:
        vae: Any = AutoencoderKL.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    except Exception as error:
        raise ValueError(f"{folder}: expected an AutoencoderKL that diffusers loads: {error}") from error
    return vae.eval().requires_grad_(False)
