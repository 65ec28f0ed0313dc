"""Means of the self-supervised losses over the noise are those of the supervised one."""

import dataclasses

import pytest
import torch

import invcore
from invcore import Physics, Space
from invcore.noises import (
    GammaNoise,
    GaussianMapNoise,
    GaussianNoise,
    LaplaceNoise,
    PoissonGaussianNoise,
    PoissonNoise,
)
from invcore.operators import Convolution, Identity, Mask
from invcore_learning import ENSURE, R2R, SURE, Splitting
from invcore_learning._losses.recorruption import recorrupted
from invcore_testsupport import rng

N = 4000
X = (1 + 0.5 * torch.sin(torch.arange(16, dtype=torch.float64) / 2))[None]
MASK = (torch.arange(16) % 3 > 0).double()[None]
OPERATORS = {
    "identity": Identity((1, 16)),
    "mask": Mask(MASK, (1, 16)),
    "blur": Convolution(torch.tensor([[0.3, 0.5, 0.1]], dtype=torch.float64), (1, 16)),
}
LEVELS = torch.linspace(0.1, 0.4, 16, dtype=torch.float64)[None]
NOISES = {
    "gaussian": GaussianNoise(sigma=0.3),
    "map": GaussianMapNoise(sigma=LEVELS),
    "poisson": PoissonNoise(gain=0.2),
    "background": PoissonNoise(gain=0.2, background=0.7),
    "both": PoissonGaussianNoise(gain=0.2, sigma=0.2),
    "gamma": GammaNoise(looks=3.0),
}


class Affine(torch.nn.Module):
    """W Aᴴy + b, not symmetric."""

    def forward(self, y, physics):
        z = physics.operator.H(y)
        return 0.8 * z + 0.2 * z.roll(1, -1) + 0.1 * z.roll(-1, -1) + 0.05


class Cubic(Affine):
    def forward(self, y, physics):
        z = super().forward(y, physics)
        return z - 0.1 * z**3


def standard_errors(loss, physics, supervised, x=X, model=None, heard=None):
    """The mean of loss minus squared error over many measurements, in standard errors of that mean.

    ``heard`` is the physics that the loss is told, where it is not that of the data.
    """
    model = loss.wrap(Affine() if model is None else model).train()
    x = x.expand(N, *x.shape)
    with torch.no_grad():
        y = physics(x, generator=rng(1))
        told = physics if heard is None else heard
        x_hat = model(y, told)
        gap = loss(x_hat, None, y, told, model) - supervised(x_hat, x)
    return float(gap.mean() / gap.std() * N**0.5)


def in_data(physics):
    A = physics.operator
    return lambda x_hat, x: (A(x_hat) - A(x)).abs().square().mean((-2, -1))


