"""Random illumination against simulated speckles, and what matching the variance restores."""

import math

import pytest
import torch

import invcore
from invcore import Physics
from invcore_optics import Objective, SpeckleStatistics, SpeckleVariance, VarianceMatching, otf

SIZE, CUTOFF = 64, 0.22


def transfer(size, cutoff=CUTOFF):
    objective = Objective(wavelength=1e-6, na=0.5)  # cutoff of 1 cycle per micrometer
    return otf(objective, pixel=cutoff * 1e-6, shape=(size, size), dtype=torch.float64)


def psf(size, cutoff=CUTOFF):
    return torch.fft.fftshift(torch.fft.ifft2(transfer(size, cutoff)).real)


def bars(size=SIZE):
    x = torch.zeros(1, size, size, dtype=torch.float64)
    x[:, size // 5 : -size // 5, size // 5 : -size // 5 : 4] = 50.0
    return x


def speckles(count, size, generator, cutoff=CUTOFF):
    """Intensities of mean 1 of waves through a clear pupil of radius cutoff / 2."""
    f = torch.fft.fftfreq(size, dtype=torch.float64)
    pupil = (torch.hypot(f[:, None], f) < cutoff / 2).to(torch.float64)
    waves = torch.randn(count, size, size, 2, generator=generator, dtype=torch.float64)
    field = torch.fft.ifft2(pupil * torch.view_as_complex(waves)) * size**2
    return field.abs().square() / (2 * pupil.sum())


def test_modes_are_the_double_integral():
    """V by the sum over all pairs of pixels, on a small grid."""
    n, cutoff = 8, 0.3
    g = torch.Generator().manual_seed(0)
    h = torch.rand(n, n, generator=g, dtype=torch.float64)
    x = torch.rand(1, n, n, generator=g, dtype=torch.float64)
    A = SpeckleVariance.of(psf=h, cutoff=cutoff, shape=(n, n), method="modes")
    spectrum = transfer(n, cutoff)
    covariance = torch.fft.ifft2(spectrum).real
    covariance = covariance / covariance[0, 0]
    at = torch.cartesian_prod(torch.arange(n), torch.arange(n))
    apart = (at[:, None] - at) % n
    H = torch.fft.ifftshift(h)[apart[..., 0], apart[..., 1]] * x.flatten()  # row r: h(r - r1) x(r1)
    C = covariance[apart[..., 0], apart[..., 1]]
    assert torch.allclose(A(x).flatten(), ((H @ C) * H).sum(1), rtol=1e-10)


def test_a_few_eigenvectors_are_all_modes():
    exact = SpeckleVariance.of(psf=psf(32), cutoff=CUTOFF, shape=(32, 32), method="modes")
    window = psf(32)[4:29, 4:29]
    few = SpeckleVariance.of(psf=window, cutoff=CUTOFF, shape=(32, 32), share=0.999)
    assert len(few.kernels) < len(exact.kernels) // 5
    x = bars(32)
    assert float((few(x) - exact(x)).norm() / exact(x).norm()) < 2e-3


def test_brightness_squares():
    A = SpeckleVariance.of(psf=psf(32)[8:25, 8:25], cutoff=CUTOFF, shape=(32, 32))
    x = bars(32)
    assert torch.allclose(A(3 * x), 9 * A(x), rtol=1e-13)
    assert torch.allclose(A(-x), A(x), rtol=1e-13)


def test_speckles_have_the_variance_that_the_model_predicts():
    """The error of the variance over M frames falls as 1/√M; contrast of the speckles is 1."""
    n, g, x = 32, torch.Generator().manual_seed(0), bars(32)
    A = SpeckleVariance.of(psf=psf(n), cutoff=CUTOFF, shape=(n, n), method="modes")
    light = speckles(2000, n, g)
    assert float(light.var() / light.mean() ** 2) == pytest.approx(1.0, abs=0.01)
    images = torch.fft.ifft2(torch.fft.fft2(light * x) * transfer(n)).real
    moments = [SpeckleStatistics(gain=0.0)(images[:m]).variance for m in (250, 2000)]
    errors = [float((v - A(x)).norm() / A(x).norm()) for v in moments]
    assert errors[1] < 2 * 2 * math.sqrt(2 / 2000)
    assert 0.4 < errors[0] * math.sqrt(250) / (errors[1] * math.sqrt(2000)) < 2.5


def test_noise_of_photons_and_camera_is_subtracted():
    n, g = 24, torch.Generator().manual_seed(1)
    light = 40 * speckles(4000, n, g)
    noisy = torch.poisson(light, generator=g)
    noisy = noisy + 3 * torch.randn(noisy.shape, generator=g, dtype=torch.float64)
    found = SpeckleStatistics(read_noise=3.0)(noisy)
    assert float(found.variance.mean()) == pytest.approx(float(light.var(0).mean()), rel=0.02)
    assert float(found.contrast) == pytest.approx(1.0, abs=0.05)


def test_matching_restores_frequencies_beyond_the_cutoff(spectrum_correlation):
    x = bars()
    A = SpeckleVariance.of(psf=psf(SIZE)[20:45, 20:45], cutoff=CUTOFF, shape=(SIZE, SIZE))
    found = VarianceMatching(max_steps=100)(A(x), Physics(A))
    rings = ((0.0, 1.0), (1.0, 1.5), (1.5, 1.9))
    inside, next_, far = (spectrum_correlation(found, x, a * CUTOFF, b * CUTOFF) for a, b in rings)
    assert inside > 0.995
    assert next_ > 0.98
    assert far > 0.8
    assert float(found.min()) >= 0


def test_wrong_input_is_refused():
    with pytest.raises(invcore.ParameterError, match="cutoff"):
        SpeckleVariance.of(psf=torch.ones(3, 3), cutoff=0.7, shape=(8, 8))
    with pytest.raises(invcore.ParameterError, match="too many"):
        SpeckleVariance.of(psf=torch.ones(80, 80), cutoff=0.3, shape=(80, 80))
    with pytest.raises(invcore.ShapeError, match="weights"):
        SpeckleVariance(kernels=torch.ones(2, 3, 3), weights=torch.ones(3), shape=(8, 8))
    with pytest.raises(invcore.ShapeError, match="at least 2"):
        SpeckleStatistics()(torch.ones(1, 4, 4))
