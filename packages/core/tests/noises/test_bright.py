"""Counts beyond the integers, and what is no count."""

import math

import pytest
import torch

import invcore
from invcore import DataError
from invcore.denoisers import Anscombe, WaveletDenoiser
from invcore.noises import PoissonNoise


def seed(k=0):
    return torch.Generator().manual_seed(k)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rate", [2.0**37, 2.0**52, 1e19, 1e30])
def test_bright_counts_have_the_mean_and_variance_of_a_poisson_variable(rate, dtype):
    clean = torch.full((20000,), rate, dtype=dtype)
    drawn = PoissonNoise()(clean, generator=seed()).double()
    deviation = (drawn - rate) / math.sqrt(rate)
    rounding = rate * torch.finfo(dtype).eps / math.sqrt(rate)  # a count is known to this many deviations
    assert bool((drawn > 0).all())
    assert abs(float(deviation.mean())) < 0.03 + rounding
    if rounding < 0.1:
        assert abs(float(deviation.std()) - 1) < 0.03


def test_dark_and_bright_pixels_of_one_image():
    clean = torch.tensor([0.0, 3.0, 1e20, 1e4], dtype=torch.float64).repeat(5000, 1)
    drawn = PoissonNoise()(clean, generator=seed())
    assert bool((drawn[:, 0] == 0).all())
    torch.testing.assert_close(drawn.mean(0), clean[0], rtol=0.02, atol=0)
    assert abs(float(drawn[:, 1].var()) / 3 - 1) < 0.1
    assert bool((drawn[:, 1] == drawn[:, 1].round()).all())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["poisson", "poisson_gaussian", "log_poisson"])
def test_pixels_that_are_not_finite_are_refused(name, bad):
    options = {"poisson_gaussian": {"sigma": 1.0}, "log_poisson": {"photons": 100.0}}.get(name, {})
    bad = -bad if name == "log_poisson" else bad  # a transmission that is infinite
    with pytest.raises(DataError, match="finite"):
        invcore.noise(name, **options)(torch.tensor([1.0, bad]), generator=seed())


def test_anscombe_keeps_a_nan_visible():
    x = torch.ones(1, 16, 16)
    x[0, 3, 4] = torch.nan
    plain = WaveletDenoiser(wavelet="haar", levels=2)
    assert bool(plain(x, 0.1).isnan().any())
    assert bool(Anscombe(plain, gain=1.0)(x, 0.1)[0, 3, 4].isnan())
