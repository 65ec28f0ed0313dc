"""Constraints, low rank, relative differences, priors from denoisers: against their definitions."""

import math

import pytest
import torch

from invcore import DtypeError, ParameterError, ShapeError
from invcore.operators import Space
from invcore.priors import (
    Box,
    NonNegative,
    Nuclear,
    RelativeDifference,
)

F64, C128 = torch.float64, torch.complex128


def normal(*shape, dtype=F64, seed=0):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def minimised(prior, x, step, start, steps=4000):
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


def test_constraints_on_a_grid():
    grid = torch.linspace(-3, 3, 6001, dtype=F64)
    for prior in (NonNegative(), Box(lower=-0.5, upper=1.5)):
        values = torch.stack([prior.value(z.reshape(1)) for z in grid])
        for x in (-2.0, -0.3, 0.7, 2.5):
            best = grid[(values + (grid - x) ** 2).argmin()]
            assert float(prior.prox(torch.tensor([x], dtype=F64), 0.5)) == pytest.approx(
                float(best), abs=1e-3
            )


def test_values_of_constraints_per_sample():
    x = torch.tensor([[[0.0, 1.0]], [[-0.1, 1.0]], [[0.2, 1.1]]])
    assert NonNegative().value(x, Space((1, 2))).tolist() == [0, math.inf, 0]
    assert Box().value(x, Space((1, 2))).tolist() == [0, math.inf, math.inf]
    bounds = Box(lower=torch.tensor([0.0, 1.0]), upper=torch.tensor([0.1, 2.0]))
    assert torch.equal(bounds.prox(x, 1.0)[2], torch.tensor([[0.1, 1.1]]))


@pytest.mark.parametrize(
    "prior", [NonNegative(), Box(lower=-0.4, upper=0.6), Nuclear(rows=(-2,))], ids=lambda p: type(p).__name__
)
def test_conjugates_by_moreau(prior):
    """p = prox of s g* and x = (u - p)/s: x is in the subdifferential of g* at p, where Fenchel and Young agree."""
    u, s = normal(4, 5), 0.7
    p = prior.prox_conjugate(u, s)
    x = prior.prox((u - p) / s, 1e-14)  # back into the domain, which rounding may leave
    assert float(prior.value(x) + prior.conjugate(p)) == pytest.approx(float((x * p).sum()), abs=1e-9)
    assert math.isfinite(float(prior.conjugate(p)))


def test_infinite_bounds():
    g, u = Box(lower=0.0, upper=math.inf), torch.tensor([-1.0, 0.0, -2.0])
    assert float(g.conjugate(u)) == 0 and math.isinf(float(g.conjugate(-u)))
    assert g.prox(torch.tensor([-1.0, 1e9]), 1.0).tolist() == [0, 1e9]


def test_wrong_constraints():
    with pytest.raises(ParameterError, match="at most upper"):
        Box(lower=1.0, upper=0.0)
    for prior in (Box(), NonNegative()):
        with pytest.raises(DtypeError, match="real image"):
            prior.prox(normal(3, dtype=C128), 1.0)


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
    _, best, ours = minimised(prior, x, 0.8, x)
    assert ours <= best and best == pytest.approx(ours, rel=2e-2)


def test_nuclear_prox_lowers_the_rank_and_derivatives_agree():
    x, prior = normal(6, 5), Nuclear(rows=(-2,))
    assert int(torch.linalg.matrix_rank(prior.prox(x, 2.0))) < 5
    with pytest.raises(ShapeError, match="do not leave columns"):
        Nuclear(rows=(-2, -1)).value(x)
    with pytest.raises(ParameterError, match="different negative"):
        Nuclear(rows=(1,))
    assert torch.autograd.gradcheck(lambda x: prior.prox(x, 0.5), (normal(3, 4).requires_grad_(),))


@pytest.mark.parametrize("dims, shape", [(1, (2, 7)), (2, (1, 5, 4)), (3, (1, 3, 4, 2))])
def test_relative_difference_by_loops(dims, shape):
    x = normal(*shape).abs()
    spacing = (1.0, 2.0, 0.5)[:dims]
    prior = RelativeDifference(gamma=1.5, epsilon=0.01, dims=dims, spacing=spacing)
    total = 0.0
    for axis in range(dims):
        moved = x.movedim(axis - dims, -1)
        for i in range(moved.shape[-1] - 1):
            for a, b in zip(moved[..., i].flatten().tolist(), moved[..., i + 1].flatten().tolist()):
                total += (a - b) ** 2 / (a + b + 1.5 * abs(a - b) + 0.01) / spacing[axis]
    assert float(prior.value(x)) == pytest.approx(total, rel=1e-12)
    point = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(prior.value(point), point)
    assert torch.allclose(prior.grad(x), expected)


def test_relative_difference_outside_its_domain():
    x = torch.tensor([[[1.0, -0.5], [2.0, 1.0]]])
    assert math.isinf(float(RelativeDifference().value(x)))
    assert RelativeDifference().grad(torch.zeros(1, 4, 4)).isfinite().all()
    with pytest.raises(DtypeError, match="real"):
        RelativeDifference().value(normal(1, 3, 3, dtype=C128))
    with pytest.raises(ParameterError, match="epsilon"):
        RelativeDifference(epsilon=0.0)
