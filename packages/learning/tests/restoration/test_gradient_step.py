"""The gradient-step denoiser is a gradient step on its potential."""

import pytest
import torch

import invcore
from invcore import Physics, Space
from invcore.noises import GaussianNoise
from invcore.operators import Identity
from invcore.testing import check
from invcore_learning import DRUNet, GradientStepDenoiser
from invcore_testsupport import error, normal


def gs_drunet(**options):
    torch_weights = DRUNet(features=(4, 6), blocks=1, activation="elu").double()
    for i, p in enumerate(torch_weights.parameters()):
        p.data = 0.5 * normal(*p.shape, seed=i) / p[0].numel() ** 0.5
    return GradientStepDenoiser(torch_weights, **options)


def test_it_is_the_image_minus_the_gradient_of_the_potential():
    D, x = gs_drunet(step=0.6), normal(3, 1, 7, 10)
    sigma = torch.tensor([0.1, 0.2, 0.4], dtype=torch.float64)
    at = x.clone().requires_grad_()
    N = D.network(at, sigma)
    potential = 0.5 * (at - N).square().flatten(1).sum(1)
    (slope,) = torch.autograd.grad(potential.sum(), at)
    assert error(D(x, sigma), x - 0.6 * slope) < 1e-13
    assert error(D.prior(sigma).value(x, Space((1, 7, 10))), potential.detach()) < 1e-14


def test_its_jacobian_is_symmetric():
    D, x = gs_drunet(), normal(1, 5, 4)
    J = torch.autograd.functional.jacobian(lambda v: D(v, 0.2), x).reshape(20, 20)
    assert error(J, J.mT) < 1e-12
    assert (J - torch.eye(20, dtype=J.dtype)).norm() > 0.1


def test_its_prior_passes_the_kit():
    check(gs_drunet().prior(0.2))


def test_gradients_reach_the_weights_only_while_a_graph_is_recorded():
    D, x = gs_drunet(), normal(1, 6, 6)
    D(x, 0.1).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in D.network.parameters())
    with torch.no_grad():
        assert not D(x, 0.1).requires_grad


def test_a_solver_with_its_prior_ends_at_a_stationary_point():
    D, y = gs_drunet(), normal(1, 6, 6)
    physics = Physics(Identity((1, 6, 6)), GaussianNoise(sigma=0.5))
    x = invcore.solver("lbfgs", prior=D.prior(0.1), weight=3.0, rtol=1e-7)(y, physics)
    slope = (x - y) / 0.25 + 3.0 * D.prior(0.1).grad(x, Space((1, 6, 6)))
    assert slope.norm() < 1e-5 * (3.0 * D.prior(0.1).grad(y, Space((1, 6, 6)))).norm()


def test_a_step_that_is_none_is_refused():
    with pytest.raises(invcore.ParameterError, match="positive"):
        gs_drunet(step=0.0)
