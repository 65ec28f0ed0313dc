"""Kaiser windows against scipy; transfer functions and periodic padding against their definitions."""

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import torch

from invcore import ParameterError, ShapeError
from invcore.operators import (
    Convolution,
    Downsample,
    bump,
    kaiser_window,
    liu_jia_pad,
    sinc_kernel,
    transfer_function,
)


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("length", [1, 2, 7, 16])
@pytest.mark.parametrize("beta", [0.0, 2.5, 14.0, 900.0])
def test_window_is_scipys(length, beta):
    ours = kaiser_window(length, beta=beta, dtype=torch.float64).numpy()
    with np.errstate(all="ignore"):  # scipy's overflows at 900
        theirs = scipy.signal.windows.kaiser(length, min(beta, 700.0))
    np.testing.assert_allclose(ours, theirs, atol=1e-12 if beta < 700 else 0.2)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_sinc_kernel_is_scipys_filter_design(factor):
    ours = sinc_kernel(factor, ndim=1, dtype=torch.float64)[0].numpy()
    assert len(ours) % 2 == factor % 2
    np.testing.assert_allclose(
        ours, scipy.signal.firwin(len(ours), 1 / factor, window=("kaiser", 6.0)), atol=1e-12
    )
    plane = sinc_kernel(factor, dtype=torch.float64)
    np.testing.assert_allclose(plane[0].numpy(), np.outer(ours, ours), atol=1e-12)
    assert Downsample((1, 24), factor=factor, kernel=sinc_kernel(factor, ndim=1))(torch.ones(1, 24)).allclose(
        torch.ones(1, 24 // factor)
    )


def test_transfer_function_filters_as_convolution_does():
    x, kernel = randn(2, 6, 7), randn(3, 4)
    product = transfer_function(kernel, (6, 7)) * torch.fft.fftn(x, dim=(-2, -1))
    got = torch.fft.ifftn(product, dim=(-2, -1)).real
    assert torch.allclose(got, Convolution(kernel[None], (2, 6, 7))(x))
    odd = transfer_function(kernel[:, :3], (6, 7))
    got = torch.fft.ifftn(odd * torch.fft.fftn(x, dim=(-2, -1)), dim=(-2, -1)).real
    expected = [scipy.ndimage.convolve(a, kernel[:, :3].numpy(), mode="wrap") for a in x.numpy()]
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)
    half = transfer_function(kernel, (6, 7), half=True)
    assert torch.allclose(half, transfer_function(kernel, (6, 7))[:, :4])
    with pytest.raises(ShapeError):
        transfer_function(kernel, (6, 7, 8))


def test_padding_keeps_the_image_and_is_harmonic_around_it():
    x = randn(2, 5, 6)
    out = liu_jia_pad(x, ((2, 3), (4, 1)))
    assert out.shape == (2, 10, 11) and torch.equal(out[:, 2:7, 4:10], x)
    tile = out.roll((-2, -4), (-2, -1))  # the image first, then the strips
    around = sum(tile.roll(s, d) for s in (1, -1) for d in (-2, -1)) - 4 * tile
    assert float(around[:, 5:, 1:5].abs().max()) < 1e-12  # the strip below, but for its ends
    assert float(around[:, 1:4, 6:].abs().max()) < 1e-12  # the strip beside
    assert float(around[:, 5:, 6:].abs().max()) < 1e-12  # the corner


def test_ramp_comes_back_along_a_line():
    x = torch.arange(4.0)[:, None].expand(4, 3).double()
    out = liu_jia_pad(x, ((0, 2), (0, 2)))
    expected = torch.tensor([0, 1, 2, 3, 2, 1]).double()[:, None].expand(6, 5)
    assert torch.allclose(out, expected)


def test_seams_are_smaller_than_with_zeros():
    x = 5 + randn(16, 16).cumsum(0).cumsum(1) / 10
    ours, zeros = liu_jia_pad(x, ((4, 4), (4, 4))), torch.nn.functional.pad(x, (4, 4, 4, 4))
    jump = [float((t - t.roll(1, -1)).abs().max()) for t in (ours, zeros)]
    assert jump[0] < 0.7 * jump[1]


def test_wrong_padding_is_refused():
    with pytest.raises(ParameterError, match="before, after"):
        liu_jia_pad(randn(4, 4), ((1, -1), (0, 0)))
    with pytest.raises(ShapeError, match="images"):
        liu_jia_pad(randn(4), ((1, 1), (0, 0)))
    with pytest.raises(ParameterError, match="beta"):
        kaiser_window(4, beta=-1.0)


def test_bumps_add_up_to_one_and_are_smooth():
    x = torch.linspace(-20, 20, 4001, dtype=torch.float64)
    total = sum(bump(x - 3.5 * k, inner=1.0, outer=2.5) for k in range(-3, 4))
    assert torch.allclose(total[x.abs() < 9], torch.ones_like(total[x.abs() < 9]))
    u = torch.tensor([0.3, 0.9], dtype=torch.float64)
    h = lambda t: torch.exp(-1 / t)
    assert torch.allclose(bump(1 + 1.5 * u, inner=1.0, outer=2.5), h(1 - u) / (h(u) + h(1 - u)))
    edges = torch.tensor([1.0, 2.5, 0.0, 1.0001], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(bump(edges, inner=1.0, outer=2.5).sum(), edges)
    assert float(slope.abs().max()) < 1e-12
    with pytest.raises(ParameterError, match="inner < outer"):
        bump(x, inner=1.0, outer=1.0)
