"""Distances of distributions against scipy, closed forms and Gaussians that commute."""

import pytest
import scipy.linalg
import torch

from invcore import DtypeError, ParameterError, ShapeError
from invcore.metrics import bures_wasserstein, sliced_wasserstein
from invcore_testsupport import rng

F64 = torch.float64


def covariances(kind, batch=(), n=4, seed=0):
    g = rng(seed)
    a = torch.randn(*batch, n, n + 2, generator=g, dtype=kind)
    return a @ a.mH


@pytest.mark.parametrize("kind", [F64, torch.complex128])
def test_gaussians_against_the_formula_with_matrix_roots(kind):
    A, B = covariances(kind, seed=1), covariances(kind, seed=2)
    m, k = torch.randn(2, 4, generator=rng(3), dtype=kind)
    root = scipy.linalg.sqrtm(A.numpy())
    cross = scipy.linalg.sqrtm(root @ B.numpy() @ root)
    truth = float((m - k).abs().square().sum() + (A + B).diagonal().real.sum()) - 2 * cross.trace().real
    assert float(bures_wasserstein(m, A, k, B)) == pytest.approx(truth**0.5, rel=1e-12)


def test_commuting_gaussians_small_distances_and_singular_ones():
    values, other = torch.tensor([[4.0, 1.0, 0.25], [4.0, 1.0, 0.0]], dtype=F64)
    q = torch.linalg.qr(torch.randn(3, 3, generator=rng(0), dtype=F64))[0]
    zero = torch.zeros(3, dtype=F64)
    A, B = ((q * v) @ q.mT for v in (values, other))
    assert float(bures_wasserstein(zero, A, zero, B)) == pytest.approx(0.5, rel=1e-12)
    assert float(bures_wasserstein(zero, A, zero, A)) < 1e-14
    near = (1 + 1e-12) * A  # W = 5e-13 √tr A, lost in rounding by the formula as it is written
    assert float(bures_wasserstein(zero, A, zero, near)) == pytest.approx(5e-13 * 5.25**0.5, rel=1e-2)


def test_batches_of_gaussians():
    A, B = covariances(F64, (3,), seed=1), covariances(F64, (3,), seed=2)
    m = torch.randn(3, 4, generator=rng(3), dtype=F64)
    together = bures_wasserstein(m, A, 0 * m, B)
    alone = [bures_wasserstein(m[i], A[i], 0 * m[i], B[i]) for i in range(3)]
    assert torch.allclose(together, torch.stack(alone), rtol=1e-12)


def test_sliced_distance_of_a_shift_is_its_length_over_root_n():
    x = torch.randn(50, 2, 3, generator=rng(0), dtype=F64)
    shift = torch.randn(2, 3, generator=rng(1), dtype=F64)
    found = sliced_wasserstein(x, (x + shift).flip(0), generator=rng(2), projections=20_000)
    assert float(found) == pytest.approx(float(shift.norm()) / 6**0.5, rel=0.02)
    assert float(sliced_wasserstein(x, x.flip(0), generator=rng(2))) < 1e-15


@pytest.mark.parametrize(("n", "m"), [(2, 3), (4, 6), (5, 1)])
def test_sets_of_different_size_count_as_their_repetitions(n, m):
    a, b = torch.randn(n, 3, generator=rng(0), dtype=F64), torch.randn(m, 3, generator=rng(1), dtype=F64)
    found = sliced_wasserstein(a, b, generator=rng(2), projections=5)
    same = sliced_wasserstein(a.repeat(m, 1), b.repeat(n, 1), generator=rng(2), projections=5)
    assert float(found) == pytest.approx(float(same), rel=1e-12)


def test_sliced_distance_of_gaussians_along_their_lines():
    """On each line W is the difference of the standard deviations; complex images are pairs of real ones."""
    deviations = torch.tensor([2.0, 0.5, 1.0, 1.0], dtype=F64)
    x, z = torch.randn(2, 5000, 4, generator=rng(0), dtype=F64)
    x = x * deviations
    lines = torch.randn(4, 4000, generator=rng(1), dtype=F64)
    lines = lines / lines.norm(dim=0)
    truth = ((deviations[:, None] * lines).norm(dim=0) - 1).square().mean().sqrt()
    pairs = (torch.view_as_complex(t.view(-1, 2, 2)) for t in (x, z))
    assert float(sliced_wasserstein(x, z, generator=rng(2))) == pytest.approx(float(truth), rel=0.1)
    found = sliced_wasserstein(*pairs, generator=rng(2))
    assert float(found) == pytest.approx(float(sliced_wasserstein(x, z, generator=rng(2))), rel=1e-12)


def test_refusals():
    eye, zero = torch.eye(2), torch.zeros(2)
    with pytest.raises(ShapeError, match=r"the second pair has"):
        bures_wasserstein(zero, eye, torch.zeros(3), torch.eye(3))
    with pytest.raises(ParameterError, match="other_covariance is not symmetric and positive"):
        bures_wasserstein(zero, eye, zero, -eye)
    with pytest.raises(ShapeError, match="n, m >= 1"):
        sliced_wasserstein(torch.zeros(3, 2), torch.zeros(3, 4), generator=rng(0))
    with pytest.raises(DtypeError, match="both sets are real"):
        sliced_wasserstein(zero, zero + 0j, generator=rng(0))
    with pytest.raises(ParameterError, match="projections"):
        sliced_wasserstein(zero, zero, generator=rng(0), projections=0)
