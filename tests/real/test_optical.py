"""A young star seen by VLTI/GRAVITY: what the file holds, and sources fitted to it."""

import functools
import math

import numpy as np
import pytest
import torch
from astropy.io import fits
from scipy import optimize, special

import invcore
from invcore_radio import MAS, fit_source, read_fits_image, read_oifits

ERRORS = (0.02, math.radians(0.5))
"""Calibration: 2 % of a squared visibility, half a degree of a closure phase."""


@functools.cache
def gravity(measured):
    return read_oifits(measured("radio/gravity.oifits"), instrument="GRAVITY_SC").select(
        wavelengths=(2.0e-6, 2.4e-6)
    )  # beyond, the atmosphere


def test_the_file_is_read(measured):
    default = read_oifits(measured("radio/gravity.oifits"))
    assert (default.target, default.instrument) == ("CO_Ori_A", "GRAVITY_SC")
    both = read_oifits(measured("radio/gravity.oifits"), instrument="GRAVITY_FT, GRAVITY_SC")
    assert both.instrument == "GRAVITY_FT, GRAVITY_SC" and both.vis2.shape == (12, 215)
    data = read_oifits(measured("radio/gravity.oifits"), instrument="GRAVITY_SC")
    assert (data.target, data.instrument) == ("CO_Ori_A", "GRAVITY_SC")
    assert data.vis2.shape == (6, 210) and data.phase.shape == (4, 210)
    assert data.stations[0] == ("C1", "D0")
    assert read_oifits(measured("radio/gravity.oifits"), instrument="GRAVITY_FT").vis2.shape == (
        6,
        5,
    )
    with fits.open(measured("radio/gravity.oifits")) as file:
        table = next(t for t in file if t.name == "OI_T3" and t.header["INSNAME"] == "GRAVITY_SC")
        np.testing.assert_allclose(np.degrees(data.phase.numpy()), table.data["T3PHI"], rtol=1e-12)
    # the third baseline of a triangle is the sum of two: all are among those of the squared visibilities
    distance = torch.cdist(data.legs[6:], data.baselines).amin(1)
    assert distance.max() < 1e-3
    acquisition = invcore.read(measured("radio/gravity.oifits"), instrument="GRAVITY_SC")
    assert acquisition.metadata["closure_phases"] == 840


def test_uniform_disk_against_a_fit_by_scipy(measured):
    data = gravity(measured)
    fit = fit_source(data, ["disk"], {"0.diameter": 2.0})
    length = np.linalg.norm(data.baselines.numpy(), axis=1)[:, None] / data.wavelengths.numpy()

    def chi2(diameter):
        x = math.pi * diameter * MAS * length
        model = (2 * special.j1(x) / x) ** 2
        residuals = ((model - data.vis2.numpy()) / data.vis2_sigma.numpy()) ** 2
        angles = (2 * np.sin(data.phase.numpy() / 2) / data.phase_sigma.numpy()) ** 2
        return residuals.sum() + angles.sum()

    best = optimize.minimize_scalar(chi2, bounds=(0.5, 8.0), method="bounded", options={"xatol": 1e-7})
    assert fit.values["0.diameter"] == pytest.approx(best.x, rel=1e-5)
    assert fit.chi2 == pytest.approx(best.fun, rel=1e-8)
    assert fit.count == data.vis2.numel() + data.phase.numel()
    curvature = (chi2(best.x + 1e-2) + chi2(best.x - 1e-2) - 2 * best.fun) / 1e-4
    assert float(fit.covariance) == pytest.approx(2 / curvature, rel=0.05)
    assert 3.5 < fit.reduced_chi2 < 4.3  # a disk alone does not explain them


def test_a_second_source_explains_the_closure_phases(measured):
    """With calibration errors a disk and a companion (or a spot of the disk) fit, a disk alone does not."""
    data = gravity(measured)
    disk = fit_source(data, ["disk"], {"0.diameter": 2.0}, systematic=ERRORS)
    grid = [3.0 * k for k in range(-10, 11)]
    start = {"0.diameter": 4.0, "1.flux": 0.02, "1.east": grid, "1.north": grid}
    binary = fit_source(data, ["disk", "point"], start, systematic=ERRORS)
    assert disk.reduced_chi2 > 1.5
    assert 0.9 < binary.reduced_chi2 < 1.1
    assert 0.005 < binary.values["1.flux"] < 0.03


def test_a_star_with_an_inclined_disk(measured):
    """A star, a Gaussian disk seen at an angle, and light from farther out."""
    start = {
        "1.fwhm": 8.0,
        "1.flux": 0.5,
        "1.ratio": 0.5,
        "1.angle": [15.0, 60.0, 105.0, 150.0],
        "2.flux": 0.02,
    }
    fit = fit_source(gravity(measured), ["point", "gaussian", "background"], start, systematic=ERRORS)
    assert 0.9 < fit.reduced_chi2 < 1.1
    assert 10 < fit.values["1.fwhm"] < 15 and 0.35 < fit.values["1.ratio"] < 0.6
    assert 50 < fit.values["1.angle"] % 180 < 62


def test_reconstruct_makes_an_image_that_explains_the_data_by_the_reader_s_defaults(measured, tmp_path):
    """A star, and faint light around it; nothing is chosen by the user."""
    from invcore import reconstruct

    science = {"instrument": "GRAVITY_SC"}  # the fringe tracker's errors are too small for its calibration
    acquisition = invcore.read(measured("radio/gravity.oifits"), **science)
    found = reconstruct(measured("radio/gravity.oifits"), options=science, output=tmp_path, progress=False)
    image = read_fits_image(found.files["image.fits"]).image
    assert 0.8 < float(image.max() / image.sum()) < 0.97
    assert int(image.argmax()) == 32 * 64 + 32
    predicted = acquisition.physics.operator(image.double())
    for f, u, y in zip(acquisition.physics.likelihood().parts, predicted, acquisition.y, strict=True):
        assert 2 * float(f.value(u, y)) / y.numel() < 1.8  # errors as stated, without those of calibration
