"""Input that every denoiser checks."""

import pytest
import torch

import invcore
from invcore.denoisers import Denoiser, WaveletDenoiser


def test_input_and_options_are_checked():
    D = invcore.denoiser("wavelet", wavelet="haar")
    assert isinstance(D, Denoiser)
    assert D.channels is None and D.value_range is None and D.sigma_range[0] == 0
    x = torch.ones(2, 1, 8, 8)
    with pytest.raises(invcore.ShapeError, match=r"batch shape \(2,\)"):
        D(x, torch.ones(3))
    with pytest.raises(invcore.ShapeError, match="2 spatial dimensions"):
        D(x[0, 0], 0.1)
    with pytest.raises(invcore.ParameterError, match="sigma must lie"):
        D(x, -0.1)
    with pytest.raises(invcore.DataError, match="NaN"):
        D(x, float("nan"))
    with pytest.raises(invcore.DtypeError, match="floating-point"):
        D(x.int(), 0.1)
    with pytest.raises(invcore.ParameterError, match="threshold"):
        WaveletDenoiser(threshold="hard")
    with pytest.raises(invcore.ParameterError, match="spins"):
        WaveletDenoiser(spins=0)


def test_channels_are_checked():
    class Gray(Denoiser):
        channels, value_range, sigma_range, spatial_dims = 1, (0.0, 1.0), (0.01, 1.0), 2

        def denoise(self, x, sigma):
            return x

    with pytest.raises(invcore.ShapeError, match="expected 1 channels, got 3"):
        Gray()(torch.ones(3, 8, 8), 0.1)
    with pytest.raises(invcore.ParameterError, match=r"\[0.01, 1\]"):
        Gray()(torch.ones(1, 8, 8), 2.0)
