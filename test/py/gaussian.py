"""Gaussian data in one dimension, where every optimal predictor is known or can be simulated, and a network for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import nn

from immiscible_worker.objective import BuildContext, Inputs, Networks, Objective

MEAN, STD = 0.3, 0.5
SHAPE = (1, 1, 1)
_COUPLED = 16
_BATCH = 512
_BINS = 40


def draw_pairs(num_pairs: int, is_assigned: bool, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Images from N(MEAN, STD^2) and noise, float32 [num_pairs, 1, 1, 1].

    is_assigned: by the exact assignment over 16 of each, which in one dimension pairs them by rank.
    """
    images = MEAN + STD * torch.randn(num_pairs // _COUPLED, _COUPLED, generator=generator)
    noise = torch.randn(num_pairs // _COUPLED, _COUPLED, generator=generator)
    if is_assigned:
        ranks = images.argsort(1).argsort(1)
        noise = noise.sort(1).values.gather(1, ranks)
    return images.reshape(-1, *SHAPE), noise.reshape(-1, *SHAPE)


class Network(nn.Module):
    """A perceptron of the sample and Fourier features of the timestep over `span`."""

    def __init__(self, span: float) -> None:
        super().__init__()
        self.span = span
        self.layers = nn.Sequential(nn.Linear(9, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, class_labels: None = None) -> SimpleNamespace:
        """As a diffusers network is called; sample: float32 [B, 1, 1, 1], timestep: [B]."""
        x, t = sample.flatten(1), (timestep / self.span).view(-1, 1)
        angles = t * math.pi * torch.tensor([0.5, 1.0, 2.0])
        features = torch.cat([x, t, t**2, t**3, angles.sin(), angles.cos()[:, :2]], 1)
        return SimpleNamespace(sample=self.layers(features).view_as(sample))


def train_network(objective: Objective, span: float, is_assigned: bool, steps: int = 1500) -> Network:
    """A network trained by the objective's loss, on 512 pairs a step. A function of its arguments."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network, average = Network(span), Network(span)
        generator = torch.Generator().manual_seed(1)
        optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=1e-5)
        for step in range(steps):
            images, noise = draw_pairs(_BATCH, is_assigned, generator)
            uniforms = torch.rand(_BATCH, 3, generator=generator)
            inputs = Inputs(images, noise, uniforms, None, step)
            loss = objective.loss(Networks(network, network), inputs).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                keep = min(0.99, step / (step + 10))
                for slow, fast in zip(average.parameters(), network.parameters(), strict=True):
                    slow.lerp_(fast, 1 - keep)
    return average.requires_grad_(False)


def bin_means(x: torch.Tensor, *values: torch.Tensor) -> list[torch.Tensor]:
    """Means of `values` within 40 equally full bins of x, in the order of x: each float32 [40]. All inputs [N]."""
    order = x.argsort()
    return [value[order].view(_BINS, -1).mean(1) for value in values]


def root_mean_square(difference: torch.Tensor) -> float:
    """Over all elements."""
    return float(difference.square().mean().sqrt())


def plant(module: ModuleType, right: str, wrong: str) -> Callable[[BuildContext], Objective]:
    """The `build` of an objective's file, one place of which reads otherwise."""
    source = Path(str(module.__file__)).read_text()
    assert source.count(right) == 1, f"{right!r} is there {source.count(right)} times"
    faulty: Any = ModuleType(f"{module.__name__}_faulty")
    faulty.__package__ = module.__package__
    exec(compile(source.replace(right, wrong), str(module.__file__), "exec"), faulty.__dict__)
    return faulty.build
