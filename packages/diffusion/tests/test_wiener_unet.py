"""The U-Net around the Wiener filter, before it has learned: the posterior mean of a Gaussian."""

import math

import pytest
import torch

import invcore
from invcore_diffusion import WienerUNet
from invcore_testsupport import normal

n = 8
K = torch.arange(n, dtype=torch.float64)
SPECTRUM = 5 / (0.3 + K[:, None] ** 2 + 2 * K**2)


def cosines(m):
    k = torch.arange(m, dtype=torch.float64)
    C = torch.cos(math.pi / m * k[:, None] * (k + 0.5)) * math.sqrt(2 / m)
    C[0] = math.sqrt(1 / m)
    return C


def untrained(spectrum=SPECTRUM, mean=0.4):
    return WienerUNet(spectrum=spectrum, mean=mean, features=(2, 4), blocks=1).double()


@pytest.mark.parametrize("sigma", [0.01, 0.5, 30.0])
def test_the_posterior_mean_by_a_dense_matrix(sigma):
    C = torch.kron(cosines(n), cosines(n))
    covariance = C.T @ torch.diag(SPECTRUM.flatten()) @ C
    x = normal(3, 1, n, n)
    gain = covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(n * n, dtype=torch.float64))
    expected = 0.4 + ((x.flatten(1) - 0.4) @ gain.T).reshape(x.shape)
    torch.testing.assert_close(untrained()(x, sigma).detach(), expected)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 4.0])
def test_a_flat_spectrum_gives_the_weights_of_edm(sigma):
    network = untrained(torch.full((n, n), 0.25, dtype=torch.float64), mean=0.0)
    torch.nn.init.constant_(network.unet.tail.bias, 1.0)  # F = 1
    x = normal(1, n, n)
    expected = 0.25 / (0.25 + sigma**2) * x + 0.5 * sigma / math.sqrt(0.25 + sigma**2)
    torch.testing.assert_close(network(x, sigma).detach(), expected)


def test_without_noise_it_is_the_identity():
    x = normal(2, 1, n, n)
    torch.testing.assert_close(untrained()(x, 0.0).detach(), x)


@pytest.mark.parametrize("m", [n // 2, 2 * n])
def test_other_sizes_have_the_same_waves_and_the_same_spread_of_brightness(m):
    network, gain = untrained(mean=0.0), SPECTRUM[2, 0] / (SPECTRUM[2, 0] + 0.3**2)
    wave = cosines(m)[2 * m // n][:, None] * cosines(m)[0]  # the coefficient (2, 0), of another number
    torch.testing.assert_close(network(wave[None], 0.3)[0].detach(), gain * wave)
    flat = torch.ones(1, m, m, dtype=torch.float64)
    brightness = SPECTRUM[0, 0] / n**2  # the variance of the mean, which sees noise / m² pixels
    expected = brightness / (brightness + 4.0**2 / m**2)
    torch.testing.assert_close(network(flat, 4.0).detach(), expected * flat)


def test_a_map_of_noise_levels_and_a_wrong_spectrum_are_refused():
    with pytest.raises(invcore.ParameterError, match="one noise level an image"):
        untrained()(normal(1, n, n), torch.full((1, n, n), 0.1, dtype=torch.float64))
    for spectrum in (torch.zeros(4, 4), torch.ones(4, 5), torch.full((4, 4), math.nan)):
        with pytest.raises(invcore.ParameterError, match="spectrum must be positive"):
            WienerUNet(spectrum=spectrum)
