"""The g-factor by unfolding against dense matrices and pseudo-replicas."""

import pytest
import torch

from invcore import ParameterError, Physics, ShapeError
from invcore.noises import GaussianNoise
from invcore_mri import Sense, coil_array, g_factor, pseudo_replicas

MAPS = coil_array((12, 10), coils=5)
FULL = Sense(MAPS, torch.ones(1, 1))


def mask(shape, steps):
    m = torch.zeros(shape)
    m[tuple(slice(None, None, s) for s in steps)] = 1
    return m


def dense_g(operator, full, r, covariance=None):
    """√(variance / (R variance of the full scan)), from the matrices."""

    def variance(A):
        m = A.dense(dtype=torch.float64)
        if covariance is not None:
            lower = torch.linalg.cholesky(covariance.to(torch.complex128))
            m = torch.linalg.solve(torch.kron(lower.contiguous(), torch.eye(len(m) // len(lower))), m)
        return torch.linalg.inv(m.mH @ m).diagonal().real

    return (variance(operator) / variance(full) / r).sqrt()


@pytest.mark.parametrize("steps", [(2, 1), (1, 2), (2, 2), (3, 1)])
def test_unfolding_equals_the_dense_matrix(steps):
    expected = dense_g(Sense(MAPS, mask((12, 10), steps)), FULL, steps[0] * steps[1])
    torch.testing.assert_close(g_factor(MAPS, steps).flatten().double(), expected, rtol=1e-4, atol=1e-4)


def test_correlated_noise(generator):
    mixing = torch.randn(5, 5, dtype=torch.complex128, generator=generator) + 2 * torch.eye(5)
    covariance = mixing @ mixing.mH
    expected = dense_g(Sense(MAPS, mask((12, 10), (2, 1))), FULL, 2, covariance)
    found = g_factor(MAPS.expand(3, *MAPS.shape), (2, 1), covariance=covariance)
    torch.testing.assert_close(found[1].flatten().double(), expected, rtol=1e-4, atol=1e-4)


def test_volume_and_empty_voxels():
    maps = coil_array((8, 6, 4), coils=8)
    maps[:, :2] = 0
    g = g_factor(maps, (2, 1, 2))
    assert g.shape == (8, 6, 4) and bool((g[:2] == 0).all())
    alone = g[4:6]  # folds onto the empty ones along the first axis
    torch.testing.assert_close(alone, g_factor(maps[:, 4:6], (1, 1, 2)), rtol=1e-4, atol=1e-4)
    same = torch.ones(3, 4, 4, dtype=torch.complex64)
    assert bool(g_factor(same, (2, 1)).isinf().all())


def test_pseudo_replicas_agree(generator):
    """Over 600 replicas a standard deviation is known to 2 % (real and imaginary part each give one)."""
    A = Sense(MAPS, mask((12, 10), (2, 2)))
    inverse = torch.linalg.pinv(A.dense(dtype=torch.float64)).to(torch.complex64)
    physics = Physics(A, GaussianNoise(sigma=0.3))
    y = A(torch.ones(1, 12, 10) + 0j)

    def solve(y, physics):
        return (inverse @ y.flatten()).reshape(1, 12, 10)

    noise = pseudo_replicas(solve, y, physics, draws=600, generator=generator)
    ratio = noise[0] / (0.3 * 2) / g_factor(MAPS, (2, 2))
    assert ratio.mean() == pytest.approx(1, abs=0.01) and ratio.std() < 0.035


def test_errors_say_what_to_do():
    with pytest.raises(ParameterError, match="12 voxels do not fold 5 times"):
        g_factor(MAPS, (5, 1))
    with pytest.raises(ParameterError, match="6 voxels fold onto each other"):
        g_factor(MAPS, (6, 1))
    with pytest.raises(ShapeError, match="complex maps"):
        g_factor(MAPS.real, (2, 1))
    with pytest.raises(ShapeError, match="covariance"):
        g_factor(MAPS, (2, 1), covariance=torch.eye(3))
    with pytest.raises(ParameterError, match="2 draws"):
        pseudo_replicas(lambda y, p: y, MAPS, None, draws=1, generator=torch.Generator())
