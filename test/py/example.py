"""A small complete config, and the digits as the orchestrator sends them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from immiscible_worker.protocol import DatasetInfo, TrainConfig

_DEFAULTS = json.loads((Path(__file__).parents[2] / "protocol" / "golden" / "defaults.json").read_text())
SCALING_FACTOR = 0.18215
_PRESETS = {"consistency": "improved"}

_CONFIG: dict[str, Any] = {
    "dataset": _DEFAULTS["dataset"]["digits"],
    "objective": {
        "kind": "ddim",
        "predictionType": "epsilon",
        "numTrainTimesteps": 1000,
        "betaSchedule": "linear",
        "betaStart": 0.0001,
        "betaEnd": 0.02,
        "snrGamma": None,
    },
    "assignment": {"kind": "independent", "poolSize": 16},
    "network": {
        "kind": "unet",
        "preset": "tiny",
        "blockOutChannels": [8, 16],
        "layersPerBlock": 1,
        "downBlockTypes": ["DownBlock2D", "AttnDownBlock2D"],
        "upBlockTypes": ["AttnUpBlock2D", "UpBlock2D"],
        "attentionHeadDim": 8,
        "normNumGroups": 4,
        "attnNormNumGroups": None,
        "normEps": 1e-5,
        "downsampleType": "conv",
        "upsampleType": "conv",
        "downsamplePadding": 1,
        "flipSinToCos": True,
        "freqShift": 0,
        "resnetTimeScaleShift": "default",
        "dropout": 0.1,
    },
    "optimizer": {
        "kind": "adamw",
        "learningRate": 0.001,
        "lrScheduler": "constant_with_warmup",
        "lrWarmupSteps": 10,
        "lrDecaySteps": None,
        "lrNumCycles": 1,
        "lrPower": 1,
        "adamBeta1": 0.9,
        "adamBeta2": 0.999,
        "adamWeightDecay": 0.0001,
        "adamEpsilon": 1e-8,
        "maxGradNorm": 1,
    },
    "ema": {"decay": 0.999, "minDecay": 0, "useEmaWarmup": False, "invGamma": 1, "power": 0.6666666666666666},
    "conditioning": {"classLabels": False, "labelDropout": 0.1},
    "training": {
        "mixedPrecision": "no",
        "gradientAccumulationSteps": 1,
        "gradientCheckpointing": False,
        "torchCompile": False,
        "allowTf32": False,
        "deterministic": True,
    },
    "validation": {"numImages": 0, "everySteps": 500},
    "sampling": {
        "everySteps": 0,
        "numImages": 4,
        "numInferenceSteps": 3,
        "seed": 0,
        "eta": 0,
        "timestepSpacing": "leading",
        "useClippedModelOutput": False,
        "solver": "euler",
        "guidanceScale": 1,
    },
    "evaluation": {
        "everySteps": 0,
        "numImages": 16,
        "numInferenceSteps": [],
        "seed": 0,
        "numBootstrap": 0,
        "inception": None,
    },
    "gate": {"everySteps": 100},
    "checkpoint": {"everySteps": 5, "totalLimit": 2},
    "tracking": {"reportTo": []},
    "worker": {
        "device": "cpu",
        "numThreads": 1,
        "startSeconds": 60,
        "leaseSeconds": 20,
        "stepSeconds": 60,
        "maxRestarts": 0,
        "listen": None,
    },
    "pipeline": {
        "byteBudget": 1000000,
        "datasetBytes": 0,
        "credits": 2,
        "threads": 0,
        "poolSeconds": 600,
        "noiseDtype": "float16",
    },
    "globalBatchSize": 16,
    "maxTrainSteps": 8,
    "seed": 7,
    "outputDir": "unused",
}


def make_config(**sections: Any) -> TrainConfig:
    """The small config with some fields replaced, named as on the wire: `make_config(seed=1, ema={"decay": 0})`.

    A section of another kind or preset than the small config's begins from that one's defaults, as the orchestrator has
    them: `make_config(objective={"kind": "flow"})`, `make_config(network={"preset": "ddpm-cifar10"})`.
    """
    merged: dict[str, Any] = {}
    for name, value in _CONFIG.items():
        given = sections.pop(name, None)
        merged[name] = value if given is None else {**_base(name, given), **given} if isinstance(given, dict) else given
    assert not sections, f"no such fields: {sections}"
    if merged["objective"]["kind"] == "consistency":
        merged["objective"] = {"discretizationSteps": merged["maxTrainSteps"], **merged["objective"]}
    return msgspec.convert(merged, TrainConfig)


def _base(section: str, given: dict[str, Any]) -> dict[str, Any]:
    """What is complete of a section where a test gives only some fields."""
    small = _CONFIG[section]
    if section not in _DEFAULTS:
        return small
    kind = given.get("kind", small["kind"])
    preset = given.get("preset", small.get("preset") if kind == small["kind"] else _PRESETS.get(kind))
    if (kind, preset) == (small["kind"], small.get("preset")):
        return small
    complete = dict(_DEFAULTS[section][kind if preset is None else f"{kind}/{preset}"])
    complete.pop("discretizationSteps", None)
    return complete


def make_dataset(images: np.ndarray[Any, Any]) -> DatasetInfo:
    """What the orchestrator would say of these images: pixels where they are uint8, else latents."""
    dtype, scaling_factor = ("uint8", None) if images.dtype == np.uint8 else ("float32", SCALING_FACTOR)
    return DatasetInfo("digits", "d" * 64, len(images), list(images.shape[1:]), 10, dtype, scaling_factor)


def latents() -> np.ndarray[Any, Any]:
    """float32 [200, 4, 8, 8]: spread as Stable Diffusion's, far beyond [-1, 1]."""
    return np.random.default_rng(5).normal(0, 1.5, (200, 4, 8, 8)).astype(np.float32)


@cache
def digits() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Images uint8 [1797, 1, 8, 8] and labels int32 [1797]."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = np.round(np.asarray(images) * 255 / 16).astype(np.uint8)
    return pixels.reshape(-1, 1, 8, 8), np.asarray(labels, np.int32)
