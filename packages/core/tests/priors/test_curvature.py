"""Bounds of the curvature of priors against the largest eigenvalue of their Hessians."""

import pytest
import torch

from invcore.denoisers import GaussianDenoiser
from invcore.operators import Differences, Matrix
from invcore.priors import L1, RED, TV, FunctionPrior, GroupL12, Quadratic, Tikhonov
from invcore.spaces import Space
from invcore_testsupport import normal

SPACE = Space((1, 4, 4))


def largest(prior, at, space):
    hessian = torch.func.jacrev(lambda x: prior.grad(x, space))(at).reshape(at.numel(), at.numel())
    return float(torch.linalg.eigvalsh((hessian + hessian.mT) / 2).max())


@pytest.mark.parametrize(
    "prior",
    [
        Tikhonov(),
        Quadratic(Differences((1, 4, 4), boundary="periodic")),
        GroupL12(dims=(-1,), smoothing=0.5),
        TV(smoothing=0.1),
        0.5 * Tikhonov() + 2.0 * TV(smoothing=0.3),
    ],
    ids=lambda g: type(g).__name__,
)
def test_it_is_reached_near_zero(prior):
    found, bound = largest(prior, 1e-4 * normal(1, 4, 4), SPACE), float(prior.curvature(SPACE))
    assert 0.8 * bound < found <= bound * (1 + 1e-9)


def test_of_a_matrix_it_is_the_square_of_its_norm():
    matrix = normal(5, 3)
    assert float(Quadratic(Matrix(matrix)).curvature(Space((3,)))) == pytest.approx(
        float(torch.linalg.matrix_norm(matrix, 2)) ** 2, rel=1e-3
    )


def test_of_a_posterior_mean_it_is_one_over_the_variance_of_the_noise():
    """(x - D(x))/σ² = (C + σ²)⁻¹ (x - m), of which C = 0 gives the largest eigenvalue."""
    D = GaussianDenoiser(mean=torch.zeros(1, 3), covariance=torch.diag(torch.tensor([1.0, 0.3, 1e-6])))
    bound = RED(D, sigma=0.2, scale="score").curvature(Space((1, 3)))
    assert bound == pytest.approx(25.0)
    assert pytest.approx(bound, rel=1e-4) == 1 / (1e-6 + 0.2**2)


def test_unknown_ones():
    assert L1().curvature(SPACE) is None
    assert TV().curvature(SPACE) is None
    assert FunctionPrior(torch.sum).curvature(SPACE) is None
    assert (Tikhonov() + L1()).curvature(SPACE) is None
