"""The pairing gate lets an honest step pass and stops each of the mistakes that public implementations made."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from training import make_batch, make_trainer

from immiscible_worker import gate
from immiscible_worker.errors import PairingError
from immiscible_worker.objective import Objective
from immiscible_worker.objective.ddim import LossResult
from immiscible_worker.trainer import Trainer

REVERSED = torch.arange(15, -1, -1)


def plant_loss(trainer: Trainer, monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Calls the real loss with changed arguments, or changes its result."""
    honest = trainer.objective
    planted = Objective(lambda *arguments: change(honest.loss, *arguments), honest.scheduler)
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
    expect_caught(make_trainer(), "its input is not the received images with the received noise")


def test_noise_added_twice_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(honest: Any, self: Any, images: Any, noise: Any, timesteps: Any) -> Any:
        return honest(self, honest(self, images, noise, timesteps), noise, timesteps)

    plant_add_noise(monkeypatch, twice)
    expect_caught(make_trainer(), "its input is not the received images with the received noise")


def test_an_input_noised_with_fresh_noise_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plant_add_noise(monkeypatch, lambda honest, self, x, noise, t: honest(self, x, torch.randn_like(noise), t))
    expect_caught(make_trainer(), "its input is not")


def test_a_permuted_target_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def permuted(honest: Any, *arguments: Any) -> LossResult:
        loss, target = honest(*arguments)
        return LossResult(loss, target[REVERSED])

    trainer = make_trainer()
    plant_loss(trainer, monkeypatch, permuted)
    expect_caught(trainer, "the target is not the received noise")


def test_moved_images_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer()
    plant_loss(trainer, monkeypatch, lambda honest, net, images, *rest: honest(net, images[REVERSED], *rest))
    expect_caught(trainer, "its input is not")


def test_noise_permuted_on_both_sides_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer()
    plant_loss(trainer, monkeypatch, lambda honest, net, x, noise, *rest: honest(net, x, noise[REVERSED], *rest))
    expect_caught(trainer, "its input is not .*; the target is not")


def test_moved_timesteps_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer()
    plant_loss(trainer, monkeypatch, lambda honest, net, x, n, u, s: honest(net, x, n, u[REVERSED], s))
    expect_caught(trainer, "its timesteps are not")


def test_a_network_called_twice_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(honest: Any, *arguments: Any) -> LossResult:
        honest(*arguments)
        return honest(*arguments)

    trainer = make_trainer()
    plant_loss(trainer, monkeypatch, twice)
    expect_caught(trainer, "called 2 times")


def test_the_first_step_of_a_process_and_every_hundredth_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[int] = []
    honest = gate.verify
    monkeypatch.setattr(gate, "verify", lambda *arguments: (checked.append(arguments[3]), honest(*arguments)))
    trainer = make_trainer()
    trainer.step = 98
    for _ in range(4):
        trainer.train_step(make_batch(trainer))
    assert checked == [98, 100]
