"""The samplers of every objective, and the diffusers pipeline that draws with them from a folder that holds this file.

This file is copied as `pipeline.py` beside the weights that no pipeline of diffusers' own would draw rightly from, so
it needs torch and diffusers alone, and torchdiffeq for the dopri5 solver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from diffusers import (
    CMStochasticIterativeScheduler,
    DDIMScheduler,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    ImagePipelineOutput,
)
from diffusers.utils.torch_utils import randn_tensor

SamplerKind = Literal["ddim", "consistency", "flow"]
SPACINGS = ("leading", "linspace", "trailing", "quadratic")
SOLVERS = ("euler", "dopri5")
_KINDS: dict[str, SamplerKind] = {
    "DDIMScheduler": "ddim",
    "DDPMScheduler": "ddim",
    "CMStochasticIterativeScheduler": "consistency",
    "FlowMatchEulerDiscreteScheduler": "flow",
}
_CHUNK = 256
_DECODED = 4
_TOLERANCE = 1e-5

Predict = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""The network's guided answer to float32 [B, C, H, W] at one timestep (a scalar), same shape, float32."""
Watch = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Settings:
    """How to sample. Each sampler reads its own: eta, timestep_spacing, use_clipped_model_output are of ddim.

    num_inference_steps: calls of the network for each image (twice that with guidance); dopri5 chooses by itself.
    eta: 0 is DDIM, 1 DDPM. timestep_spacing: leading, linspace, trailing as diffusers has them (it assumes gaps of
    T // S, so let S divide T), or quadratic. solver: of flow, euler or dopri5. guidance_scale: 1 is none, 0 the
    unconditional model.
    """

    num_inference_steps: int = 50
    eta: float = 0.0
    timestep_spacing: str = "leading"
    use_clipped_model_output: bool = False
    solver: str = "euler"
    guidance_scale: float = 1.0


def sampler_of(scheduler: Any) -> SamplerKind:
    """Which sampler a scheduler of diffusers is for. Raises ValueError where it is none of the samplers here."""
    for kind in type(scheduler).__mro__:
        if kind.__name__ in _KINDS:
            return _KINDS[kind.__name__]
    raise ValueError(f"scheduler: expected one of {', '.join(_KINDS)}, got {type(scheduler).__name__}")


def choose(defaults: Settings, scheduler: Any, **given: Any) -> Settings:
    """`defaults` with the fields that are given and not None. Raises ValueError for one that does not fit."""
    asked = {name: value for name, value in given.items() if value is not None}
    sampler = sampler_of(scheduler)
    owners = {"eta": "ddim", "timestep_spacing": "ddim", "use_clipped_model_output": "ddim", "solver": "flow"}
    for name, owner in owners.items():
        if asked.get(name) and sampler != owner:
            raise ValueError(
                f"{_say(name)}: only the {owner} sampler has it, this model's is {sampler}; got {asked[name]}"
            )
    chosen = replace(defaults, **asked)
    steps, spacing = chosen.num_inference_steps, chosen.timestep_spacing
    limit = float("inf") if sampler == "flow" else scheduler.config.num_train_timesteps
    _expect(spacing in SPACINGS, "timestep_spacing", f"one of {', '.join(SPACINGS)}", spacing)
    _expect(chosen.solver in SOLVERS, "solver", f"one of {', '.join(SOLVERS)}", chosen.solver)
    _expect(0 <= chosen.eta <= 1, "eta", "0..1", chosen.eta)
    _expect(chosen.guidance_scale >= 0, "guidance_scale", "at least 0", chosen.guidance_scale)
    _expect(1 <= steps <= limit, "num_inference_steps", f"1..{limit}", steps)
    if sampler == "ddim" and spacing in ("linspace", "quadratic"):
        _expect(
            steps > 1, "num_inference_steps", f"2 or more with '{spacing}', whose one step would be the last", steps
        )
    is_free = sampler != "flow" or chosen.solver == "euler" or "num_inference_steps" not in asked
    _expect(is_free, "num_inference_steps", "none with dopri5, which chooses its steps by itself", steps)
    return chosen


