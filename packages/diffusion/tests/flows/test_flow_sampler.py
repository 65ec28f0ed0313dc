"""Draws by a flow: OT-ODE as an affine map, the posterior of Gaussian images and of a mixture."""

import pytest
import torch

import invcore
from invcore import LinearOperator, Physics, Space
from invcore.denoisers import GaussianDenoiser, GaussianMixtureDenoiser
from invcore.models import GaussianRestorer
from invcore.noises import GaussianNoise, NoNoise, PoissonNoise
from invcore.operators import Identity, Mask
from invcore_diffusion import FlowSampler, Velocity, ot_ode
from invcore_diffusion._flows.transport import evenly, transported
from invcore_testsupport import normal, rng

SPACE = Space((1, 2))
ZERO = torch.zeros(1, 2, dtype=torch.float64)


class Mixing(LinearOperator):
    """A matrix on images of two pixels."""

    matrix: torch.Tensor
    domain: Space = SPACE
    params = ("matrix",)

    @property
    def range(self):
        return self.domain

    def forward(self, x):
        return x @ self.matrix.mT

    def adjoint(self, y):
        return y @ self.matrix


M = torch.tensor([[1.0, 0.4], [0.0, 0.7]], dtype=torch.float64)
PHYSICS = Physics(Mixing(M), GaussianNoise(sigma=0.5))
Y = torch.tensor([[1.0, -0.8]], dtype=torch.float64)


def posterior(C):
    """Mean and covariance."""
    P = torch.linalg.inv(M.mT @ M / 0.25 + torch.linalg.inv(C))
    return (P @ M.mT @ Y[0] / 0.25), P


def led(sampler, steps):
    """Mean and covariance of the draws: noise N(0, 1) through the steps, which are affine."""
    y = Y.expand(3, 1, 2)
    problem = sampler.problem(y, PHYSICS)
    x = torch.cat([ZERO[None], torch.eye(2, dtype=torch.float64)[:, None]])
    out = transported(sampler._field(problem, rng()), x, evenly(steps, 1e-8), sampler.method)[:, 0]
    B = (out[1:] - out[0]).mT
    return out[0], B @ B.mT


def errors(sampler, C, steps):
    (mean, covariance), (m, P) = led(sampler, steps), posterior(C)
    return float((mean - m).abs().max()), float((covariance - P).abs().max())


def test_ot_ode_is_exact_for_white_images_in_first_order():
    C = torch.eye(2, dtype=torch.float64)
    D = GaussianDenoiser(mean=ZERO, covariance=C)
    found = [errors(ot_ode(D, steps=k), C, k) for k in (25, 100, 400)]
    assert max(mean for mean, _ in found) < 1e-7
    assert 3.5 < found[0][1] / found[1][1] < 4.5
    assert 3.5 < found[1][1] / found[2][1] < 4.5


def test_ot_ode_is_biased_for_other_images_whatever_the_steps():
    C = torch.diag(torch.tensor([0.3, 2.0], dtype=torch.float64))
    D = GaussianDenoiser(mean=ZERO, covariance=C)
    found = [errors(ot_ode(D), C, k) for k in (100, 400)]
    assert min(mean for mean, _ in found) > 0.1
    assert found[1] == pytest.approx(found[0], rel=0.2)
    assert ot_ode(D).bias


def test_moment_matching_is_exact_for_all_gaussian_images_in_the_order_of_the_method():
    C = torch.tensor([[0.3, 0.2], [0.2, 2.0]], dtype=torch.float64)
    D = GaussianDenoiser(mean=ZERO, covariance=C)
    for method, least in (("euler", 1.8), ("midpoint", 3.5), ("heun", 3.5)):
        found = [errors(FlowSampler(D, method=method), C, k) for k in (20, 40)]
        assert found[0][1] / found[1][1] > least
        assert found[1][1] < (0.2 if method == "euler" else 0.01)


def mixture():
    """Two modes that the data do not tell apart."""
    return GaussianMixtureDenoiser(
        weights=torch.tensor([0.7, 0.3], dtype=torch.float64),
        means=torch.tensor([[[0.0, -2.0]], [[0.0, 2.0]]], dtype=torch.float64),
        covariances=torch.stack([0.3 * torch.eye(2), 0.6 * torch.eye(2)]).double(),
    )


MASKED = Physics(Mask(torch.tensor([[1.0, 0.3]], dtype=torch.float64), SPACE), GaussianNoise(sigma=0.5))


def share(x):
    return float((x[..., 1] > 0).double().mean())


