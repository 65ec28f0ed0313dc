"""Space-varying blurs against sums written out, scipy and the count of their FFTs."""

import numpy as np
import pytest
import scipy.signal
import torch

import invcore
from invcore import ParameterError, ShapeError
from invcore.operators import Convolution
from invcore_optics import SpaceVaryingBlur

MODES = {"valid": "valid", "zero": "same"}


def scenes(spatial, taps, K, maps=None):
    g = torch.Generator().manual_seed(3)
    kernels = torch.rand(K, *taps, generator=g, dtype=torch.float64)
    weights = torch.rand(K, *(spatial if maps is None else maps), generator=g, dtype=torch.float64)
    return kernels, weights, torch.randn(2, *spatial, generator=g, dtype=torch.float64)


@pytest.mark.parametrize("boundary", ["valid", "zero"])
@pytest.mark.parametrize("order", ["product_convolution", "convolution_product"])
@pytest.mark.parametrize(("spatial", "taps"), [((13, 10), (5, 3)), ((8, 9, 7), (3, 3, 5))])
def test_is_the_sum_of_convolutions_of_scipy(boundary, order, spatial, taps):
    out = spatial if boundary == "zero" else tuple(n - k + 1 for n, k in zip(spatial, taps, strict=True))
    grid = spatial if order == "product_convolution" else out
    kernels, maps, x = scenes(spatial, taps, 3, grid)
    A = SpaceVaryingBlur(kernels=kernels, maps=maps, domain=(2, *spatial), order=order, boundary=boundary)
    convolve = scipy.signal.fftconvolve
    truth = np.zeros((2, *out))
    for c in range(2):
        for h, w in zip(kernels.numpy(), maps.numpy(), strict=True):
            if order == "product_convolution":
                truth[c] += convolve(w * x[c].numpy(), h, mode=MODES[boundary])
            else:
                truth[c] += w * convolve(x[c].numpy(), h, mode=MODES[boundary])
    np.testing.assert_allclose(A(x).numpy(), truth, atol=1e-12)


def test_circular_is_the_convolution_of_core_where_one_map_is_one():
    kernels, _, x = scenes((9, 12), (4, 5), 1)
    A = SpaceVaryingBlur(
        kernels=kernels, maps=torch.ones(1, 9, 12).double(), domain=(2, 9, 12), boundary="circular"
    )
    torch.testing.assert_close(A(x), Convolution(kernels, domain=(2, 9, 12))(x))


def test_a_point_becomes_the_kernel_at_its_place():
    kernels, maps, _ = scenes((15, 15), (5, 5), 3)
    A = SpaceVaryingBlur(kernels=kernels, maps=maps, domain=(1, 15, 15), boundary="zero")
    point = torch.zeros(1, 15, 15, dtype=torch.float64)
    point[0, 6, 8] = 1
    torch.testing.assert_close(A(point)[0, 4:9, 6:11], A.kernel_at(6, 8))


@pytest.mark.parametrize("order", ["product_convolution", "convolution_product"])
def test_takes_k_plus_one_ffts_either_way(order, monkeypatch):
    kernels, maps, x = scenes((16, 16), (3, 3), 4, (16, 16))
    A = SpaceVaryingBlur(kernels=kernels, maps=maps, domain=(1, 16, 16), order=order, boundary="circular")
    A(x[:1])  # the spectra of the kernels are kept
    count = []
    for name in ("rfftn", "irfftn"):
        original = getattr(torch.fft, name)

        def counted(t, original=original, **options):
            count.append(t.shape[:-2].numel())
            return original(t, **options)

        monkeypatch.setattr(torch.fft, name, counted)
    for apply in (A, A.H):
        count.clear()
        apply(x[:1])
        assert sum(count) == 5


def test_paths_with_and_without_derivatives_agree():
    kernels, maps, x = scenes((12, 11), (3, 4), 3)
    A = SpaceVaryingBlur(kernels=kernels, maps=maps, domain=(2, 12, 11))
    learned = A.bind(kernels=kernels.clone().requires_grad_())
    y = A(x)
    torch.testing.assert_close(learned(x).detach(), y)
    torch.testing.assert_close(learned.H(y).detach(), A.H(y))


def test_orders_are_adjoint_to_each_other_with_mirrored_kernels():
    kernels, maps, x = scenes((10, 10), (3, 3), 2)
    A = SpaceVaryingBlur(kernels=kernels, maps=maps, domain=(2, 10, 10), boundary="circular")
    B = SpaceVaryingBlur(
        kernels=kernels.flip(-1, -2),
        maps=maps,
        domain=(2, 10, 10),
        order="convolution_product",
        boundary="circular",
    )
    torch.testing.assert_close(A.H(x), B(x))


def test_from_grid_returns_the_kernels_at_the_points():
    g = torch.Generator().manual_seed(0)
    psfs = torch.rand(3, 3, 5, 5, generator=g, dtype=torch.float64)
    A = SpaceVaryingBlur.from_grid(psfs, domain=invcore.Space((1, 45, 45)), rank=9)
    for i in range(3):
        for j in range(3):
            torch.testing.assert_close(A.kernel_at(7 + 15 * i, 7 + 15 * j), psfs[i, j])


def test_from_grid_of_one_kernel_needs_one():
    psf = torch.rand(5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    A = SpaceVaryingBlur.from_grid(psf.expand(2, 3, 5, 5), domain=invcore.Space((1, 20, 20)), rank=1)
    torch.testing.assert_close(A.kernel_at(3, 17), psf)


def test_wrong_input_says_what_fits():
    kernels, maps, _ = scenes((10, 10), (3, 3), 2)
    with pytest.raises(ShapeError, match=r"2, 8, 8.*grid of the data"):
        SpaceVaryingBlur(kernels=kernels, maps=maps, domain=(1, 10, 10), order="convolution_product")
    with pytest.raises(ShapeError, match="larger than the image"):
        SpaceVaryingBlur(kernels=kernels, maps=maps[:, :2], domain=(1, 2, 10))
    with pytest.raises(ParameterError, match="boundary must be one of"):
        SpaceVaryingBlur(kernels=kernels, maps=maps, domain=(1, 10, 10), boundary="reflect")
