"""The model card in pipeline/: how to load the model, and what it was trained with."""

from __future__ import annotations

from .protocol import DatasetInfo, TrainConfig

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
from diffusers import DDIMPipeline

images = DDIMPipeline.from_pretrained("path/to/this/folder")(batch_size=16, num_inference_steps={steps}).images
```

| | |
|---|---|
| data | {name}, {num_images} images, SHA-256 `{data_sha256}` |
| assignment | `{assignment}`, pool of {pool_size} images |
| batch | {batch_size} images |
| optimiser updates | {step} |
| learning rate | {learning_rate}, {warmup} warm-up steps |
| EMA decay | {decay} |
| seed | {seed} |
| config | `{config_hash}` |
| state | `{state_sha256}` |

Images were paired with nearby noise during training. Deterministic sampling (DDIM with eta = 0) fits that; stochastic
samplers (DDPM, eta > 0) assume independent noise.
"""


def write_card(config: TrainConfig, dataset: DatasetInfo, config_hash: str, step: int, state_sha256: str) -> str:
    """Markdown with the front matter that model hubs read."""
    channels, height, width = dataset.image_shape
    return _CARD.format(
        name=dataset.name,
        channels=channels,
        height=height,
        width=width,
        steps=config.sampling.num_inference_steps,
        num_images=dataset.num_images,
        data_sha256=dataset.sha256,
        assignment=type(config.assignment).__struct_config__.tag,
        pool_size=config.assignment.pool_size,
        batch_size=config.global_batch_size,
        step=step,
        learning_rate=config.optimizer.learning_rate,
        warmup=config.optimizer.lr_warmup_steps,
        decay=config.ema.decay,
        seed=config.seed,
        config_hash=config_hash,
        state_sha256=state_sha256,
    )