def exact_share(y):
    """By quadrature on a grid."""
    axis = torch.linspace(-6, 6, 241, dtype=torch.float64)
    x = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)[:, :, None]
    density = mixture().log_density(x, 1e-6) - ((MASKED.operator(x) - y) ** 2).sum((-1, -2)) / 0.5
    return float((torch.softmax(density.flatten(), 0) * (x[..., 0, 1] > 0).double().flatten()).sum())


def test_moves_correct_the_weights_of_modes():
    y = torch.tensor([[0.2, 0.3]], dtype=torch.float64)
    truth, data = exact_share(y), y.expand(2000, 1, 2)
    poor = FlowSampler(mixture(), guidance=None, steps=10, moves=0)(data, MASKED, generator=rng())
    good = FlowSampler(mixture(), guidance=None, steps=10, moves=30)(data, MASKED, generator=rng())
    assert abs(share(poor) - truth) > 0.08
    assert abs(share(good) - truth) < 0.045


def test_moves_serve_nonlinear_likelihoods_too():
    C = 0.25 * torch.eye(2, dtype=torch.float64)
    D = GaussianDenoiser(mean=ZERO + 2, covariance=C)
    physics = Physics(Identity(SPACE), PoissonNoise(gain=0.5))
    y = torch.tensor([[2.5, 1.0]], dtype=torch.float64)
    x = FlowSampler(D, guidance=None, steps=10, moves=40)(y.expand(2000, 1, 2), physics, generator=rng(1))
    grid = torch.linspace(0.01, 5, 4000, dtype=torch.float64)
    for i in range(2):  # the pixels are independent
        log = -2 * (grid - 2) ** 2 + (y[0, i] / 0.5) * grid.log() - grid / 0.5
        mean = float((torch.softmax(log, 0) * grid).sum())
        assert abs(float(x[:, 0, i].mean()) - mean) < 0.05


def test_draws_without_data():
    sampler = FlowSampler(mixture(), steps=20)
    x = sampler.unconditional((1, 2), batch=(4000,), generator=rng(), dtype=torch.float64)
    assert x.shape == (4000, 1, 2)
    assert abs(share(x) - 0.3) < 0.03
    near = x[x[..., 1] < 0]
    assert abs(float(near[:, 0].var()) - 0.3) < 0.05


def test_a_start_from_the_data_is_where_it_says():
    D = GaussianDenoiser(mean=ZERO, covariance=torch.eye(2, dtype=torch.float64))
    sampler = ot_ode(D, start=0.2)
    state = sampler.init(sampler.problem(Y.expand(4000, 1, 2), PHYSICS), rng())
    assert (state.x.mean(0) - 0.2 * Y @ M).abs().max() < 0.05
    assert abs(float(state.x.var(0).mean()) - 0.64) < 0.05
    assert sampler(Y, PHYSICS, generator=rng()).shape == (1, 2)


def test_what_makes_no_sense_is_refused():
    D = GaussianDenoiser(mean=ZERO, covariance=torch.eye(2, dtype=torch.float64))
    with pytest.raises(invcore.ParameterError, match="moves=0"):
        FlowSampler(D, moves=3)(Y, Physics(Identity(SPACE), NoNoise()), generator=rng())
    with pytest.raises(invcore.ParameterError, match="start"):
        FlowSampler(D, start=1.0)
    with pytest.raises(invcore.ParameterError, match="method"):
        FlowSampler(D, method="rk4")


def test_the_posterior_of_gaussian_images_by_name():
    C = torch.tensor([[0.5, 0.2], [0.2, 1.0]], dtype=torch.float64)
    D = invcore.denoiser("gaussian", mean=ZERO + 0.5, covariance=C)
    x = invcore.sampler("diffusion.flow", denoiser=D, moves=0)(Y.expand(3000, 1, 2), PHYSICS, generator=rng())
    mean = GaussianRestorer(mean=ZERO + 0.5, covariance=C)(Y, PHYSICS)
    _, P = posterior(C)
    assert (x.mean(0) - mean).abs().max() < 0.04
    assert (torch.cov(x[:, 0].mT) - P).abs().max() < 0.03


def test_draws_of_a_velocity_network_are_its_flow():
    v = Velocity(GaussianDenoiser(mean=ZERO, covariance=torch.eye(2, dtype=torch.float64)))
    z = normal(5, 1, 2)
    a = transported(v, z, evenly(7), "heun")
    b = transported(lambda x, t: v(x, torch.full((5,), t, dtype=x.dtype)), z, evenly(7), "heun")
    torch.testing.assert_close(a, b)
