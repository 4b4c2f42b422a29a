"""torchcfm, the flow matching library that ours is compared with."""

from __future__ import annotations

import importlib
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

_REQUIREMENT = "torchcfm==1.0.7"


@cache
def torchcfm() -> Any:
    """The package, installed beside the environment when it is first asked for.

    Without what it requires: a hundred packages, of which its flow matchers import torch and POT alone.
    """
    folder = Path(sys.prefix) / "immiscible-reference" / _REQUIREMENT
    if not (folder / "torchcfm").is_dir():
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--target", str(folder)]
        subprocess.run([sys.executable, "-m", "pip", "install", *options, _REQUIREMENT], check=True)
    sys.path.append(str(folder))
    return importlib.import_module("torchcfm.conditional_flow_matching")
