"""Point spread functions on grids: light, widths, products, and averages of beads."""

import math

import pytest
import torch

from invcore import DataError, ParameterError, ShapeError
from invcore_optics import PSF, Objective, PupilPSF, confocal, measured_psf, two_photon

OBJECTIVE = Objective(520e-9, 0.85)


def gaussian(n, sigma, step=1.0, center=0.0):
    return torch.exp(
        -(((torch.arange(n, dtype=torch.float64) - n // 2) * step - center) ** 2) / (2 * sigma**2)
    )


def cube(n, sigma):
    g = gaussian(n, sigma)
    return g[:, None, None] * g[:, None] * g


def test_camera_pixels_integrate_the_light():
    """Against the operator with oversampled pixels, and exactly for whole factors."""
    fine = PupilPSF(objective=OBJECTIVE, pixel=26e-9, shape=(135, 135), modes=(4,), samples=100)
    coarse = PupilPSF(
        objective=OBJECTIVE, pixel=130e-9, shape=(27, 27), modes=(4,), samples=100, oversampling=5
    )
    x = torch.zeros(1, dtype=torch.float64)
    psf = PSF(fine(x), (1e-6, 26e-9, 26e-9))
    camera = psf.resample((1e-6, 130e-9, 130e-9), shape=(1, 27, 27))
    torch.testing.assert_close(camera.values, coarse(x), rtol=1e-9, atol=1e-12)
    odd = psf.resample((1e-6, 87e-9, 87e-9), shape=(1, 39, 39))
    other = PupilPSF(
        objective=OBJECTIVE, pixel=87e-9, shape=(39, 39), modes=(4,), samples=100, oversampling=4
    )
    assert (odd.values - other(x)).abs().max() < 3e-3 * other(x).max()
    with pytest.warns(RuntimeWarning, match="% of the light"):
        psf.resample((1e-6, 130e-9, 130e-9), shape=(1, 5, 5))


def test_width_of_a_gaussian():
    widths = PSF(cube(31, 3.0), (2e-7, 1e-7, 1e-7)).fwhm
    expected = 2 * math.sqrt(2 * math.log(2)) * 3
    assert widths == pytest.approx((2e-7 * expected, 1e-7 * expected, 1e-7 * expected), rel=5e-3)


def test_resampling_along_z():
    z = gaussian(41, 4.0)[:, None, None] * torch.ones(1, 5, 5, dtype=torch.float64)
    coarse = PSF(z, (1e-7, 1e-7, 1e-7)).resample((3e-7, 1e-7, 1e-7))
    assert coarse.values.shape == (13, 5, 5)
    expected = gaussian(13, 4.0, 3.0)
    assert (coarse.values[:, 2, 2] - expected).abs().max() < 2e-3


def test_confocal_of_gaussians():
    """A product of Gaussians is a Gaussian; a pinhole adds its variance, R²/4 along each axis."""
    h = PSF(cube(41, 3.0), (1e-7, 1e-7, 1e-7))
    point = confocal(h, h, pinhole=0.0).values
    torch.testing.assert_close(point, two_photon(h).values)
    narrow = cube(41, 3 / 2**0.5)
    torch.testing.assert_close(point, narrow / narrow.sum())
    open_ = confocal(h, h, pinhole=4e-7).values
    at = torch.arange(41, dtype=torch.float64) - 20
    variance = float((open_.sum((0, 1)) * at**2).sum())
    assert variance == pytest.approx(1 / (1 / 9 + 1 / (9 + 4)), rel=4e-2)  # a disk is no Gaussian
    with pytest.raises(ShapeError, match="on one grid"):
        confocal(h, PSF(cube(21, 3.0), h.voxel), pinhole=0.0)


def test_confocal_sections_and_wide_field_does_not():
    z = 300e-9 * (torch.arange(15, dtype=torch.float64) - 7)
    A = PupilPSF(objective=OBJECTIVE, pixel=80e-9, shape=(61, 61), modes=(4,), depths=z)
    h = PSF(A(torch.zeros(1, dtype=torch.float64)), (300e-9, 80e-9, 80e-9))
    assert h.light.min() > 0.7 * h.light.max()
    section = confocal(h, h, pinhole=0.5 * 1.22 * 520e-9 / 0.85)
    assert section.light[0] < 0.05 * section.light[7]


def test_average_of_beads():
    """Beads at fractions of a voxel, with background and noise."""
    generator = torch.Generator().manual_seed(0)
    y = torch.full((40, 90, 90), 20.0, dtype=torch.float64)
    centers = [(20.3, 20.4, 25.7), (19.6, 60.2, 30.1), (20.0, 40.5, 66.4)]
    for c in centers:
        parts = [gaussian(n, 2.0, 1.0, p - n // 2) for n, p in zip(y.shape, c)]
        y += 500 * parts[0][:, None, None] * parts[1][:, None] * parts[2]
    found = measured_psf(torch.poisson(y, generator), (2e-7, 1e-7, 1e-7), shape=(21, 21, 21))
    assert len(found.centers) == 3
    order = found.centers[:, 1].argsort()
    expected = torch.tensor(sorted(centers, key=lambda c: c[1]))
    assert (found.centers[order] - expected).abs().max() < 0.1
    assert found.background == pytest.approx(20, abs=0.5)
    truth = cube(21, 2.0)
    assert (found.psf.values - truth / truth.sum()).abs().max() < 0.05 * (truth / truth.sum()).max()
    assert float(found.scatter.max()) > 0


def test_no_bead_and_bad_values():
    flat = torch.poisson(torch.full((20, 30, 30), 20.0), torch.Generator().manual_seed(0))
    with pytest.raises(DataError, match="no bead"):
        measured_psf(flat, (1e-7, 1e-7, 1e-7), shape=(9, 9, 9))
    with pytest.raises(ShapeError, match="no larger"):
        measured_psf(flat, (1e-7, 1e-7, 1e-7), shape=(21, 9, 9))
    with pytest.raises(DataError, match="finite"):
        PSF(torch.full((1, 2, 2), math.nan), (1e-7, 1e-7, 1e-7))
    with pytest.raises(ParameterError, match="meters"):
        PSF(torch.ones(1, 2, 2), (1e-7, -1e-7, 1e-7))
