"""Samples of a network, grids of them, and the pipeline folder that diffusers loads."""

from __future__ import annotations

import io
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import ConsistencyModelPipeline, DDIMPipeline, DDIMScheduler, ModelMixin, UNet2DModel
from PIL import Image

from . import sampling
from .errors import ConfigError, UsageError
from .files import TEMPORARY_PREFIX, remove_tree, replace_durably, replace_folder, sync_tree, write_durably
from .latents import Latents
from .protocol import SamplingConfig
from .sampling import ImmisciblePipeline, Settings, choose, draw, sampler_of
from .user_module import has_network_source, load_network_class, save_network_source

_GRID_CELL_PIXELS = 48
_GRID_GAP_PIXELS = 2


def settings_of(config: SamplingConfig) -> Settings:
    """The settings in a section of the config."""
    return Settings(**{field.name: getattr(config, field.name) for field in fields(Settings)})


def check_settings(config: SamplingConfig, scheduler: Any) -> None:
    """Raises ConfigError where a section of the config asks what the sampler of this scheduler does not have.

    For the objectives that we know the orchestrator has refused it before; that of a user's own is known here first.
    """
    plain = Settings()
    asked = {name: value for name, value in asdict(settings_of(config)).items() if value != getattr(plain, name)}
    if config.solver == "dopri5":
        asked.pop("num_inference_steps", None)
    try:
        choose(plain, scheduler, **asked)
    except ValueError as error:
        raise ConfigError("SAMPLING", f"sampling: {error}") from error


def default_settings(scheduler: Any) -> Settings:
    """The settings for a pipeline of which nothing is known but its scheduler."""
    if sampler_of(scheduler) == "consistency":
        return Settings(num_inference_steps=1)
    return Settings(timestep_spacing=scheduler.config.get("timestep_spacing", "leading"))


def sample(
    network: torch.nn.Module,
    scheduler: Any,
    num_images: int,
    settings: Settings,
    seed: int,
    *,
    class_labels: Sequence[int] | None = None,
    image_scale: float = 1.0,
    is_latent: bool = False,
) -> torch.Tensor:
    """Images from noise: float32 [B, C, H, W] on the CPU, about [-1, 1], or latents.

    Equal to what the network's pipeline draws with a CPU generator of the same seed. Draws from a generator of its own
    and steps a scheduler of its own, so that sampling cannot change training. `network` must be in eval mode.
    class_labels, image_scale, is_latent: as `sampling.draw`.
    """
    assert not network.training, "sample from a network in eval mode"
    generator = torch.Generator("cpu").manual_seed(seed)
    options: dict[str, Any] = {"class_labels": class_labels, "image_scale": image_scale, "is_latent": is_latent}
    return draw(network, scheduler, settings, num_images, generator=generator, **options).cpu()


def starting_noise(network: Any, num_images: int, seed: int) -> torch.Tensor:
    """What `sample` begins with: standard normal, float32 [B, C, H, W] on the CPU."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn(sampling.sample_shape(network, num_images), generator=generator)


def write_grid(pixels: torch.Tensor, path: Path) -> None:
    """A PNG of all images in a square, small ones enlarged without smoothing. pixels: uint8 [B, C, H, W]."""
    num_images, channels, height, width = pixels.shape
    columns = math.ceil(math.sqrt(num_images))
    rows = math.ceil(num_images / columns)
    scale = max(1, math.ceil(_GRID_CELL_PIXELS / max(height, width)))
    cell_height, cell_width = height * scale + _GRID_GAP_PIXELS, width * scale + _GRID_GAP_PIXELS
    mode = "RGB" if channels == 3 else "L"
    grid = Image.new(mode, (columns * cell_width + _GRID_GAP_PIXELS, rows * cell_height + _GRID_GAP_PIXELS), "#404040")
    for index, image in enumerate(pixels[:, :3] if channels == 3 else pixels[:, :1]):
        array = image.permute(1, 2, 0).squeeze(-1).contiguous().numpy()
        tile = Image.fromarray(array).resize((width * scale, height * scale), Image.Resampling.NEAREST)
        row, column = divmod(index, columns)
        grid.paste(tile, (column * cell_width + _GRID_GAP_PIXELS, row * cell_height + _GRID_GAP_PIXELS))
    buffer = io.BytesIO()
    grid.save(buffer, format="PNG")
    replace_durably(path, buffer.getvalue())


def refuse_full(folder: Path) -> None:
    """Raises UsageError where a folder for images holds something: they would be taken together."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"output: expected an empty or new folder, got {folder}")


def write_files(pixels: torch.Tensor, folder: Path) -> list[Path]:
    """A PNG for each image, as large as it is: 000000.png and on. pixels: uint8 [B, C, H, W]."""
    folder.mkdir(parents=True, exist_ok=True)
    channels = 3 if pixels.shape[1] == 3 else 1
    paths = [folder / f"{index:06}.png" for index in range(len(pixels))]
    for path, image in zip(paths, pixels[:, :channels], strict=True):
        Image.fromarray(image.permute(1, 2, 0).squeeze(-1).contiguous().numpy()).save(path)
    return paths


