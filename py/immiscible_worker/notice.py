"""What a user should know though nothing has failed: a sampler that does not fit, a schedule that moved."""

from __future__ import annotations

import math
from typing import Any

from .objective import Objective
from .protocol import AssignmentConfig, TrainConfig, Warning
from .sampling import SamplerKind, sampler_of

SAMPLER_COUPLED = "SAMPLER_COUPLED"
IMAGE_SCALE = "IMAGE_SCALE"
GATE_BLIND = "GATE_BLIND"


def kind_of(section: object) -> str:
    """The `kind` of a section of the config, as on the wire."""
    return str(type(section).__struct_config__.tag)  # pyright: ignore[reportAttributeAccessIssue]


def is_coupled(assignment: AssignmentConfig) -> bool:
    """Whether images were paired with noise at any time: every strategy but `independent`, from whatever step on."""
    return kind_of(assignment) != "independent"


def describe_sampler(assignment: str, is_coupled: bool, sampler: SamplerKind, eta: float) -> str | None:
    """Why this eta does not fit a model trained so; None where it does, and for a sampler that has none."""
    if sampler != "ddim" or not is_coupled or eta <= 0:
        return None
    return (
        f"eta: {eta:g} makes the sampler draw fresh noise at each step, which is independent of the image; this model "
        f"was trained on noise assigned to its images (assignment '{assignment}'), so use eta = 0"
    )


def describe_scale(image_scale: float, scheduler: Any) -> str | None:
    """What imageScale does to the schedule; None where it is 1.

    An image times s in noise that stays has s^2 the signal-to-noise ratio: log-SNR + 2 ln s at every noise level. For
    consistency (image + sigma noise) that is sigma / s; for flow ((1 - t) image + t noise) the odds t / (1 - t) over s.
    """
    if image_scale == 1:
        return None
    sampler, shift = sampler_of(scheduler), f"{2 * math.log(image_scale):+.2f}"
    text = f"imageScale {image_scale:g} shifts the log-SNR by {shift} at every "
    if sampler == "consistency":
        levels = scheduler.config.sigma_min, scheduler.config.sigma_max
        was, like = ("..".join(f"{level / by:g}" for level in levels) for by in (1, image_scale))
        return f"{text}noise level, as other levels would: sigma {was} is to the images what {like} is without it"
    if sampler == "flow":
        like = 0.5 / (0.5 + 0.5 * image_scale)
        return f"{text}time, as other times would: t = 0.5 is to the images what {like:.2g} is without it"
    last = float(scheduler.alphas_cumprod[-1])
    terminal = last / (1 - last)
    return (
        f"{text}timestep, as another noise schedule would; the SNR of the last one is {image_scale**2 * terminal:.2g}, "
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


def list_notices(config: TrainConfig, scheduler: Any) -> list[Warning]:
    """What to say when a run begins."""
    assignment, eta = config.assignment, config.sampling.eta
    kind, coupled = kind_of(assignment), is_coupled(assignment)
    texts = {
        SAMPLER_COUPLED: describe_sampler(kind, coupled, sampler_of(scheduler), eta),
        IMAGE_SCALE: describe_scale(config.dataset.image_scale, scheduler),
    }
    prefix = {SAMPLER_COUPLED: "sampling.", IMAGE_SCALE: "dataset."}
    return [Warning(code=code, message=prefix[code] + text) for code, text in texts.items() if text]
