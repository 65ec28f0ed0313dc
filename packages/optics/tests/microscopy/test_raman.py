"""Compressive Raman: estimates reach the Cramér–Rao bound; filters are designed by it. SPIFI is inverted."""

import math

import pytest
import torch

import invcore
from invcore import Physics, cramer_rao
from invcore.noises import PoissonNoise
from invcore_optics import CompressiveRaman, Spifi, raman_filters


def two_species(bands=40):
    t = torch.linspace(0, 1, bands, dtype=torch.float64)
    spectra = torch.stack(
        [torch.exp(-((t - 0.4) ** 2) / 0.02) + 0.2, torch.exp(-((t - 0.6) ** 2) / 0.03) + 0.1]
    )
    return spectra / spectra.sum(1, keepdim=True)


def bound(filters, spectra, photons, dwell=None):
    A = CompressiveRaman(filters=filters, spectra=spectra, shape=(1, 1), dwell=dwell)
    return cramer_rao(Physics(A, PoissonNoise()), photons[:, None, None]).flatten()


def test_as_many_filters_as_species_reach_the_bound():
    spectra, photons = two_species(), torch.tensor([200.0, 100.0], dtype=torch.float64)
    filters = raman_filters(spectra, photons)
    A = CompressiveRaman(filters=filters, spectra=spectra, shape=(200, 200))
    x = photons[:, None, None].expand(A.domain.shape)
    y = Physics(A, PoissonNoise())(x, generator=torch.Generator().manual_seed(0))
    estimates = torch.linalg.solve(A.matrix, y.flatten(1))
    exact = bound(filters, spectra, photons)
    assert torch.allclose(estimates.mean(1), photons, atol=0.5)
    assert torch.allclose(estimates.var(1) / exact, torch.ones(2, dtype=torch.float64), atol=0.03)


def test_the_best_threshold_is_the_best_of_all_filters_of_two_species():
    spectra, photons = two_species(8), torch.tensor([200.0, 100.0], dtype=torch.float64)
    best = float(bound(raman_filters(spectra, photons), spectra, photons).sum())
    full = torch.eye(8, dtype=torch.float64)
    for n in range(1, 2**8 - 1):
        first = torch.tensor([float(n >> k & 1) for k in range(8)], dtype=torch.float64)
        assert float(bound(torch.stack((first, 1 - first)), spectra, photons).sum()) >= best * (1 - 1e-9)
    whole = bound(full, spectra, photons, dwell=torch.ones(1, dtype=torch.float64))
    assert float(whole.sum()) < best  # a spectrometer that loses no light


def test_filters_of_three_species_by_flips():
    t = torch.linspace(0, 1, 12, dtype=torch.float64)
    spectra = torch.stack([torch.exp(-((t - c) ** 2) / 0.02) + 0.05 for c in (0.2, 0.5, 0.8)])
    spectra = spectra / spectra.sum(1, keepdim=True)
    photons = torch.full((3,), 100.0, dtype=torch.float64)
    g = torch.Generator().manual_seed(0)
    found = raman_filters(spectra, photons, complementary=True, starts=3, generator=g)
    assert torch.equal(found.sum(0), torch.ones(12, dtype=torch.float64))
    one = torch.ones(1, dtype=torch.float64)
    thirds = torch.eye(3, dtype=torch.float64).repeat_interleave(4, 1)
    designed, plain = (float(bound(F, spectra, photons, dwell=one).sum()) for F in (found, thirds))
    assert designed <= plain * (1 + 1e-9)


def test_spifi_is_the_sum_of_blinking_pixels_and_inverted_exactly():
    n = 9
    x = torch.rand(1, 2, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t, j = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)
    mask = 0.5 + 0.5 * torch.cos(math.pi * (j + 0.5) * t / n)
    A = Spifi((1, 2, n))
    assert torch.allclose(A(x), x @ mask.T, atol=1e-13)
    assert float((A.inverse(A(x)) - x).abs().max()) < 1e-13


def test_wrong_input_is_refused():
    with pytest.raises(invcore.ShapeError, match="wavelengths"):
        CompressiveRaman(filters=torch.ones(2, 3), spectra=torch.ones(2, 4), shape=(1, 1))
    with pytest.raises(invcore.ParameterError, match="generator"):
        raman_filters(torch.rand(3, 5), torch.ones(3))
    with pytest.raises(invcore.ParameterError, match="count"):
        raman_filters(torch.rand(3, 5), torch.ones(3), count=2)
