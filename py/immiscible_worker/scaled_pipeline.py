"""DDIM sampling for a network trained on images times a constant: loaded by diffusers from beside the weights.

This file is copied as `pipeline.py` into the folder of a model with imageScale != 1, so it needs diffusers alone.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from diffusers import DDIMPipeline, ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor


class ScaledDDIMPipeline(DDIMPipeline):
    """DDIMPipeline whose samples are divided by `image_scale` before they become pixels."""

    def __init__(self, unet: Any, scheduler: Any, image_scale: float = 1.0) -> None:
        super().__init__(unet=unet, scheduler=scheduler)
        self.register_to_config(image_scale=float(image_scale))

    @torch.no_grad()
    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        batch_size: int = 1,
        generator: torch.Generator | None = None,
        eta: float = 0.0,
        num_inference_steps: int = 50,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> Any:
        """As `DDIMPipeline`. output_type: "pil", "np" (float [B, H, W, C] in [0, 1]) or "pt" ([B, C, H, W])."""
        mixins = cast(Any, self)  # diffusers' decorators hide the types of what it inherits
        size = self.unet.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        shape = (batch_size, self.unet.config.in_channels, height, width)
        images = randn_tensor(shape, generator=generator, device=self._execution_device, dtype=self.unet.dtype)
        self.scheduler.set_timesteps(num_inference_steps)
        for timestep in mixins.progress_bar(self.scheduler.timesteps):
            predicted = self.unet(images, timestep).sample
            images = self.scheduler.step(predicted, timestep, images, eta=eta, generator=generator).prev_sample
        images = (images / mixins.config.image_scale / 2 + 0.5).clamp(0, 1)
        if output_type != "pt":
            images = images.cpu().permute(0, 2, 3, 1).numpy()
            if output_type == "pil":
                images = self.numpy_to_pil(images)
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)