def pipeline_class(
    network: Any, scheduler: Any, settings: Settings, image_scale: float, *, is_latent: bool = False
) -> type[Any]:
    """diffusers' own pipeline where it draws what `sample` does; else ImmisciblePipeline."""
    config: Any = network.config
    is_plain = type(network) is UNet2DModel and config.num_class_embeds is None and image_scale == 1
    is_plain = is_plain and not is_latent
    sampler = sampler_of(scheduler)
    if is_plain and sampler == "ddim" and settings.timestep_spacing != "quadratic":
        return DDIMPipeline
    # ConsistencyModelPipeline knows but square images.
    is_square = isinstance(config.sample_size, int)
    if is_plain and sampler == "consistency" and is_square and _is_finite_in_diffusers(scheduler.config.sigma_min):
        return ConsistencyModelPipeline
    return ImmisciblePipeline


def _is_finite_in_diffusers(sigma_min: float) -> bool:
    """Whether CMStochasticIterativeScheduler draws numbers in several steps.

    At the end of the last it takes the root of sigma^2 - sigma_min^2 where sigma is sigma_min rounded to float32: for
    one sigma_min in four that is below 0, and every pixel NaN.
    """
    rounded = torch.tensor(sigma_min, dtype=torch.float32).clamp(min=sigma_min)
    return float(rounded**2 - sigma_min**2) >= 0


def save_pipeline(
    network: torch.nn.Module,
    scheduler: Any,
    folder: Path,
    settings: Settings,
    image_scale: float,
    files: Mapping[str, bytes],
    latents: Latents | None = None,
) -> None:
    """Writes `folder` so that diffusers loads it, with `files` (name to contents) beside the weights. Raises OSError.

    As `pipeline_class` says; an ImmisciblePipeline comes with its source, and one of latents with their autoencoder
    where there is one.
    """
    kind = pipeline_class(network, scheduler, settings, image_scale, is_latent=latents is not None)
    temporary = folder.with_name(f"{TEMPORARY_PREFIX}{folder.name}")
    try:
        remove_tree(temporary)
        temporary.mkdir(parents=True)
        if kind is ImmisciblePipeline:
            space = {} if latents is None else {"vae": latents.vae, "scaling_factor": latents.scaling_factor}
            options: dict[str, Any] = {"image_scale": image_scale, **space, **asdict(settings)}
            _save_with_source(ImmisciblePipeline(network, scheduler, **options), temporary)
        else:
            kind(network, _spaced(scheduler, settings)).save_pretrained(temporary)
        save_network_source(network, temporary)
        for name, contents in files.items():
            write_durably(temporary / name, contents)
        sync_tree(temporary)
        replace_folder(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _spaced(scheduler: Any, settings: Settings) -> Any:
    """DDIMPipeline takes the spacing of the timesteps from its scheduler."""
    if sampler_of(scheduler) != "ddim":
        return scheduler
    return DDIMScheduler.from_config(scheduler.config, timestep_spacing=settings.timestep_spacing)


def _save_with_source(pipeline: ImmisciblePipeline, folder: Path) -> None:
    """By the convention of diffusers: `_class_name` is [module, class], and the module's source is in the folder."""
    pipeline.save_pretrained(folder)
    index = folder / "model_index.json"
    entries = json.loads(index.read_text())
    entries["_class_name"] = ["pipeline", ImmisciblePipeline.__name__]
    write_durably(index, (json.dumps(entries, indent=2, sort_keys=True) + "\n").encode())
    write_durably(folder / "pipeline.py", Path(sampling.__file__).read_bytes())


def load_pipeline(folder: Path, trust_remote_code: bool = False) -> tuple[torch.nn.Module, Any]:
    """Network (eval mode, CPU) and scheduler of a pipeline folder.

    trust_remote_code: whether a network's class whose source lies in the folder may be imported, which runs it.
    Raises OSError; UsageError for unknown classes, and for such a source where it is not trusted.
    """
    if has_network_source(folder):
        if not trust_remote_code:
            raise UsageError(f"{folder}: its network is code in unet/network.py: read it, then trust remote code")
        network_class = load_network_class(folder)
    else:
        network_class = _class_of_diffusers(folder / "unet" / "config.json", ModelMixin)
    # Else diffusers takes a pickle where there is no safetensors file.
    network = network_class.from_pretrained(folder / "unet", low_cpu_mem_usage=False, use_safetensors=True)
    scheduler_class = _class_of_diffusers(folder / "scheduler" / "scheduler_config.json", diffusers.SchedulerMixin)
    scheduler = scheduler_class.from_pretrained(folder / "scheduler")
    try:
        sampler_of(scheduler)
    except ValueError as error:
        raise UsageError(f"{folder}: {error}") from error
    return network.eval().requires_grad_(False), scheduler


def _class_of_diffusers(config: Path, base: type) -> Any:
    """The class that a component's config names."""
    name = json.loads(config.read_text()).get("_class_name")
    found = getattr(diffusers, str(name), None)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise UsageError(f"{config}: _class_name: expected a {base.__name__} of diffusers, got {name}")
    return found
