"""The table of docs/networks.md: `PYTHONPATH=py python test/py/preset_table.py`."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import torch

from immiscible_worker.network import build_unet
from immiscible_worker.protocol import UnetNetwork

DEFAULTS = Path(__file__).parents[2] / "protocol" / "golden" / "defaults.json"
# Channels and side of the images that a preset is for.
IMAGES = {"tiny": (1, 8), "consistency-64": (3, 64)}


def preset_table() -> str:
    """Markdown, a row for each preset; parameters of a network without classes."""
    rows = ["| preset | images | channels | layers | attention at | parameters |", "|---|---|---|---|---|---|"]
    sections = json.loads(DEFAULTS.read_text())["network"]
    for section in (value for value in sections.values() if value["kind"] == "unet"):
        config = msgspec.convert(section, UnetNetwork)
        channels, side = IMAGES.get(config.preset, (3, 32))
        with torch.device("meta"):
            network = build_unet(config, (channels, side, side), 0)
        count = sum(parameter.numel() for parameter in network.parameters())
        levels = [level for level, kind in enumerate(config.down_block_types) if kind.startswith("Attn")]
        sides = sorted({side >> level for level in [*levels, len(config.block_out_channels) - 1]}, reverse=True)
        plan = ", ".join(map(str, config.block_out_channels))
        cells = [f"`{config.preset}`", f"{channels} x {side} x {side}", plan, str(config.layers_per_block)]
        rows.append(f"| {' | '.join([*cells, ', '.join(map(str, sides)), f'{count:,}'])} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(preset_table())
