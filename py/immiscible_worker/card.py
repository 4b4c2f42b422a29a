"""The model card and the record in pipeline/: how to load and sample the model, and what it was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import msgspec

from .checkpoint import Origin
from .notice import describe_scale, is_coupled
from .protocol import (
    ArraysDataset,
    ConsistencyObjective,
    DatasetInfo,
    DdimObjective,
    FlowObjective,
    ObjectiveConfig,
    TrainConfig,
)
from .record import RECORD_FILE, write_record
from .sampler import pipeline_class, settings_of
from .sampling import ImmisciblePipeline, SamplerKind, Settings, sampler_of

_CARD = """---
library_name: diffusers
{tags}
---

# {name} with Immiscible Diffusion

{article} model of {channels} x {height} x {width} {images}, trained with
[immiscible](https://www.npmjs.com/package/immiscible) by the method of Li et al., *Immiscible Diffusion: Accelerating
Diffusion Training with Noise Assignment* (NeurIPS 2024, arXiv 2406.12303). The weights are the exponential moving
average.

{objective_text}

## Use

```python
{loading}
```

{loading_text}

## Training

| | |
|---|---|
| data | {name}, {num_images} images{held_out}, SHA-256 `{data_sha256}` |
| data options | {dataset} |
| objective | {objective} |
| assignment | {assignment} |
| classes | {classes} |
| network | {network} |
| batch | {batch_size} images |
| optimiser updates | {step} |
| learning rate | {learning_rate}, {warmup} warm-up steps |
| EMA decay | {decay} |
| seed | {seed} |
| run | `{run_id}` |
| config | `{config_hash}` |
| state | `{state_sha256}` |
{metrics}
## Limits

{limits}

`immiscible.json` holds the run, the assignment, the objective and the sampler for programs.
"""

_TAGS: dict[SamplerKind, str] = {"ddim": "ddim", "consistency": "consistency-models", "flow": "flow-matching"}

_LOAD = """from diffusers import {name}

pipeline = {name}.from_pretrained("path/to/this/folder")
images = pipeline(batch_size=16{options}).images"""

_LOAD_OURS = """from diffusers import DiffusionPipeline

# pipeline.py in this folder is the sampler; trust_remote_code lets diffusers import it.
pipeline = DiffusionPipeline.from_pretrained("path/to/this/folder", trust_remote_code=True)
images = pipeline(batch_size=16{options}).images"""

_DDPM = """Trained by the regression of DDPM (Ho et al., *Denoising Diffusion Probabilistic Models*, NeurIPS 2020,
arXiv 2006.11239){prediction}{weighting}, sampled by DDIM (Song et al., *Denoising Diffusion Implicit Models*, ICLR
2021, arXiv 2010.02502)."""
_VELOCITY = """ on the velocity v (Salimans & Ho, *Progressive Distillation for Fast Sampling of Diffusion Models*,
ICLR 2022, arXiv 2202.00512)"""
_MIN_SNR = """, weighted by min-SNR (Hang et al., *Efficient Diffusion Training via Min-SNR Weighting Strategy*,
ICCV 2023, arXiv 2303.09556)"""
_CONSISTENCY = {
    "original": "Trained by consistency training (Song et al., *Consistency Models*, ICML 2023, arXiv 2303.01469).",
    "improved": """Trained by improved consistency training (Song & Dhariwal, *Improved Techniques for Training
Consistency Models*, ICLR 2024, arXiv 2310.14189; Song et al., *Consistency Models*, ICML 2023, arXiv 2303.01469).""",
}
_FLOW = """Trained as a rectified flow: the network predicts noise - image at times from the image (0) to noise (1)
(Liu et al., *Flow Straight and Fast*, ICLR 2023, arXiv 2209.03003; Lipman et al., *Flow Matching for Generative
Modeling*, ICLR 2023, arXiv 2210.02747{logit_normal})."""
_LOGIT_NORMAL = "; logit-normal times: Esser et al., ICML 2024, arXiv 2403.03206"
_GUIDANCE = """Labels were left out for {share:.0%} of the images, so that classifier-free guidance (Ho & Salimans 2022,
arXiv 2207.12598) can be used: `guidance_scale=1` is none, `0` the unconditional model."""

_COUPLED = """Images were paired with nearby noise during training. Deterministic sampling (DDIM, eta = 0) fits that.
Stochastic samplers (DDPM, eta > 0) draw fresh noise at each step, which is independent of the image: use eta = 0."""
_INDEPENDENT = "Noise was drawn independently of the images, so any eta fits."
_ONE_STEP = """The model is trained for one step; a second may sharpen the image. In several steps fresh noise is
drawn{coupled}."""
_ONE_STEP_COUPLED = """, which is independent of the image, while images were paired with nearby noise during training:
one step fits that best"""
_SOLVERS = """Sampling is deterministic: an ordinary differential equation from noise to image, by Euler's method in
equal steps, or by `solver="dopri5"`, which chooses its steps to a tolerance of 1e-5 (`pip install torchdiffeq`)."""
_LATENTS = """Samples are latents, those of an autoencoder multiplied by {factor:g}. {how}"""
_DECODED = """The autoencoder in `vae/` decodes them; `output_type="latent"` gives them as they are."""
_UNDECODED = """A call gives them as a tensor [B, C, H, W]. Load the pipeline with `vae=` the AutoencoderKL that encoded
the data, and it gives images; or decode them by `vae.decode(latents / {factor:g}).sample`. The sample grids of the run
show the first channels, each image scaled to its own range: they are no pictures."""
_SMALL = "With {num_images:,} training images expect samples close to some of them."
_FEW_IMAGES = 10_000


def pipeline_files(
    config: TrainConfig,
    dataset: DatasetInfo,
    scheduler: Any,
    origin: Origin,
    step: int,
    state_sha256: str,
    network: Any,
    metrics: Mapping[str, float] | None = None,
) -> dict[str, bytes]:
    """What lies beside the weights, by file name. metrics: as `write_card`."""
    card = write_card(config, dataset, scheduler, origin, step, state_sha256, network, metrics)
    record = write_record(config, dataset, sampler_of(scheduler), origin, step, state_sha256)
    return {"README.md": card.encode(), RECORD_FILE: record}


def write_card(
    config: TrainConfig,
    dataset: DatasetInfo,
    scheduler: Any,
    origin: Origin,
    step: int,
    state_sha256: str,
    network: Any,
    metrics: Mapping[str, float] | None = None,
) -> str:
    """Markdown with the front matter that model hubs read.

    metrics: figures of the finished model by name, as a reader should see it ("held-out loss"); none leaves them out.
    """
    channels, height, width = dataset.image_shape
    sampler, is_conditional = sampler_of(scheduler), config.conditioning.class_labels
    settings, image_scale = settings_of(config.sampling), config.dataset.image_scale
    num_held_out = config.validation.num_images
    is_latent = dataset.scaling_factor is not None
    kind = pipeline_class(network, scheduler, settings, image_scale, is_latent=is_latent)
    is_ours = kind is ImmisciblePipeline
    loading = _LOAD_OURS if is_ours else _LOAD
    return _CARD.format(
        tags=_tags(sampler, is_conditional),
        name=dataset.name,
        article="A class-conditional" if is_conditional else "An unconditional",
        channels=channels,
        height=height,
        width=width,
        images="latents" if is_latent else "images",
        objective_text=describe_objective(config.objective, sampler),
        loading=loading.format(
            name=kind.__name__,
            options=_options(settings, sampler, is_ours),
        ),
        loading_text=_describe_calls(config, dataset, is_ours),
        num_images=dataset.num_images,
        held_out=f", {num_held_out} of them held out" if num_held_out else "",
        data_sha256=dataset.sha256,
        dataset=_as_given(config.dataset),
        objective=_as_given(config.objective),
        assignment=_as_given(config.assignment),
        classes=f"{dataset.num_classes}, label dropout {config.conditioning.label_dropout:g}"
        if is_conditional
        else "none",
        network=f"`{type(network).__name__}`, {sum(weight.numel() for weight in network.parameters()):,} weights",
        batch_size=config.global_batch_size,
        step=step,
        learning_rate=config.optimizer.learning_rate,
        warmup=config.optimizer.lr_warmup_steps,
        decay=config.ema.decay,
        seed=config.seed,
        run_id=origin.run_id,
        config_hash=origin.config_hash,
        state_sha256=state_sha256,
        metrics=_table(metrics or {}),
        limits="\n\n".join(_limits(config, dataset, scheduler)),
    )


def describe_objective(objective: ObjectiveConfig, sampler: SamplerKind) -> str:
    """What was trained, with the paper that it is from."""
    if isinstance(objective, DdimObjective):
        prediction = _VELOCITY if objective.prediction_type == "v_prediction" else ""
        return _DDPM.format(prediction=prediction, weighting="" if objective.snr_gamma is None else _MIN_SNR)
    if isinstance(objective, ConsistencyObjective):
        return _CONSISTENCY[objective.preset]
    if isinstance(objective, FlowObjective):
        return _FLOW.format(logit_normal=_LOGIT_NORMAL if objective.time_sampling == "logit_normal" else "")
    return f"Trained by an objective of the user's own, `{objective.module}`; its sampler is `{sampler}`."


def _tags(sampler: SamplerKind, is_conditional: bool) -> str:
    """The front matter. Hubs have a task for unconditional image models, and none for class-conditional ones."""
    task = [] if is_conditional else ["pipeline_tag: unconditional-image-generation"]
    tags = ["diffusers", _TAGS[sampler], "immiscible-diffusion", *(["class-conditional"] if is_conditional else [])]
    return "\n".join([*task, "tags:", *(f"- {tag}" for tag in tags)])


def _options(settings: Settings, sampler: SamplerKind, is_ours: bool) -> str:
    """The arguments of a call that draws as the run did. Ours has them as its defaults, but for the steps to show."""
    shown: dict[str, object] = {}
    if not (sampler == "flow" and settings.solver == "dopri5"):
        shown["num_inference_steps"] = settings.num_inference_steps
    if sampler == "ddim" and not is_ours:
        given = {"eta": settings.eta, "use_clipped_model_output": settings.use_clipped_model_output}
        shown |= {name: value for name, value in given.items() if value}
    return "".join(f", {name}={value!r}" for name, value in shown.items())


def _describe_calls(config: TrainConfig, dataset: DatasetInfo, is_ours: bool) -> str:
    """What a call takes besides, and what it is without."""
    if not is_ours:
        return "The call is diffusers' own."
    settings = settings_of(config.sampling)
    defaults = ", ".join(f"`{field.name}={getattr(settings, field.name)!r}`" for field in fields(Settings))
    texts = [f"What a call does not say is as the run sampled: {defaults}; what is of another sampler is not used."]
    if dataset.scaling_factor is not None:
        texts.append(_describe_latents(config, dataset.scaling_factor))
    if config.conditioning.class_labels:
        last = dataset.num_classes - 1
        texts.append(
            f"`class_labels`: one or several of 0..{last}, cycled over the batch; without, every class in turn."
        )
        share = config.conditioning.label_dropout
        texts += [_GUIDANCE.format(share=share)] if share > 0 else []
    return "\n\n".join(texts)


def _describe_latents(config: TrainConfig, factor: float) -> str:
    has_vae = isinstance(config.dataset, ArraysDataset) and config.dataset.vae is not None
    return _LATENTS.format(factor=factor, how=_DECODED if has_vae else _UNDECODED.format(factor=factor))


def _limits(config: TrainConfig, dataset: DatasetInfo, scheduler: Any) -> list[str]:
    sampler, coupled = sampler_of(scheduler), is_coupled(config.assignment)
    num_trained = dataset.num_images - config.validation.num_images
    fits = {
        "ddim": _COUPLED if coupled else _INDEPENDENT,
        "consistency": _ONE_STEP.format(coupled=_ONE_STEP_COUPLED if coupled else ""),
        "flow": _SOLVERS,
    }
    scaling = describe_scale(config.dataset.image_scale, scheduler)
    small = [_SMALL.format(num_images=num_trained)] if num_trained < _FEW_IMAGES else []
    return [fits[sampler], *([f"{scaling}."] if scaling else []), *small]


def _table(metrics: Mapping[str, float]) -> str:
    if not metrics:
        return ""
    rows = "".join(f"| {name} | {value:.6g} |\n" for name, value in metrics.items())
    return f"\n## Metrics\n\n| | |\n|---|---|\n{rows}"


def _as_given(section: Any) -> str:
    """A section of the config, its kind first, whatever its fields are called."""
    fields_: dict[str, Any] = msgspec.to_builtins(section)
    kind = fields_.pop("kind")
    return ", ".join(
        [f"`{kind}`", *(f"{name} `{msgspec.json.encode(value).decode()}`" for name, value in fields_.items())]
    )
