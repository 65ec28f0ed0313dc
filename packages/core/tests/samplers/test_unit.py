"""Images that are not in the range of values of a denoiser are noticed."""

import warnings
from typing import NamedTuple

import pytest
import torch

from invcore import Denoiser, Physics, Space
from invcore.denoisers import Rescaled
from invcore.noises import GaussianNoise
from invcore.operators import Convolution, Identity, Mask
from invcore.priors import PnP
from invcore.samplers import Sampler
from invcore.solvers import ProximalGradient
from invcore_testsupport import rng


class Halfway(Denoiser):
    channels, value_range, sigma_range, spatial_dims = 1, (0.0, 1.0), (0.0, 1e9), 2

    def denoise(self, x, sigma):
        return (x + 0.5) / 2


class State(NamedTuple):
    x: torch.Tensor


class Once(Sampler):
    """One step of denoising."""

    denoiser: Denoiser
    burn_in: int = 1

    def init(self, problem, generator):
        return State(problem.start())

    def step(self, problem, state, generator):
        return State(self.denoiser(state.x, 0.1))


X = torch.rand(1, 8, 8, generator=rng(0), dtype=torch.float64)
SPACE = Space((1, 8, 8))


def physics(scale, sigma=0.05, operator=None):
    return Physics(operator or Identity(SPACE), GaussianNoise(sigma=sigma * scale))


def ways(denoiser):
    yield lambda y, p: Once(denoiser)(y, p, generator=rng(1))
    yield lambda y, p: ProximalGradient(prior=PnP(denoiser, sigma=0.1), weight=1.0, max_steps=2)(y, p)


@pytest.mark.parametrize("scale", [255.0, 1e-6, 65535.0])
def test_another_unit_is_noticed_and_rescaled_mends_it(scale):
    p = physics(scale)
    y = p(scale * X, generator=rng(2))
    for way in ways(Halfway()):
        with pytest.warns(UserWarning, match="Halfway is for values from 0 to 1"):
            way(y, p)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Once(Rescaled(Halfway(), scale))(y, p, generator=rng(1))


@pytest.mark.parametrize("sigma", [0.0, 0.05, 30.0])
@pytest.mark.parametrize(
    "operator",
    [
        Identity(SPACE),
        Mask((torch.rand(1, 8, 8, generator=rng(3)) < 0.2).double(), SPACE),
        Mask(torch.zeros(1, 8, 8, dtype=torch.float64), SPACE),
        1000.0 * Identity(SPACE),
        1e-3 * Identity(SPACE),
        Convolution(kernel=torch.full((1, 5, 5), 0.04, dtype=torch.float64), domain=SPACE),
    ],
    ids=["identity", "few pixels", "nothing", "large operator", "small operator", "blur"],
)
def test_images_in_the_range_are_not_complained_of(operator, sigma):
    p = Physics(operator, GaussianNoise(sigma=sigma)) if sigma else Physics(operator)
    y = p(X, generator=rng(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Once(Halfway())(y, p, generator=rng(1))


def test_derivatives_are_as_before():
    """What is looked at is not what the steps keep."""
    y = X.clone().requires_grad_()
    solver = ProximalGradient(prior=PnP(Halfway(), sigma=0.1), weight=1.0, step_size=0.5, max_steps=1)
    solver.solve(y, physics(1.0), differentiate="unroll", steps=1).value.sum().backward()
    assert float(y.grad.abs().min()) > 0
