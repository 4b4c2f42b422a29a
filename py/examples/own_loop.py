"""A training loop of your own on assigned noise. In another terminal, first:

npx immiscible serve --dataset digits --global-batch-size 64 --max-train-steps 200 --output-dir served
"""

import sys

import torch
from diffusers import DDPMScheduler, UNet2DModel

from immiscible_worker import AssignedBatches

torch.manual_seed(0)
network = UNet2DModel(
    sample_size=8,
    in_channels=1,
    out_channels=1,
    block_out_channels=(16, 32),
    layers_per_block=1,
    norm_num_groups=8,
    down_block_types=("DownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "UpBlock2D"),
)
optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
scheduler = DDPMScheduler(num_train_timesteps=1000)
with AssignedBatches(sys.argv[1] if len(sys.argv) > 1 else "served") as batches:
    for batch in batches:
        timesteps = batch.timesteps(1000)
        noisy_images = scheduler.add_noise(batch.images, batch.noise, timesteps)
        loss = torch.nn.functional.mse_loss(network(noisy_images, timesteps).sample, batch.noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if batch.step % 20 == 0:
            print(f"step {batch.step} loss {loss.item():.3f}", flush=True)
