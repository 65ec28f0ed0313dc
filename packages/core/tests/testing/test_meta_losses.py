"""The kit on broken training losses: random ones, and those that wrap the model."""

import dataclasses
import re

import pytest
import torch

from invcore import ParameterError, Physics, Value
from invcore.noises import GaussianNoise
from invcore.operators import Mask
from invcore.spaces import check as check_space
from invcore.spaces import randn
from invcore.testing import LossExample, check, iter_checks


class Filter(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.taps = torch.nn.Parameter(torch.tensor([0.2, 0.7, -0.1], dtype=torch.float64))

    def forward(self, y, physics):
        x = physics.operator.H(y)
        return self.taps[0] * x.roll(1, -1) + self.taps[1] * x + self.taps[2] * x.roll(-1, -1)


class Risk(Value):
    """A Monte Carlo penalty on the divergence beside the residual; ``fault`` breaks it."""

    seed: int = 0
    k: int = 0
    positions: tuple[int, ...] = ()
    fault: str = ""
    needs_reference = False
    stochastic = True

    def of_samples(self, positions):
        return self if self.fault == "no position" else dataclasses.replace(self, positions=positions)

    def at(self, k):
        if self.fault == "changes itself":
            object.__setattr__(self, "k", k)
        return dataclasses.replace(self, k=0 if self.fault == "no step" else k)

    def __call__(self, x_hat, x, y, physics, model):
        check_space(y, physics.range, "y")
        check_space(x_hat, physics.domain, "x_hat")
        space, batch = physics.range, y.shape[: y.ndim - 2]
        if self.fault == "global":
            b = torch.randn_like(y)
        else:
            own = self.positions or range(batch.numel())
            seeds = [1000 * (1000 * self.seed + self.k) + i for i in own]
            b = torch.zeros_like(y)
            for i, seed in enumerate(seeds):
                g = torch.Generator().manual_seed(seed)
                b.reshape(-1, *space.shape)[i] = randn(space, generator=g, dtype=y.dtype, device=y.device)
        if self.fault == "draws of all":  # how many numbers a sample takes depends on its content
            b = b * torch.where(y.reshape(-1, y.shape[-1]).sum() > 6.6, 1.0, 0.5)
        moved = model(y + 1e-3 * b, physics)
        if self.fault == "detached":
            moved = moved.detach()
        residual = (physics.operator(x_hat) - y).square().mean((-2, -1))
        if self.fault == "mean":
            residual = residual.mean().expand(batch)
        if self.fault == "in place":
            y.mul_(1.001)
        if self.fault == "reference":
            residual = residual + 0.1 * (x_hat - x).square().mean((-2, -1))
        return residual + 2 * (b * (moved - x_hat)).mean((-2, -1)) / 1e-3


class Half(torch.nn.Module):
    def __init__(self, model, loss):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, y, physics):
        return self.model(self.loss.part(y) * y, physics)


class Split(Value):
    """Every other entry predicts the rest; ``fault`` breaks it."""

    fault: str = ""
    needs_reference = False

    def part(self, y):
        return (torch.arange(y.shape[-1], device=y.device) % 2).to(y.dtype)

    def wrap(self, model):
        return Half(model, self) if not isinstance(model, Half) or self.fault == "wraps twice" else model

    def __call__(self, x_hat, x, y, physics, model):
        check_space(y, physics.range, "y")
        check_space(x_hat, physics.domain, "x_hat")
        if not isinstance(model, Half) and self.fault != "takes any":
            raise ParameterError("train loss.wrap(model)")
        left = 1 - self.part(y)
        return (left * (physics.operator(x_hat) - y)).square().mean((-2, -1))


class Reference(Value):
    """A supervised loss that hides a missing reference."""

    needs_reference = True

    def __call__(self, x_hat, x, y, physics, model):
        check_space(y, physics.range, "y")
        check_space(x_hat, physics.domain, "x_hat")
        return (x_hat - (x if x is not None else 0 * x_hat)).square().mean((-2, -1))


def example(loss):
    mask = torch.tensor([[1.0, 1.0, 0.0, 1.0, 1.0, 0.0]], dtype=torch.float64)
    x = torch.linspace(1, 2, 6, dtype=torch.float64)[None]
    return LossExample(loss, Filter(), Physics(Mask(mask, (1, 6)), GaussianNoise(sigma=0.1)), x)


@pytest.mark.parametrize("loss", [Risk(), Split()])
def test_a_sound_loss_passes(loss):
    check(example(loss))


CASES = [
    (Risk(fault="no step"), "steps", "give the same value: the step is ignored"),
    (Risk(fault="changes itself"), "steps", r"at\(k\) changes the loss"),
    (Risk(fault="global"), "pure", "another result the second time"),
    (Risk(fault="in place"), "pure", "changes its input"),
    (Risk(fault="mean"), "batch_equals_loop", "a batch differs from its item|changes with its batch-mates"),
    (Risk(fault="draws of all"), "batch_equals_loop", "from its item 0 alone|with its batch-mates"),
    (Risk(fault="no position"), "batch_equals_loop", "from its item 1 alone"),
    (Risk(fault="detached"), "gradient", "x what finite differences give"),
    (Risk(fault="reference"), "reference", "TypeError|unsupported"),
    (Split(fault="takes any"), "unwrapped_model_raises", "is accepted in silence"),
    (Split(fault="wraps twice"), "unwrapped_model_raises", "wraps a wrapped model again"),
    (Reference(), "reference", "is accepted in silence"),
]


@pytest.mark.parametrize(("loss", "name", "message"), CASES, ids=lambda v: getattr(v, "fault", None))
def test_a_broken_loss_fails_the_check_meant_for_it(loss, name, message):
    status, found = {c.name: c for c in iter_checks(example(loss))}[name].result()
    assert status == "failed"

    assert re.search(message, found), found
