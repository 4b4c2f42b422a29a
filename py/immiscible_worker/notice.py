"""What a user should know though nothing has failed: a sampler that does not fit, a schedule that moved."""

from __future__ import annotations

import math

from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from .objective import Objective
from .protocol import AssignmentConfig, TrainConfig, Warning

SAMPLER_COUPLED = "SAMPLER_COUPLED"
IMAGE_SCALE = "IMAGE_SCALE"
GATE_BLIND = "GATE_BLIND"


def kind_of(section: object) -> str:
    """The `kind` of a section of the config, as on the wire."""
    return str(type(section).__struct_config__.tag)  # pyright: ignore[reportAttributeAccessIssue]


def is_coupled(assignment: AssignmentConfig) -> bool:
    """Whether images were paired with noise at any time: every strategy but `independent`, from whatever step on."""
    return kind_of(assignment) != "independent"


def describe_sampler(assignment: str, is_coupled: bool, eta: float) -> str | None:
    """Why this eta does not fit a model trained so; None where it does."""
    if not is_coupled or eta <= 0:
        return None
    return (
        f"eta: {eta:g} makes the sampler draw fresh noise at each step, which is independent of the image; this model "
        f"was trained on noise assigned to its images (assignment '{assignment}'), so use eta = 0"
    )


def describe_scale(image_scale: float, scheduler: DDIMScheduler) -> str | None:
    """What imageScale does to the schedule; None where it is 1.

    An image times s in noise that stays has s^2 the signal-to-noise ratio: log-SNR + 2 ln s at every timestep.
    """
    if image_scale == 1:
        return None
    last = float(scheduler.alphas_cumprod[-1])
    terminal = last / (1 - last)
    return (
        f"imageScale {image_scale:g} shifts the log-SNR by {2 * math.log(image_scale):+.2f} at every timestep, as "
        f"another noise schedule would; the SNR of the last one is {image_scale**2 * terminal:.2g}, "
        f"{terminal:.2g} without it"
    )


def describe_gate(config: TrainConfig, objective: Objective) -> list[Warning]:
    """What is not compared though the config asks for it: an objective without a closed form."""
    if objective.expect is not None or config.gate.every_steps == 0:
        return []
    text = (
        "gate.everySteps: the objective has no expect(), so nothing is compared: that images, noise and timesteps "
        "arrive row by row, as they were assigned, is on trust"
    )
    return [Warning(code=GATE_BLIND, message=text)]


def list_notices(config: TrainConfig, scheduler: DDIMScheduler) -> list[Warning]:
    """What to say when a run begins."""
    assignment = config.assignment
    texts = {
        SAMPLER_COUPLED: describe_sampler(kind_of(assignment), is_coupled(assignment), config.sampling.eta),
        IMAGE_SCALE: describe_scale(config.dataset.image_scale, scheduler),
    }
    prefix = {SAMPLER_COUPLED: "sampling.", IMAGE_SCALE: "dataset."}
    return [Warning(code=code, message=prefix[code] + text) for code, text in texts.items() if text]
