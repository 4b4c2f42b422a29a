"""The model card and the record in pipeline/: how to load and sample the model, and what it was trained with."""

from __future__ import annotations

from typing import Any

import msgspec
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from .checkpoint import Origin
from .notice import describe_scale, is_coupled
from .protocol import DatasetInfo, TrainConfig
from .record import RECORD_FILE, write_record

_CARD = """---
library_name: diffusers
pipeline_tag: unconditional-image-generation
tags:
- diffusers
- ddim
- immiscible-diffusion
---

# {name} with Immiscible Diffusion

An unconditional diffusion model of {channels} x {height} x {width} images, trained with
[immiscible](https://www.npmjs.com/package/immiscible) by the method of Li et al., *Immiscible Diffusion: Accelerating
Diffusion Training with Noise Assignment* (NeurIPS 2024, arXiv 2406.12303). The weights are the exponential moving
average.

```python
{loading}
```

| | |
|---|---|
| data | {name}, {num_images} images, SHA-256 `{data_sha256}` |
| data options | {dataset} |
| objective | {objective} |
| assignment | {assignment} |
| batch | {batch_size} images |
| optimiser updates | {step} |
| learning rate | {learning_rate}, {warmup} warm-up steps |
| EMA decay | {decay} |
| seed | {seed} |
| run | `{run_id}` |
| config | `{config_hash}` |
| state | `{state_sha256}` |

{notes}

`immiscible.json` holds the run, the assignment and the objective for programs.
"""

_LOAD = """from diffusers import DDIMPipeline

images = DDIMPipeline.from_pretrained("path/to/this/folder")(batch_size=16, num_inference_steps={steps}).images"""

_LOAD_SCALED = """from diffusers import DiffusionPipeline

# pipeline.py in this folder divides the samples by imageScale; trust_remote_code lets diffusers import it.
pipeline = DiffusionPipeline.from_pretrained("path/to/this/folder", trust_remote_code=True)
images = pipeline(batch_size=16, num_inference_steps={steps}).images"""

_COUPLED = """Images were paired with nearby noise during training. Deterministic sampling (DDIM, eta = 0) fits that.
Stochastic samplers (DDPM, eta > 0) draw fresh noise at each step, which is independent of the image: use eta = 0."""
_INDEPENDENT = "Noise was drawn independently of the images, so any eta fits."


def pipeline_files(
    config: TrainConfig, dataset: DatasetInfo, scheduler: DDIMScheduler, origin: Origin, step: int, state_sha256: str
) -> dict[str, bytes]:
    """What lies beside the weights, by file name."""
    card = write_card(config, dataset, scheduler, origin, step, state_sha256)
    record = write_record(config, origin.run_id, origin.config_hash, step, state_sha256)
    return {"README.md": card.encode(), RECORD_FILE: record}


def write_card(
    config: TrainConfig, dataset: DatasetInfo, scheduler: DDIMScheduler, origin: Origin, step: int, state_sha256: str
) -> str:
    """Markdown with the front matter that model hubs read."""
    channels, height, width = dataset.image_shape
    image_scale = config.dataset.image_scale
    scaling = describe_scale(image_scale, scheduler)
    notes = [_COUPLED if is_coupled(config.assignment) else _INDEPENDENT, *([f"{scaling}."] if scaling else [])]
    return _CARD.format(
        name=dataset.name,
        channels=channels,
        height=height,
        width=width,
        loading=(_LOAD if image_scale == 1 else _LOAD_SCALED).format(steps=config.sampling.num_inference_steps),
        num_images=dataset.num_images,
        data_sha256=dataset.sha256,
        dataset=_as_given(config.dataset),
        objective=_as_given(config.objective),
        assignment=_as_given(config.assignment),
        batch_size=config.global_batch_size,
        step=step,
        learning_rate=config.optimizer.learning_rate,
        warmup=config.optimizer.lr_warmup_steps,
        decay=config.ema.decay,
        seed=config.seed,
        run_id=origin.run_id,
        config_hash=origin.config_hash,
        state_sha256=state_sha256,
        notes="\n\n".join(notes),
    )


def _as_given(section: Any) -> str:
    """A section of the config, its kind first, whatever its fields are called."""
    fields: dict[str, Any] = msgspec.to_builtins(section)
    kind = fields.pop("kind")
    return ", ".join(
        [f"`{kind}`", *(f"{name} `{msgspec.json.encode(value).decode()}`" for name, value in fields.items())]
    )
