"""Amplitudes, squared visibilities and bispectra against their definitions."""

import math

import pytest
import torch

from invcore.operators import Space
from invcore_radio import (
    Amplitudes,
    Bispectra,
    ClosurePhases,
    SquaredVisibilities,
    closure_triangles,
)


def test_quantities_against_their_definitions(generator):
    V = torch.randn(6, 3, generator=generator, dtype=torch.complex128)
    domain = Space((6, 3), "complex")
    assert torch.equal(Amplitudes(domain)(V), V.abs())
    some = torch.tensor([2, 17])
    assert (SquaredVisibilities(domain, index=some)(V) - V.flatten()[some].abs() ** 2).abs().max() < 1e-14
    a, b = torch.triu_indices(4, 4, 1)
    closures = closure_triangles(b, a, torch.zeros(6), good=torch.ones(6, 3, dtype=torch.bool))
    triple = Bispectra(closures)(V)
    assert (triple.angle() - ClosurePhases(closures)(V)).abs().max() < 1e-12
    assert (triple.abs() - V.flatten()[closures.index].abs().prod(-1)).abs().max() < 1e-12


@pytest.mark.parametrize("index", [None, torch.tensor([0, 2, 3])])
def test_amplitudes_follow_their_likelihood(index, generator):
    V = 3 * torch.exp(1j * torch.rand(4, 1, generator=generator, dtype=torch.float64))
    sigma = torch.tensor([[0.1], [0.2], [0.3], [0.15]], dtype=torch.float64)
    A = Amplitudes(Space((4, 1), "complex"), index=index)
    data = V + sigma * math.sqrt(2) * torch.randn(20_000, 4, 1, generator=generator, dtype=torch.complex128)
    y = A.measured(data, sigma)
    chi2 = 2 * A.noise(V, sigma).likelihood().value(A(V).expand_as(y), y, A.range)
    n = A.range.size
    assert float(chi2.mean()) == pytest.approx(n, rel=0.03) and float(chi2.var()) == pytest.approx(
        2 * n, rel=0.1
    )
    wide = A.noise(V, sigma, fraction=0.1, systematic=0.4).sigma
    assert (wide**2 - A.noise(V, sigma).sigma ** 2 - 0.3**2 - 0.4**2).abs().max() < 1e-12
