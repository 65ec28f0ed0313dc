"""Point spread functions against closed forms and quadrature of the diffraction integrals."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad_vec
from scipy.special import j0, j1, jv

from invcore import ParameterError, ShapeError
from invcore_optics import Objective, PupilPSF, StratifiedMedium, otf

LOW = Objective(500e-9, 0.05)


def airy(v):
    return np.where(v == 0, 1.0, (2 * j1(v) / np.where(v == 0, 1.0, v)) ** 2)


def test_airy_pattern():
    """A pupil of radius 64 cells; pixels as if padded to 1024."""
    pixel = 64 / 1024 * LOW.wavelength / LOW.na
    A = PupilPSF(objective=LOW, pixel=pixel, shape=(1, 1024), modes=(4,), samples=130)
    h = A(torch.zeros(1, dtype=torch.float64))[0, 0].numpy()
    v = 2 * np.pi * 64 * (np.arange(1024) - 512) / 1024
    assert np.abs(h / h[512] - airy(v)).max() < 4e-5
    peak = math.pi * (LOW.na / LOW.wavelength * pixel) ** 2
    assert h[512] == pytest.approx(peak, rel=2e-4)


@pytest.mark.parametrize("rms", [0.1, 0.3, 0.6])
def test_strehl_ratio_of_defocus(rms):
    A = PupilPSF(objective=LOW, pixel=1e-6, shape=(1, 1), modes=(4,), samples=130)
    c = torch.tensor([rms / (2 * math.pi) * LOW.wavelength], dtype=torch.float64)
    exact = (math.sin(3**0.5 * rms) / (3**0.5 * rms)) ** 2
    assert float(A(c) / A(0 * c)) == pytest.approx(exact, abs=2e-4)


def test_transform_is_the_otf():
    objective = Objective(500e-9, 0.5)
    A = PupilPSF(objective=objective, pixel=200e-9, shape=(255, 255), modes=(4,), samples=256)
    h = A(torch.zeros(1, dtype=torch.float64))[0]
    found = torch.fft.fft2(torch.fft.ifftshift(h)).real
    expected = otf(objective, pixel=200e-9, shape=(255, 255), dtype=torch.float64)
    assert (found - expected).abs().max() < 6e-3  # the window misses 0.5 % of the light
    assert (found[0] - expected[0]).abs()[8:-8].max() < 1e-3


def integrals(objective, index, r, phase, vectorial, edge=1.0):
    """Field integrals over the pupil radius, by adaptive quadrature: with n sin θ = NA ρ."""
    k = 2 * np.pi / objective.wavelength

    def integrand(rho):
        sine = objective.na * rho / index
        cosine = np.sqrt(1 - sine**2)
        immersion = np.sqrt(1 - (objective.na * rho / objective.index) ** 2)
        base = rho * np.exp(1j * k * phase(rho)) / np.sqrt(immersion)
        v = k * objective.na * rho * r
        if not vectorial:
            return np.array([base * j0(v)])
        return np.array(
            [base * (1 + cosine) * j0(v), 2 * base * sine * j1(v), base * (1 - cosine) * jv(2, v)]
        )

    return quad_vec(integrand, 0, edge, epsrel=1e-9, limit=400)[0]


def test_vectorial_stack_is_richards_and_wolf():
    objective = Objective(520e-9, 1.35, index=1.515)
    z = torch.tensor([-0.4e-6, 0.0, 0.7e-6], dtype=torch.float64)
    A = PupilPSF(objective=objective, pixel=40e-9, shape=(1, 41), depths=z, model="vectorial", samples=256)
    h = A(torch.zeros(8, dtype=torch.float64))[:, 0]
    r = 40e-9 * np.abs(np.arange(41) - 20)
    for plane, depth in zip(h, z.tolist()):
        q = lambda rho, depth=depth: depth * (np.sqrt(1.515**2 - (1.35 * rho) ** 2) - 1.515)
        I0, I1, I2 = integrals(objective, 1.515, r, q, True)
        # Ex = I0 + I2 cos 2φ, Ey = I2 sin 2φ, Ez = 2 I1 cos φ, averaged over φ
        expected = np.abs(I0) ** 2 + np.abs(I2) ** 2 + 0.5 * np.abs(I1) ** 2
        scale = (h[1, 20] / np.abs(integrals(objective, 1.515, r, lambda s: 0 * s, True)[0][20]) ** 2).item()
        assert np.abs(plane.numpy() - scale * expected).max() < 2e-3 * float(h.max())


def test_scalar_debye_integral_aplanatic():
    objective = Objective(520e-9, 0.85)
    A = PupilPSF(
        objective=objective,
        pixel=50e-9,
        shape=(1, 61),
        depths=torch.tensor([0.9e-6], dtype=torch.float64),
        apodization="aplanatic",
        samples=256,
    )
    h = A(torch.zeros(8, dtype=torch.float64))[0, 0].numpy()
    r = 50e-9 * np.abs(np.arange(61) - 30)
    q = lambda rho: 0.9e-6 * np.sqrt(1 - (0.85 * rho) ** 2)
    expected = np.abs(integrals(objective, 1.0, r, q, False)[0]) ** 2
    expected *= h.sum() / expected.sum()
    assert np.abs(h - expected).max() < 5e-4 * h.max()


@pytest.mark.parametrize(("na", "bound"), [(1.2, 3e-3), (1.4, 2e-2)])  # 1.4: cut at the critical angle
def test_stratified_medium_is_gibson_and_lanni(na, bound):
    """Oil immersion, an emitter 8 μm deep in water behind a coverslip of the wrong thickness."""
    objective = Objective(560e-9, na, index=1.515)
    medium = StratifiedMedium(sample_index=1.33, depth=8e-6, coverslip=175e-6, coverslip_index=1.522)
    z = -1.5e-6
    A = PupilPSF(
        objective=objective,
        pixel=60e-9,
        shape=(1, 51),
        depths=torch.tensor([z], dtype=torch.float64),
        apodization="aplanatic",
        medium=medium,
        samples=360,
    )
    h = A(torch.zeros(8, dtype=torch.float64))[0, 0].numpy()
    oil = z + 1.515 * (-175e-6 / 1.522 + 170e-6 / 1.515 + 150e-6 / 1.515 - 8e-6 / 1.33)

    def path(rho):
        q = lambda n: np.sqrt(n**2 - (na * rho) ** 2)
        return 8e-6 * q(1.33) + 175e-6 * q(1.522) - 170e-6 * q(1.515) + oil * q(1.515) - 150e-6 * q(1.515)

    r = 60e-9 * np.abs(np.arange(51) - 25)
    edge = min(1.0, 1.33 / na)
    expected = np.abs(integrals(objective, 1.33, r, path, False, edge)[0]) ** 2
    expected *= h.sum() / expected.sum()
    assert np.abs(h - expected).max() < bound * h.max()


def test_vectorial_is_scalar_at_low_aperture():
    x = torch.tensor([30e-9, -20e-9], dtype=torch.float64)
    options = {"objective": LOW, "pixel": 2e-6, "shape": (31, 30), "modes": (7, 11)}
    scalar, vector = (PupilPSF(model=m, **options)(x) for m in ("scalar", "vectorial"))
    assert (scalar - vector).abs().max() < 2e-3 * scalar.max()
    assert (scalar - vector).abs().max() > 1e-6 * scalar.max()


def test_light_in_the_window():
    """A plane sums to the encircled energy; pixels of any size collect all of it."""
    objective = Objective(500e-9, 0.3)
    for pixel, n, q in ((200e-9, 81, 1), (900e-9, 18, 8)):
        A = PupilPSF(objective=objective, pixel=pixel, shape=(n, n), modes=(4,), oversampling=q)
        total = float(A(torch.zeros(1, dtype=torch.float64)).sum())
        assert 0.96 < total < 0.995
    v = 2 * math.pi * 0.3 / 500e-9 * 40.5 * 200e-9
    A = PupilPSF(objective=objective, pixel=200e-9, shape=(81, 81), modes=(4,))
    h = A(torch.zeros(1, dtype=torch.float64))[0]
    y = 200e-9 * (torch.arange(81) - 40)
    inside = torch.hypot(y[:, None], y) <= 40.5 * 200e-9
    assert float(h[inside].sum()) == pytest.approx(1 - j0(v) ** 2 - j1(v) ** 2, abs=2e-3)


def test_default_samples_keep_defocused_light_from_folding_back():
    z = torch.tensor([6e-6], dtype=torch.float64)
    options = {"objective": Objective(520e-9, 0.85), "pixel": 130e-9, "shape": (33, 33), "depths": z}
    A = PupilPSF(**options)
    fine = PupilPSF(samples=4 * A.samples, **options)
    x = torch.zeros(8, dtype=torch.float64)
    assert (A(x) - fine(x)).abs().max() < 3e-2 * fine(x).max()
    coarse = PupilPSF(samples=A.samples // 3, **options)
    assert (coarse(x) - fine(x)).abs().max() > 0.2 * fine(x).max()


def test_tilt_moves_the_image_forward():
    A = PupilPSF(objective=LOW, pixel=2e-6, shape=(21, 21), modes=(2,))
    shift = 3 * 2e-6  # of W = 2 c x: displacement 2 c / NA
    h = A(torch.tensor([shift * LOW.na / 2], dtype=torch.float64))[0]
    assert divmod(int(h.argmax()), 21) == (10, 13)


def test_complex_pupil_and_amplitude():
    options = {"objective": LOW, "pixel": 2e-6, "shape": (9, 9), "samples": 32}
    by_mode = PupilPSF(modes=(6,), **options)
    c = torch.tensor([70e-9], dtype=torch.float64)
    field = by_mode.field(c)[None]
    by_pupil = PupilPSF(unknown="pupil", **options)
    torch.testing.assert_close(by_pupil(field), by_mode(c), rtol=1e-12, atol=1e-15)
    by_phase = PupilPSF(unknown="phase", **options)
    torch.testing.assert_close(by_phase(by_mode.wavefront(c)[None]), by_mode(c), rtol=1e-12, atol=1e-15)
    gray = PupilPSF(modes=(6,), amplitude=torch.full((32, 32), 3.0, dtype=torch.float64), **options)
    torch.testing.assert_close(gray(c), by_mode(c), rtol=1e-12, atol=1e-15)


def test_wrong_input():
    with pytest.raises(ParameterError, match="na < index"):
        Objective(520e-9, 1.2)
    good = {"objective": LOW, "pixel": 1e-6, "shape": (8, 8)}
    for name, value, error in (
        ("pixel", -1.0, "positive length"),
        ("model", "vector", "must be one of"),
        ("unknown", "wave", "must be one of"),
        ("modes", (0,), "whole number >= 1"),
        ("samples", 1, "samples"),
    ):
        with pytest.raises(ParameterError, match=error):
            PupilPSF(**{**good, name: value})
    with pytest.raises(ShapeError, match="ny, nx"):
        PupilPSF(objective=LOW, pixel=1e-6, shape=(8,))
    with pytest.raises(ShapeError, match="amplitude"):
        PupilPSF(amplitude=torch.ones(4, 4), samples=5, **good)
    with pytest.raises(ParameterError, match="refractive"):
        StratifiedMedium(sample_index=0.5)
