"""Bounds against their definitions, on grids and by duality."""

import math

import pytest
import torch

from invcore import DtypeError, ParameterError, ShapeError
from invcore.operators import Space
from invcore.priors import Box, NonNegative, Nuclear
from invcore_testsupport import normal

F64, C128 = torch.float64, torch.complex128


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
    """x = (u - p)/s with p the prox of s g* lies in ∂g*(p), where Fenchel and Young agree."""
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


@pytest.mark.parametrize(
    ("bound", "says"),
    [
        ((7, 5), r"upper has shape \(7, 5\); expected \(batch\.\.\., 1, 8, 8\)"),
        ((3, 8, 8), r"upper has shape \(3, 8, 8\)"),  # it would broadcast to three channels
        ((2, 1, 1, 1), r"upper has shape \(2, 1, 1, 1\), so the batch \(2,\); expected \(3,\)"),
    ],
)
def test_bounds_that_do_not_fit(bound, says):
    x, g = normal(3, 1, 8, 8), Box(upper=torch.ones(bound))
    for call in (lambda s: g.value(x, s), lambda s: g.prox(x, 1.0, s)):
        with pytest.raises(ShapeError, match=says):
            call(Space((1, 8, 8)))
    with pytest.raises(ShapeError, match=r"lower has shape \(8, 8\) and upper \(5, 7\)"):
        Box(lower=torch.zeros(8, 8), upper=torch.ones(5, 7))
    each = Box(upper=torch.arange(3.0).reshape(3, 1, 1, 1))
    assert each.prox(x + 10, 1.0, Space((1, 8, 8))).amax((1, 2, 3)).tolist() == [0, 1, 2]
