"""The Anscombe transform against expectations by summation and quadrature."""

import numpy as np
import pytest
import torch
from scipy import stats

import invcore
from invcore.denoisers import BM3D, Anscombe, WaveletDenoiser, anscombe_transform, inverse_anscombe_transform


def rms(x):
    return float(x.square().mean().sqrt())


def mean_transform(z, gain, sigma):
    """E of the transform of gain * Poisson(z / gain) + N(0, sigma²), by summation and quadrature."""
    counts = np.arange(0, 200)
    nodes, weights = np.polynomial.hermite_e.hermegauss(101)
    x = gain * counts[:, None] + sigma * nodes
    t = anscombe_transform(torch.from_numpy(x), gain, sigma).numpy()
    return float(stats.poisson.pmf(counts, z / gain) @ (t @ (weights / weights.sum())))


@pytest.mark.parametrize("gain", [1.0, 0.02])
def test_inverse_anscombe_is_unbiased(gain):
    """Exact for Poisson noise to 0.05 counts; the algebraic inverse is wrong by 0.2 counts and more."""
    for counts in (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 20.0, 60.0):
        t = torch.tensor(mean_transform(counts * gain, gain, 0.0), dtype=torch.float64)
        exact = float(inverse_anscombe_transform(t, gain)) / gain
        assert abs(exact - counts) < 0.05
        if counts >= 5:
            asymptotic = float(inverse_anscombe_transform(t, gain, inverse="asymptotic")) / gain
            assert abs(asymptotic - counts) < 0.05
            algebraic = float(inverse_anscombe_transform(t, gain, inverse="algebraic")) / gain
            assert abs(algebraic - counts) > 0.2


def test_inverse_anscombe_with_gaussian_noise():
    gain, sigma = 0.1, 0.2
    for counts in (5.0, 20.0, 60.0):
        t = torch.tensor(mean_transform(counts * gain, gain, sigma), dtype=torch.float64)
        assert float(inverse_anscombe_transform(t, gain, sigma)) / gain == pytest.approx(counts, abs=0.1)


def test_anscombe_transform_stabilizes():
    g = torch.Generator().manual_seed(0)
    for counts in (4.0, 20.0, 100.0):
        p = torch.poisson(torch.full((100_000,), counts, dtype=torch.float64), generator=g)
        x = 0.1 * p + 0.05 * torch.randn(p.shape, generator=g, dtype=torch.float64)
        assert anscombe_transform(x, 0.1, 0.05).std() == pytest.approx(1.0, abs=0.03)


def test_anscombe_uses_the_range_of_values_and_each_gain(picture):
    clean = torch.stack([picture(24), picture(24)])
    gain = torch.tensor([0.01, 0.05], dtype=torch.float64)
    g = torch.Generator().manual_seed(0)
    scale = gain.reshape(2, 1, 1, 1)
    y = scale * torch.poisson(clean / scale, generator=g)
    for inner in (WaveletDenoiser(wavelet="haar"), BM3D(window=11)):
        D = Anscombe(inner, gain=gain)
        out = D(y, 0.0)
        for i in range(2):
            assert torch.allclose(out[i], D.bind(gain=float(gain[i]))(y[i], 0.0), atol=1e-9)
            assert rms(out[i] - clean[i]) < 0.7 * rms(y[i] - clean[i])
    stretched = Anscombe(BM3D(window=11, peak=255.0), gain=gain)
    assert torch.allclose(stretched(y, 0.0), out, atol=1e-6)
    with pytest.raises(invcore.ParameterError, match="gain"):
        Anscombe(inner, gain=0.0)
