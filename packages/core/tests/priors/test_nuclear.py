"""The nuclear norm against eigenvalues of the Gram matrix and brute force."""

import pytest
import torch

from invcore import ParameterError, ShapeError, SolverError
from invcore.operators import Space
from invcore.priors import Nuclear
from invcore_testsupport import normal

F64, C128 = torch.float64, torch.complex128


def minimized(prior, x, step, start, steps=4000):
    """g(z) + ‖z - x‖²/(2 step) by brute force: random moves that shrink whenever none helps."""
    generator, size = torch.Generator().manual_seed(3), 0.3

    def objective(z):
        return float(prior.value(z) + (z - x).abs().square().sum() / (2 * step))

    z, best = start, objective(start)
    for _ in range(steps):
        moved = z + size * torch.randn(z.shape, dtype=z.dtype, generator=generator)
        value = objective(moved)
        if value < best:
            z, best = moved, value
        else:
            size = max(0.995 * size, 1e-6)
    return z, best, objective(prior.prox(x, step))


@pytest.mark.parametrize("dtype", [F64, C128])
def test_nuclear_norm_of_a_series(dtype):
    x, prior = normal(2, 4, 3, 5, dtype=dtype), Nuclear(rows=(-3,))
    space = Space((4, 3, 5), "complex" if dtype == C128 else "real")
    for i in range(2):
        matrix = x[i].reshape(4, 15)
        gram = torch.linalg.eigvalsh(matrix @ matrix.mH).clamp_min(0)
        assert float(prior.value(x, space)[i]) == pytest.approx(float(gram.sqrt().sum()))
    steps = torch.tensor([0.5, 100.0], dtype=F64)
    z = prior.prox(x, steps, space)
    assert torch.allclose(z[0], prior.prox(x[0], 0.5)) and not z[1].any()
    # columns across: the same singular values
    other = Nuclear(rows=(-2, -1))
    assert torch.allclose(other.prox(x, steps, space), z)


def test_nuclear_prox_by_brute_force():
    x, prior = normal(3, 4), Nuclear(rows=(-2,))
    _, best, ours = minimized(prior, x, 0.8, x)
    assert ours <= best and best == pytest.approx(ours, rel=2e-2)


def test_nuclear_prox_lowers_the_rank_and_derivatives_agree():
    x, prior = normal(6, 5), Nuclear(rows=(-2,))
    assert int(torch.linalg.matrix_rank(prior.prox(x, 2.0))) < 5
    with pytest.raises(ShapeError, match="do not leave columns"):
        Nuclear(rows=(-2, -1)).value(x)
    with pytest.raises(ParameterError, match="different negative"):
        Nuclear(rows=(1,))
    assert torch.autograd.gradcheck(lambda x: prior.prox(x, 0.5), (normal(3, 4).requires_grad_(),))


def test_a_kernel_has_the_subgradient_of_least_norm():
    x = torch.zeros(3, 4, dtype=torch.float64)
    x[0, 0] = -2.0
    x.requires_grad_()
    (g,) = torch.autograd.grad(Nuclear(rows=(-2,)).value(x), x)
    expected = torch.zeros(3, 4, dtype=torch.float64)
    expected[0, 0] = -1.0
    assert torch.equal(g, expected)


def with_values(*s, shape, dtype):
    """A matrix of these singular values, and random singular vectors."""
    u, v = (torch.linalg.qr(normal(n, len(s), seed=n, dtype=dtype))[0] for n in shape)
    return (u * torch.tensor(s, dtype=F64)) @ v.mH


@pytest.mark.parametrize("dtype", [F64, C128])
@pytest.mark.parametrize("shape", [(5, 5), (4, 7), (7, 4)])
@pytest.mark.parametrize("s", [(2.0, 2.0, 2.0, 0.2), (2.0, 2.0, 0.1, 0.1), (1.5, 0.0, 0.0, 0.0), (0.0,) * 4])
def test_derivatives_where_singular_values_are_equal_or_zero(dtype, shape, s):
    x, d = with_values(*s, shape=shape, dtype=dtype), normal(*shape, seed=9, dtype=dtype)
    prior, h = Nuclear(rows=(-2,)), 1e-5
    v, step = normal(*shape, seed=10, dtype=dtype), torch.tensor(0.5, dtype=F64, requires_grad=True)

    def prox(x, t):
        u, s, vh = torch.linalg.svd(x, full_matrices=False)  # on its own
        return (u * (s - t).clamp_min(0)) @ vh

    x.requires_grad_()
    found, to_step = torch.autograd.grad(prior.prox(x, step), (x, step), v)
    with torch.no_grad():
        numeric = (prox(x + h * d, 0.5) - prox(x - h * d, 0.5)) / (2 * h)
        by_step = (prox(x, 0.5 + h) - prox(x, 0.5 - h)) / (2 * h)
    inner = lambda a, b: float((a.conj() * b).real.sum())
    assert inner(found, d) == pytest.approx(inner(v, numeric), abs=1e-8)
    assert float(to_step) == pytest.approx(inner(v, by_step), abs=1e-8)


def test_second_derivatives_exist_where_singular_values_differ_and_are_refused_elsewhere():
    prior = Nuclear(rows=(-2,))
    assert torch.autograd.gradgradcheck(lambda x: prior.prox(x, 0.5), (normal(3, 4).requires_grad_(),))
    x = torch.eye(3, dtype=F64).requires_grad_()
    (g,) = torch.autograd.grad(prior.prox(x, 0.5).square().sum(), x, create_graph=True)
    with pytest.raises(SolverError, match="singular values are equal"):
        g.sum().backward()


def test_a_zero_step_is_the_identity_also_for_derivatives():
    x = torch.zeros(3, 4, dtype=F64, requires_grad=True)
    (g,) = torch.autograd.grad(Nuclear(rows=(-2,)).prox(x, 0.0), x, normal(3, 4))
    assert torch.allclose(g, normal(3, 4), atol=1e-15)