@pytest.mark.parametrize("noise", ["gaussian", "map", "poisson", "background", "both"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_sure(operator, noise):
    physics = Physics(OPERATORS[operator], NOISES[noise])
    assert abs(standard_errors(SURE(), physics, in_data(physics))) < 3


def test_sure_of_a_nonlinear_model_and_complex_data():
    physics = Physics(OPERATORS["blur"], NOISES["gaussian"])
    assert abs(standard_errors(SURE(), physics, in_data(physics), model=Cubic())) < 3
    plane = Physics(Identity(Space((1, 16), "complex")), NOISES["gaussian"])
    assert abs(standard_errors(SURE(), plane, in_data(plane), x=torch.polar(X, X))) < 3
    assert abs(standard_errors(R2R(alpha=0.5), plane, in_data(plane), x=torch.polar(X, X))) < 3


def test_the_second_derivative_of_poisson_gaussian_noise():
    """R(y) = y², whose bias has a closed form: 2γ²u to second order in γ, and 4σ²γ without the term."""

    class Square(torch.nn.Module):
        def forward(self, y, physics):
            return y**2

    gain = 0.3
    physics = Physics(OPERATORS["identity"], PoissonGaussianNoise(gain=gain, sigma=1.0))
    x = X.expand(4 * N, *X.shape)
    y, R = measured(physics.noise, x), Square()

    def bias(loss):
        gap = loss(R(y, physics), None, y, physics, R) - in_data(physics)(R(y, physics), x)
        return float(gap.mean()), float(gap.std() / len(x) ** 0.5)

    second = 2 * gain**2 * float(X.mean())
    found, error = bias(SURE())
    assert abs(found - second - 4 * gain) < 3 * error and found > 3 * error
    found, error = bias(SURE(second_derivative=True, tau=1e-2))
    assert abs(found - second) < 3 * error and error < 0.2


def measured(noise, x):
    """Poisson-Gaussian data, all samples at once."""
    g = rng(3)
    counts = torch.poisson(x / noise.gain, generator=g)
    return noise.gain * counts + noise.sigma * torch.randn(x.shape, generator=g, dtype=x.dtype)


@pytest.mark.parametrize("noise", ["gaussian", "poisson"])
@pytest.mark.parametrize("operator", ["identity", "mask"])
def test_sure_in_the_image_is_the_error_that_the_operator_sees(operator, noise):
    physics = Physics(OPERATORS[operator], NOISES[noise])
    seen = torch.ones_like(MASK) if operator == "identity" else MASK
    supervised = lambda x_hat, x: (seen * (x_hat - x)).square().mean((-2, -1))
    assert abs(standard_errors(SURE(domain="image"), physics, supervised)) < 3


def test_sure_in_the_image_of_a_blur():
    """The pseudo-inverse by a dense matrix."""
    A = OPERATORS["blur"]
    physics = Physics(A, GaussianNoise(sigma=0.02))
    P = torch.linalg.pinv(A.dense()) @ A.dense()
    supervised = lambda x_hat, x: ((x_hat - x)[:, 0] @ P.mT).square().mean(-1)
    assert abs(standard_errors(SURE(domain="image"), physics, supervised)) < 3


@pytest.mark.parametrize("noise", ["gaussian", "map", "poisson", "background", "gamma"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_r2r(operator, noise):
    physics = Physics(OPERATORS[operator], NOISES[noise])
    assert abs(standard_errors(R2R(alpha=0.5), physics, in_data(physics))) < 3


@pytest.mark.parametrize("noise", ["gaussian", "poisson", "gamma"])
def test_recorrupted_data_are_independent_and_of_the_stated_noise(noise):
    physics = Physics(OPERATORS["identity"], NOISES[noise])
    x = X.expand(N, *X.shape)
    y1, y2, thinner = recorrupted(0.3, physics(x, generator=rng(1)), physics, R2R().generators("noise", (N,)))
    other = thinner(x, generator=rng(5))
    for power in (1, 2, 3):  # moments of y1 are those of the noise that the model is told
        a, b = ((t - X) ** power for t in (y1, other))
        spread = (a.var(0) / N + b.var(0) / N).sqrt()
        assert float(((a.mean(0) - b.mean(0)) / spread).abs().max()) < 4
    products = (y1 - X) * (y2 - X)
    assert float((products.mean(0) / products.std(0)).abs().max() * N**0.5) < 4
    assert float(((y2 - X).mean(0) / (y2 - X).std(0)).abs().max() * N**0.5) < 4


@pytest.mark.parametrize("operator", OPERATORS)
def test_splitting_is_the_error_in_the_entries_left_out_plus_the_variance(operator):
    physics = Physics(OPERATORS[operator], NOISES["gaussian"])
    loss = Splitting(keep=0.7)
    A = physics.operator

    def supervised(x_hat, x):
        left = 1 - loss.mask(torch.zeros(N, 1, 16, dtype=torch.float64), physics)
        left = left * MASK if operator == "mask" else left
        r = left * (A(x_hat) - A(x))
        return r.square().sum((-2, -1)) / left.sum((-2, -1)).clamp_min(1) + 0.09 * (left.sum((-2, -1)) > 0)

    assert abs(standard_errors(loss, physics, supervised)) < 3


def test_ensure_is_the_weighted_error_of_each_mask():
    physics = Physics(OPERATORS["mask"], NOISES["gaussian"])
    density = torch.linspace(0.3, 1.0, 16, dtype=torch.float64)[None]
    supervised = lambda x_hat, x: (MASK / density * (x_hat - x).square()).mean((-2, -1))
    assert abs(standard_errors(ENSURE(density=density), physics, supervised)) < 3


def test_ensure_over_masks_is_the_full_error_of_an_estimate_that_does_not_depend_on_them():
    density = torch.linspace(0.3, 1.0, 16, dtype=torch.float64)[None]
    masks = (torch.rand(N, 1, 16, generator=rng(4), dtype=torch.float64) < density).double()
    physics = Physics(Mask(masks, (1, 16)), NOISES["gaussian"])
    guess = 0.9 * X
    R = lambda y, physics: guess.expand(N, 1, 16)
    y = physics(X.expand(N, 1, 16), generator=rng(1))
    gap = ENSURE(density=density)(R(y, physics), None, y, physics, R) - (guess - X).square().mean()
    assert abs(float(gap.mean() / gap.std()) * N**0.5) < 3


# -- what is wrong is seen --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "noise", "heard"),
    [
        (SURE(), "gaussian", {"sigma": 0.3 * 2**0.5}),
        (SURE(), "gaussian", {"sigma": 1e-3}),
        (SURE(), "poisson", {"gain": 0.4}),
        (SURE(domain="image"), "gaussian", {"sigma": 0.3 * 2**0.5}),
        (R2R(alpha=0.5), "gaussian", {"sigma": 0.3 * 2**0.5}),
        (R2R(alpha=0.5), "gamma", {"looks": 6.0}),
    ],
)
def test_a_wrong_noise_level_is_a_bias(loss, noise, heard):
    physics = Physics(OPERATORS["identity"], NOISES[noise])
    other = Physics(physics.operator, dataclasses.replace(physics.noise, **heard))
    assert abs(standard_errors(loss, physics, in_data(physics), heard=other)) > 6


@pytest.mark.parametrize("loss", [SURE(), R2R(alpha=0.5), Splitting(keep=0.5)])
def test_data_that_are_zero_where_nothing_is_measured_give_the_same(loss):
    """As files have them; `Physics` adds noise there, too."""
    physics = Physics(OPERATORS["mask"], NOISES["gaussian"])
    model = loss.wrap(Affine()).train()
    y = physics(X, generator=rng())
    values = [loss(model(d, physics), None, d, physics, model) for d in (y, MASK * y)]
    assert torch.allclose(*values, rtol=1e-6)


@pytest.mark.parametrize("loss", [SURE(), R2R(alpha=0.5)])
def test_counts_of_zero_are_data(loss):
    """Few photons behind a mask after a blur: zeros of the data are not zeros of the mask."""
    A = OPERATORS["mask"] @ OPERATORS["blur"]
    physics = Physics(A, PoissonNoise(gain=1.5))
    assert abs(standard_errors(loss, physics, in_data(physics))) < 3
    assert "mask" in A.parameters()


@pytest.mark.parametrize("loss", [SURE(), R2R(alpha=0.5)])
def test_a_factor_of_two_is_a_bias(loss):
    physics = Physics(OPERATORS["identity"], NOISES["gaussian"])
    half = lambda x_hat, x: in_data(physics)(x_hat, x) / 2
    assert abs(standard_errors(loss, physics, half)) > 6


# -- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [SURE(), R2R()])
def test_noise_that_the_theory_does_not_cover_is_refused(loss):
    physics = Physics(OPERATORS["identity"], LaplaceNoise(scale=0.1))
    model = loss.wrap(Affine())
    with pytest.raises(invcore.ParameterError, match="this physics has LaplaceNoise"):
        loss(X, None, X, physics, model)


def test_poisson_data_of_another_gain_are_refused():
    physics = Physics(OPERATORS["identity"], NOISES["poisson"])
    model = R2R().wrap(Affine())
    y = physics(X, generator=rng())
    model(y, physics)
    with pytest.raises(invcore.DataError, match="whole multiples of the gain"):
        model(1.1 * y, physics)
