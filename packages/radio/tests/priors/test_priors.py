"""Entropy, squared variation, moments and the compact source, against brute force and closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.special import wrightomega

from invcore import DtypeError, ParameterError, ShapeError, Space
from invcore_radio import Centroid, CompactSource, Entropy, SecondMoment, TotalFlux, TotalSquaredVariation

SPACE = Space((1, 6, 5))


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def gaussian(ny, nx, fwhm, center=(0.0, 0.0), pixel=1.0):
    """Sampled analytically: widths, and offsets to the east and north, in the unit of ``pixel``."""
    s = fwhm / (2 * math.sqrt(2 * math.log(2)))
    east = (nx // 2 - torch.arange(nx, dtype=torch.float64)) * pixel - center[0]
    north = (ny // 2 - torch.arange(ny, dtype=torch.float64)) * pixel - center[1]
    image = torch.exp(-(east**2 + north[:, None] ** 2) / (2 * s**2))
    return (image / image.sum())[None]


def test_entropy_prox_is_the_wright_function_of_scipy():
    m = normal(6, 5, seed=1).exp()
    x, t = 5 * normal(2, 1, 6, 5), torch.tensor([0.3, 4.0], dtype=torch.float64)
    steps = t[:, None, None, None]
    expected = steps * wrightomega((x / steps + (m / steps).log()).numpy()).real
    assert torch.allclose(Entropy(reference=m).prox(x, t, SPACE), torch.as_tensor(expected), rtol=1e-12)


def test_entropy_of_normalized_images_is_the_relative_entropy():
    p, q = (v / v.sum() for v in (normal(1, 6, 5).exp(), normal(1, 6, 5, seed=3).exp()))
    g = Entropy(reference=7 * q).value(7 * p, SPACE)
    assert float(g) == pytest.approx(7 * float((p * (p / q).log()).sum()), rel=1e-12)
    assert float(Entropy(reference=q).value(-p, SPACE)) == math.inf


def test_entropy_needs_a_positive_reference_and_a_real_image():
    with pytest.raises(ParameterError, match="positive"):
        Entropy(reference=torch.zeros(2, 2))
    with pytest.raises(DtypeError, match="real"):
        Entropy(reference=torch.ones(())).value(torch.ones(2, 2, dtype=torch.complex64))


@pytest.mark.parametrize("h", [(1.0, 1.0), (0.5, 2.0)])
def test_squared_variation_prox_solves_the_dense_system(h):
    g, x, t = TotalSquaredVariation(spacing=h), normal(1, 6, 5), 0.7
    pixels = np.arange(30).reshape(6, 5)
    rows = [
        *zip(pixels[1:].ravel(), pixels[:-1].ravel()),
        *zip(pixels[:, 1:].ravel(), pixels[:, :-1].ravel()),
    ]
    D = np.zeros((len(rows), 30))
    for k, (a, b) in enumerate(rows):
        D[k, a], D[k, b] = (1 / h[k >= 25], -1 / h[k >= 25])
    flat = x.numpy().ravel()
    assert float(g.value(x, SPACE)) == pytest.approx(float(np.sum((D @ flat) ** 2)), rel=1e-12)
    expected = np.linalg.solve(np.eye(30) + 2 * t * D.T @ D, flat)
    assert np.allclose(g.prox(x, t, SPACE).numpy().ravel(), expected, rtol=1e-12)
    with pytest.raises(ShapeError, match="channel"):
        g.value(torch.zeros(3))


def test_moments_are_zero_for_a_gaussian_of_that_flux_place_and_size():
    image = 2.5 * gaussian(60, 64, 12.0, center=(3.0, -2.0), pixel=1.5)
    space = Space((1, 60, 64))
    assert float(TotalFlux(flux=2.5, sigma=0.1).value(image, space)) < 1e-20
    assert float(Centroid(flux=2.5, pixel=1.5, center=(3.0, -2.0)).value(image, space)) < 1e-12
    assert float(Centroid(flux=2.5, pixel=1.5, sigma=0.5).value(image, space)) == pytest.approx(
        13 / 2 / 0.25, rel=1e-6
    )
    round_one = 2.5 * gaussian(60, 64, 12.0, pixel=1.5)
    assert float(SecondMoment(flux=2.5, fwhm=12.0, pixel=1.5).value(round_one, space)) < 1e-12
    assert float(SecondMoment(flux=2.5, fwhm=13.0, pixel=1.5).value(round_one, space)) > 0.1


def test_the_major_axis_of_the_size_turns_from_north_to_east():
    y, x = torch.meshgrid(32 - torch.arange(64.0), 32 - torch.arange(64.0), indexing="ij")  # north, east
    angle, a, b = 0.5, 5.0, 2.0
    along, across = y * math.cos(angle) + x * math.sin(angle), -y * math.sin(angle) + x * math.cos(angle)
    image = torch.exp(-(along**2) / (2 * a**2) - across**2 / (2 * b**2)).double()[None]
    widths = 2 * math.sqrt(2 * math.log(2)) * a, 2 * math.sqrt(2 * math.log(2)) * b
    flux = float(image.sum())
    right, wrong = (SecondMoment(flux=flux, fwhm=(*widths, s * angle)).value(image) for s in (1, -1))
    assert float(right) < 1e-6 < 1 < float(wrong)


def test_the_compact_source_does_not_depend_on_unit_or_pixels():
    """The same Gaussian, on pixels of half the size, has the same g to the accuracy of the sums."""
    coarse, fine = (CompactSource(resolution=b) for b in (6.0, 12.0))
    images = [gaussian(n, n, f, center=(c, 0.0)) for n, f, c in ((64, 7.0, 3.0), (128, 14.0, 6.0))]
    values = [float(g.value(1000 * x)) for g, x in zip((coarse, fine), images)]
    assert values[0] == pytest.approx(values[1], rel=0.01)


def test_the_terms_of_a_compact_gaussian_are_those_of_the_integrals():
    """∫|∇p| = √(π/2)/σ and ∫|∇p|² = 1/(4π σ⁴) for a Gaussian of standard deviation σ."""
    b, sigma = 10.0, 9.0
    x = gaussian(128, 128, sigma * 2 * math.sqrt(2 * math.log(2)))
    edges = CompactSource(resolution=b, entropy=0.0, variation=1.0, squared_variation=0.0).value(x)
    squares = CompactSource(resolution=b, entropy=0.0, variation=0.0, squared_variation=1.0).value(x)
    assert float(edges) == pytest.approx(b / sigma * math.sqrt(math.pi / 2), rel=0.01)
    assert float(squares) == pytest.approx(b**4 / (4 * math.pi * sigma**4), rel=0.01)