def labels_of(network: Any, class_labels: int | Sequence[int] | torch.Tensor | None, num_images: int) -> Any:
    """One label for each image, int64 [B] in 0..num_classes-1, or None where the network takes none.

    class_labels: one or several, cycled over the images; None: every class in turn. The network's config says
    num_class_embeds: the classes and, last, "none". Raises ValueError where they do not fit.
    """
    num_class_embeds = getattr(network.config, "num_class_embeds", None)
    if num_class_embeds is None:
        _expect(class_labels is None, "class_labels", "none, since the model is unconditional", class_labels)
        return None
    if class_labels is None:
        class_labels = range(min(num_class_embeds - 1, num_images))
    labels = torch.as_tensor(class_labels, dtype=torch.int64).flatten().cpu()
    last = num_class_embeds - 2
    listed = labels.tolist()
    is_known = 0 < len(listed) <= num_images and min(listed) >= 0 and max(listed) <= last
    _expect(is_known, "class_labels", f"1..{num_images} of them, one for an image at most, each in 0..{last}", listed)
    return labels.repeat(-(-num_images // len(labels)))[:num_images]


def sample_shape(network: Any, num_images: int) -> tuple[int, int, int, int]:
    """Of what a network is called with: B, C, H, W."""
    size = network.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    return num_images, network.config.in_channels, height, width


def _say(name: str) -> str:
    """A field as prose, since a shell, JSON and Python each spell it otherwise."""
    return {"num_inference_steps": "number of inference steps"}.get(name, name.replace("_", " "))


def _expect(holds: bool, name: str, expected: str, got: object) -> None:
    if not holds:
        raise ValueError(f"{_say(name)}: expected {expected}, got {got}")


@torch.no_grad()
def draw(
    network: Any,
    scheduler: Any,
    settings: Settings,
    num_images: int,
    *,
    class_labels: int | Sequence[int] | torch.Tensor | None = None,
    generator: torch.Generator | None = None,
    image_scale: float = 1.0,
    is_latent: bool = False,
    device: torch.device | None = None,
    watch: Watch = iter,
) -> torch.Tensor:
    """Images from noise: float32 [B, C, H, W] on `device` (default: the network's), about [-1, 1].

    All noise is drawn for the whole batch at once, so that it does not depend on how many images the network sees at a
    time. The scheduler is not changed. image_scale: what the training multiplied images by. is_latent: clip nothing.
    """
    parameter = next(network.parameters())
    device = device or parameter.device
    noise = partial(randn_tensor, sample_shape(network, num_images), generator, device, torch.float32)
    labels = labels_of(network, class_labels, num_images)
    predict = guide(network, None if labels is None else labels.to(device), settings.guidance_scale, parameter.dtype)
    sampler = sampler_of(scheduler)
    if sampler == "ddim":
        steps = DDIMScheduler.from_config(scheduler.config, clip_sample=False) if is_latent else scheduler
        images = _sample_ddim(predict, steps, settings, noise, watch)
    elif sampler == "consistency":
        limit = None if is_latent else image_scale
        images = _sample_consistency(predict, scheduler, settings.num_inference_steps, noise, limit, watch)
    elif settings.solver == "dopri5":
        images = _solve_flow(predict, scheduler, noise())
    else:
        images = _sample_flow(predict, scheduler, settings.num_inference_steps, noise(), watch)
    return images / image_scale


def guide(network: Any, labels: torch.Tensor | None, guidance_scale: float, dtype: torch.dtype) -> Predict:
    """Classifier-free guidance (Ho & Salimans 2022) of the network's output: none + w (label - none).

    w = 1 and w = 0 take one call, anything else two. On the output of a consistency model this is guidance of the
    model, which is affine in it: c_skip x + c_out F.
    """
    if labels is None and guidance_scale != 1:
        raise ValueError(f"guidance scale: expected 1, since the model is unconditional, got {guidance_scale}")

    def answer(images: torch.Tensor, timestep: torch.Tensor, classes: torch.Tensor | None) -> torch.Tensor:
        parts: list[torch.Tensor] = []
        for first in range(0, len(images), _CHUNK):
            rows = slice(first, first + _CHUNK)
            sample = images[rows].to(dtype)
            times = timestep.to(images.device).expand(len(sample))
            parts.append(network(sample, times, None if classes is None else classes[rows]).sample.to(torch.float32))
        return torch.cat(parts)

    def predict(images: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        # float64 is more than the network's embedding of the time keeps, and more than some devices have.
        timestep = timestep.to(torch.float32) if timestep.is_floating_point() else timestep
        if labels is None or guidance_scale == 1:
            return answer(images, timestep, labels)
        none = answer(images, timestep, torch.full_like(labels, network.config.num_class_embeds - 1))
        if guidance_scale == 0:
            return none
        return none + guidance_scale * (answer(images, timestep, labels) - none)

    return predict


def _sample_ddim(
    predict: Predict, scheduler: Any, settings: Settings, noise: Callable[[], torch.Tensor], watch: Watch
) -> torch.Tensor:
    """DDIM (Song et al. 2021): diffusers' steps where its spacing is diffusers' own."""
    images, eta = noise(), settings.eta
    if settings.timestep_spacing == "quadratic":
        steps = cast(Any, DDIMScheduler.from_config(scheduler.config))
        timesteps = quadratic_timesteps(steps.config.num_train_timesteps, settings.num_inference_steps)
        for t, previous in watch(list(zip(timesteps, [*timesteps[1:], -1], strict=True))):
            output = predict(images, torch.tensor(t))
            fresh = noise() if eta > 0 else None
            images = ddim_update(steps, output, t, previous, images, eta, settings.use_clipped_model_output, fresh)
        return images
    steps = cast(Any, DDIMScheduler.from_config(scheduler.config, timestep_spacing=settings.timestep_spacing))
    steps.set_timesteps(settings.num_inference_steps)
    options: dict[str, Any] = {"eta": eta, "use_clipped_model_output": settings.use_clipped_model_output}
    for timestep in watch(steps.timesteps):
        output = predict(images, timestep)
        added = {"variance_noise": noise()} if eta > 0 else {}
        images = steps.step(output, timestep, images, **options, **added).prev_sample
    return images


def quadratic_timesteps(num_train_timesteps: int, num_inference_steps: int) -> list[int]:
    """floor((i / (S - 1))^2 0.8 T), from the last to 0: as the code of Song et al. 2021 and ddpm-torch have it.

    With many steps the lowest timesteps repeat, as they do there.
    """
    roots = np.linspace(0, np.sqrt(num_train_timesteps * 0.8), num_inference_steps)
    return [int(t) for t in (roots**2).astype(int)[::-1]]


def ddim_update(
    scheduler: Any,
    output: torch.Tensor,
    t: int,
    previous: int,
    images: torch.Tensor,
    eta: float,
    use_clipped_model_output: bool,
    noise: torch.Tensor | None,
) -> torch.Tensor:
    """x at `previous` from x at t (Song et al. 2021, eq. 12, with sigma of eq. 16), for any two timesteps.

    diffusers' step() knows but equal gaps. previous: -1 is the image. noise: the fresh noise where eta is above 0.
    """
    config = scheduler.config
    a, end = scheduler.alphas_cumprod[t], scheduler.final_alpha_cumprod
    a_previous = scheduler.alphas_cumprod[previous] if previous >= 0 else end
    if config.prediction_type == "epsilon":
        image, epsilon = (images - (1 - a) ** 0.5 * output) / a**0.5, output
    elif config.prediction_type == "v_prediction":
        image, epsilon = a**0.5 * images - (1 - a) ** 0.5 * output, a**0.5 * output + (1 - a) ** 0.5 * images
    else:
        raise ValueError(f"prediction type: expected epsilon or v_prediction, got {config.prediction_type}")
    if config.clip_sample:
        image = image.clamp(-config.clip_sample_range, config.clip_sample_range)
    if use_clipped_model_output:
        epsilon = (images - a**0.5 * image) / (1 - a) ** 0.5
    sigma = eta * ((1 - a_previous) / (1 - a) * (1 - a / a_previous)) ** 0.5
    moved = a_previous**0.5 * image + (1 - a_previous - sigma**2) ** 0.5 * epsilon
    return moved if noise is None else moved + sigma * noise


def _sample_consistency(
    predict: Predict,
    scheduler: Any,
    num_inference_steps: int,
    noise: Callable[[], torch.Tensor],
    limit: float | None,
    watch: Watch,
) -> torch.Tensor:
    """Multistep consistency sampling (Song et al. 2023, Algorithm 1) at the levels of the scheduler.

    The bits are those of ConsistencyModelPipeline, but for two things: images are clipped to `limit`, their range, and
    after the last of several steps sigma^2 - sigma_min^2, zero but for rounding, is never below it (there it is NaN).
    """
    steps = cast(Any, CMStochasticIterativeScheduler.from_config(scheduler.config))
    config = steps.config
    steps.set_timesteps(num_inference_steps)
    images = noise() * steps.init_noise_sigma
    for at, timestep in enumerate(watch(steps.timesteps)):
        sigma, following = steps.sigmas[at], steps.sigmas[at + 1]
        output = predict(images / (sigma**2 + config.sigma_data**2) ** 0.5, timestep)
        c_skip, c_out = steps.get_scalings_for_boundary_condition(sigma)
        denoised = c_out * output + c_skip * images
        if limit is not None and (config.clip_denoised or limit != 1):
            denoised = denoised.clamp(-limit, limit)
        if num_inference_steps == 1:
            return denoised
        spread = following.clamp(min=config.sigma_min, max=config.sigma_max) ** 2 - config.sigma_min**2
        images = denoised + noise() * config.s_noise * spread.clamp(min=0) ** 0.5
    return images


def _sample_flow(
    predict: Predict, scheduler: Any, num_inference_steps: int, images: torch.Tensor, watch: Watch
) -> torch.Tensor:
    """Euler's method from noise at t = 1 to images at t = 0, in equal steps of t where the scheduler has no shift."""
    steps = cast(Any, FlowMatchEulerDiscreteScheduler.from_config(scheduler.config))
    steps.set_timesteps(sigmas=np.linspace(1, 1 / num_inference_steps, num_inference_steps).tolist())
    for timestep in watch(steps.timesteps):
        images = steps.step(predict(images, timestep), timestep, images).prev_sample
    return images


def _solve_flow(predict: Predict, scheduler: Any, images: torch.Tensor) -> torch.Tensor:
    """dx/dt = v(x, t) from t = 1 to 0 by the Dormand-Prince 5(4) pair, rtol = atol = 1e-5.

    The tolerance is of a step, not of the result. All images take the same steps, which depend on all of them.
    """
    from torchdiffeq import odeint  # here, since no other sampler needs it

    num_train_timesteps = scheduler.config.num_train_timesteps

    def velocity(t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return predict(x, t * num_train_timesteps)

    times = torch.tensor([1.0, 0.0], device=images.device)
    options = {"dtype": torch.float32} if images.device.type == "mps" else {}
    path = odeint(velocity, images, times, rtol=_TOLERANCE, atol=_TOLERANCE, method="dopri5", options=options)
    return cast(torch.Tensor, path)[-1]


def decode(vae: Any, latents: torch.Tensor, scaling_factor: float) -> torch.Tensor:
    """Images, float32 [B, C, H, W] about [-1, 1], by an AutoencoderKL whose latents were multiplied by the factor."""
    parts = (latents / scaling_factor).to(vae.device, vae.dtype).split(_DECODED)
    return torch.cat([vae.decode(part).sample for part in parts]).float()


class ImmisciblePipeline(DiffusionPipeline):
    """Samples a network by the sampler of its scheduler. What a call does not say is as the folder's settings have it.

    image_scale: what the training multiplied images by. scaling_factor: of a model of latents. The others: `Settings`.
    """

    model_cpu_offload_seq = "unet->vae"
    _optional_components: ClassVar = ["vae"]

    def __init__(
        self,
        unet: Any,
        scheduler: Any,
        vae: Any = None,
        image_scale: float = 1.0,
        scaling_factor: float | None = None,
        num_inference_steps: int = 50,
        eta: float = 0.0,
        timestep_spacing: str = "leading",
        use_clipped_model_output: bool = False,
        solver: str = "euler",
        guidance_scale: float = 1.0,
    ) -> None:
        super().__init__()
        cast(Any, self).register_modules(unet=unet, scheduler=scheduler, vae=vae)
        settings = Settings(
            num_inference_steps, float(eta), timestep_spacing, use_clipped_model_output, solver, float(guidance_scale)
        )
        self.register_to_config(image_scale=float(image_scale), scaling_factor=scaling_factor, **asdict(settings))

    @torch.no_grad()
    def __call__(
        self,
        batch_size: int = 1,
        class_labels: int | Sequence[int] | torch.Tensor | None = None,
        guidance_scale: float | None = None,
        num_inference_steps: int | None = None,
        eta: float | None = None,
        timestep_spacing: str | None = None,
        use_clipped_model_output: bool | None = None,
        solver: str | None = None,
        generator: torch.Generator | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> Any:
        """Images. class_labels: cycled over the batch; None: every class in turn. Raises ValueError for a bad option.

        output_type: "pil", "np" (float [B, H, W, C] in [0, 1]) or "pt" ([B, C, H, W]). A model of latents without a
        vae, or asked for "latent", answers latents [B, C, H, W].
        """
        mixins = cast(Any, self)  # diffusers' decorators hide the types of what it inherits
        given = (num_inference_steps, eta, timestep_spacing, use_clipped_model_output, solver, guidance_scale)
        names = [field.name for field in fields(Settings)]
        defaults = Settings(**{name: mixins.config[name] for name in names})
        settings = choose(defaults, mixins.scheduler, **dict(zip(names, given, strict=True)))
        options: dict[str, Any] = {"class_labels": class_labels, "generator": generator, "watch": mixins.progress_bar}
        options |= {"image_scale": mixins.config.image_scale, "is_latent": mixins.config.scaling_factor is not None}
        options["device"] = mixins._execution_device
        images = draw(mixins.unet, mixins.scheduler, settings, batch_size, **options)
        factor, drawn = mixins.config.scaling_factor, cast(Any, images)
        if factor is None or (mixins.vae is not None and output_type != "latent"):
            pictures = images if factor is None else decode(mixins.vae, images, factor)
            drawn = (pictures / 2 + 0.5).clamp(0, 1)
            if output_type != "pt":
                drawn = drawn.cpu().permute(0, 2, 3, 1).numpy()
                drawn = self.numpy_to_pil(drawn) if output_type == "pil" else drawn
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=cast(Any, drawn)) if return_dict else (drawn,)
