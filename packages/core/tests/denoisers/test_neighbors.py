"""Non-local means, bilateral and median filters against scipy, scikit-image and loops."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

import invcore
from invcore.denoisers import Bilateral, Median, NonLocalMeans


def nlm_by_loops(y, sigma, patch, radius, strength):
    half = patch // 2
    near = np.pad(y, radius + half, mode="reflect")
    out = np.empty_like(y)
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            here = near[i + radius : i + radius + patch, j + radius : j + radius + patch]
            num = den = 0.0
            for k in range(2 * radius + 1):
                for m in range(2 * radius + 1):
                    there = near[i + k : i + k + patch, j + m : j + m + patch]
                    excess = max(np.mean((here - there) ** 2) - 2 * sigma**2, 0)
                    w = math.exp(-excess / (strength * sigma) ** 2)
                    num, den = num + w * there[half, half], den + w
            out[i, j] = num / den
    return out


def test_nlm_equals_its_definition(picture, noisy):
    y = noisy(picture(16), 0.1)[:, :, :12]
    expected = nlm_by_loops(y[0].numpy(), 0.1, patch=3, radius=2, strength=0.8)
    result = NonLocalMeans(patch=3, radius=2, strength=0.8)(y, 0.1)
    np.testing.assert_allclose(result[0].numpy(), expected, atol=1e-12)


def test_bilateral_equals_scikit_image(picture, noisy):
    """Where it weighs by value alone; scikit-image looks the weights up in a table."""
    restoration = pytest.importorskip("skimage.restoration")
    y = noisy(picture(), 0.1).clamp(0, 1)
    expected = restoration.denoise_bilateral(
        y[0].numpy(), win_size=7, sigma_color=0.2, sigma_spatial=1e6, bins=100000, mode="symmetric"
    )
    result = Bilateral(spread=1e6, strength=2.0, radius=3)(y, 0.1)
    np.testing.assert_allclose(result[0].numpy(), expected, atol=1e-5)


def test_bilateral_and_nlm_are_linear_filters_for_very_strong_settings(picture, noisy):
    y = noisy(picture(), 0.1)
    blurred = ndimage.gaussian_filter(y[0].numpy(), 1.5, mode="reflect", radius=5)
    result = Bilateral(spread=1.5, strength=1e6, radius=5)(y, 0.1)
    np.testing.assert_allclose(result[0].numpy(), blurred, atol=1e-9)
    averaged = ndimage.uniform_filter(y[0].numpy(), 13, mode="mirror")
    result = NonLocalMeans(patch=5, radius=6, strength=1e6)(y, 0.1)
    np.testing.assert_allclose(result[0].numpy(), averaged, atol=1e-9)


def test_neighbors_are_compared_in_all_channels(picture, noisy):
    y = noisy(picture(12, channels=3), 0.1)
    near = np.pad(y.numpy(), ((0, 0), (2, 2), (2, 2)), mode="symmetric")
    expected = np.empty(y.shape)
    for i in range(12):
        for j in range(12):
            here = near[:, i : i + 5, j : j + 5]
            far = np.hypot(*np.mgrid[-2:3, -2:3]) ** 2 / (2 * 1.5**2)
            w = np.exp(-np.mean((here - here[:, 2:3, 2:3]) ** 2, 0) / (2 * 0.25**2) - far)
            expected[:, i, j] = (w * here).sum((1, 2)) / w.sum()
    np.testing.assert_allclose(Bilateral(radius=2)(y, 0.1).numpy(), expected, atol=1e-12)
    gray = torch.cat([y[:1]] * 3)
    for D in (Bilateral(), NonLocalMeans(radius=3)):
        assert torch.allclose(D(gray, 0.1)[:1], D(y[:1], 0.1), atol=1e-12)


@pytest.mark.parametrize(
    "boundary, mode",
    [("symmetric", "reflect"), ("reflect", "mirror"), ("replicate", "nearest"), ("circular", "wrap")],
)
@pytest.mark.parametrize("shape", [(9, 14), (2, 3), (5, 6, 7)])
def test_median_equals_scipy(shape, boundary, mode):
    y = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    D = Median(size=5, boundary=boundary, spatial_dims=len(shape))
    assert np.array_equal(D(y, 1.0)[0].numpy(), ndimage.median_filter(y[0].numpy(), 5, mode=mode))


def test_median_ignores_the_level_of_the_noise_but_not_its_absence(picture, noisy):
    y = torch.stack([noisy(picture(), 0.1)] * 3)
    out = Median()(y, torch.tensor([0.1, 5.0, 0.0]))
    assert torch.equal(out[0], out[1])
    assert torch.equal(out[2], y[2])
    assert torch.equal(Median()(y[0] + 2j * y[0], 0.1), out[0] + 2j * out[0])


@pytest.mark.parametrize("D", [NonLocalMeans(patch=3, radius=2), Bilateral(radius=2), Median()])
def test_neighbors_outside_the_noise(D, picture, noisy):
    """Complex images, gradients, images without noise and impossible options."""
    y = noisy(picture(8), 0.1)
    z = torch.complex(y, 2 * y)
    assert torch.allclose(D(1j * z, 0.1), 1j * D(z, 0.1)) or isinstance(D, Median)
    assert torch.autograd.gradcheck(lambda v: D(v, 0.1), (y.requires_grad_(),))
    (g,) = torch.autograd.grad(D(y, 0.0).sum(), y)
    assert torch.equal(g, torch.ones_like(g))
    with pytest.raises(invcore.ParameterError, match="boundary"):
        type(D)(boundary="zero")
    with pytest.raises(invcore.ParameterError, match="spatial_dims"):
        type(D)(spatial_dims=4)
