"""The pairing gate lets an honest step pass and stops each of the mistakes that public implementations made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from training import make_batch, make_trainer

from example import make_config
from immiscible_worker import gate
from immiscible_worker import trainer as trainer_module
from immiscible_worker.errors import PairingError
from immiscible_worker.objective import Expectation, Inputs, LossResult, Networks, build_objective
from immiscible_worker.pixels import to_model_scale
from immiscible_worker.trainer import Trainer
from immiscible_worker.uniforms import timesteps_of

REVERSED = torch.arange(15, -1, -1)


def plant_loss(trainer: Trainer, monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Calls the real loss with changed inputs, or changes its result."""
    honest = trainer.objective
    planted = replace(honest, loss=lambda networks, inputs: change(honest.loss, networks, inputs))
    monkeypatch.setattr(trainer, "objective", planted)


def plant_add_noise(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Replaces diffusers' add_noise itself."""
    honest = DDIMScheduler.add_noise
    monkeypatch.setattr(DDIMScheduler, "add_noise", lambda *arguments: change(honest, *arguments))


def expect_caught(trainer: Trainer, message: str) -> None:
    """The step is refused before anything changes."""
    before = [parameter.detach().clone() for parameter in trainer.network.parameters()]
    with pytest.raises(PairingError, match=message):
        trainer.train_step(make_batch(trainer))
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.network.parameters(), strict=True))
    assert trainer.step == 0


def test_an_honest_step_passes() -> None:
    trainer = make_trainer()
    trainer.train_step(make_batch(trainer))
    assert trainer.step == 1


def test_noise_permuted_inside_add_noise_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plant_add_noise(monkeypatch, lambda honest, self, images, noise, t: honest(self, images, noise[REVERSED], t))
    expect_caught(make_trainer(), "call 1 of the network: sample is not made of what was received")


def test_noise_added_twice_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(honest: Any, self: Any, images: Any, noise: Any, timesteps: Any) -> Any:
        return honest(self, honest(self, images, noise, timesteps), noise, timesteps)

    plant_add_noise(monkeypatch, twice)
    expect_caught(make_trainer(), "call 1 of the network: sample is not made of what was received")


def test_an_input_noised_with_fresh_noise_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plant_add_noise(monkeypatch, lambda honest, self, x, noise, t: honest(self, x, torch.randn_like(noise), t))
    expect_caught(make_trainer(), "sample is not")


def test_a_permuted_target_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def permuted(honest: Any, networks: Networks, inputs: Inputs) -> LossResult:
        loss, target = honest(networks, inputs)
        return LossResult(loss, target[REVERSED])

    trainer = make_trainer()
    plant_loss(trainer, monkeypatch, permuted)
    expect_caught(trainer, "the target is not made of what was received")


def test_moved_images_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer()
    plant_loss(
        trainer,
        monkeypatch,
        lambda honest, networks, inputs: honest(networks, replace(inputs, images=inputs.images[REVERSED])),
    )
    expect_caught(trainer, "sample is not")


def test_noise_permuted_on_both_sides_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer()
    plant_loss(
        trainer,
        monkeypatch,
        lambda honest, networks, inputs: honest(networks, replace(inputs, noise=inputs.noise[REVERSED])),
    )
    expect_caught(trainer, "sample is not .*; the target is not")


def test_moved_timesteps_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer()
    plant_loss(
        trainer,
        monkeypatch,
        lambda honest, networks, inputs: honest(networks, replace(inputs, uniforms=inputs.uniforms[REVERSED])),
    )
    expect_caught(trainer, "timestep is not")


def test_a_network_called_twice_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(honest: Any, networks: Networks, inputs: Inputs) -> LossResult:
        honest(networks, inputs)
        return honest(networks, inputs)

    trainer = make_trainer()
    plant_loss(trainer, monkeypatch, twice)
    expect_caught(trainer, "expected 1 calls of the network, got 2")


@pytest.mark.parametrize(
    ("every_steps", "expected"), [(100, [98, 100]), (2, [98, 100]), (1, [98, 99, 100, 101]), (0, [])]
)
def test_the_first_step_of_a_process_and_every_so_many_are_checked(
    monkeypatch: pytest.MonkeyPatch, every_steps: int, expected: list[int]
) -> None:
    checked: list[int] = []
    honest = gate.verify
    monkeypatch.setattr(gate, "verify", lambda *arguments: (checked.append(arguments[3]), honest(*arguments)))
    trainer = make_trainer(make_config(gate={"everySteps": every_steps}))
    trainer.step = 98
    for _ in range(4):
        trainer.train_step(make_batch(trainer))
    assert checked == expected


def test_a_gate_that_is_off_lets_a_fault_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    plant_add_noise(monkeypatch, lambda honest, self, images, noise, t: honest(self, images, noise[REVERSED], t))
    trainer = make_trainer(make_config(gate={"everySteps": 0}))
    trainer.train_step(make_batch(trainer))
    assert trainer.step == 1


def test_scaled_images_pass_and_unscaled_ones_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    scaled = make_config(dataset={"imageScale": 2})
    trainer = make_trainer(scaled)
    trainer.train_step(make_batch(trainer))
    monkeypatch.setattr(trainer_module, "to_model_scale", lambda images, _scale: to_model_scale(images))
    expect_caught(make_trainer(scaled), "call 1 of the network: sample is not")


def make_two_level_trainer() -> Trainer:
    """A trainer of an objective of another shape: one noise at two levels, two calls, the second the target."""
    trainer = make_trainer()
    ddim = trainer.objective

    def loss(networks: Networks, inputs: Inputs) -> LossResult:
        """The first level is that of the uniforms, the second the clean end."""
        t = timesteps_of(inputs.uniforms, 1000)
        predicted = networks.online(ddim.scheduler.add_noise(inputs.images, inputs.noise, t), t, None).sample
        with torch.no_grad():
            clean = torch.zeros_like(t)
            lower = ddim.scheduler.add_noise(inputs.images, inputs.noise, clean)
            target = networks.target(sample=lower, timestep=clean).sample
        return LossResult(torch.nn.functional.mse_loss(predicted, target), target)

    def expect(inputs: Inputs) -> Expectation:
        """Both calls, no target."""
        assert ddim.expect is not None
        [call], _ = ddim.expect(inputs)
        [clean], _ = ddim.expect(replace(inputs, uniforms=torch.zeros_like(inputs.uniforms)))
        return Expectation([call, clean], None)

    trainer.objective = replace(ddim, loss=loss, expect=expect)
    return trainer


def test_an_objective_of_two_calls_passes() -> None:
    trainer = make_two_level_trainer()
    trainer.train_step(make_batch(trainer))
    assert trainer.step == 1


def test_another_noise_in_the_second_call_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trap 12: one assigned noise serves both levels."""

    def second(honest: Any, self: Any, images: Any, noise: Any, t: torch.Tensor) -> torch.Tensor:
        return honest(self, images, noise if bool(t.any()) else noise[REVERSED], t)

    plant_add_noise(monkeypatch, second)
    expect_caught(make_two_level_trainer(), r"step 0: call 2 of the network: sample is not made of [^;]*$")


def test_one_call_where_two_belong_is_caught() -> None:
    trainer = make_two_level_trainer()
    ddim = build_objective(trainer.config.objective, 1.0, (1, 8, 8))
    trainer.objective = replace(trainer.objective, loss=ddim.loss)
    expect_caught(trainer, "expected 2 calls of the network, got 1")
