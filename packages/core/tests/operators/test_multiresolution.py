"""Operators at several resolutions against restriction, operator and interpolation written out."""

import pytest
import torch

from invcore import ParameterError, ShapeError, Space
from invcore.operators import (
    Convolution,
    Differences,
    Downsample,
    Identity,
    Mask,
    Upsample,
    gaussian_kernel,
    least_squares,
    multiresolution,
)


def rand(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def smooth(n):
    t = torch.arange(n, dtype=torch.float64) * 2 * torch.pi / n
    return 2 + torch.cos(t)[:, None] + torch.sin(2 * t)


def test_circular_convolution_is_restricted_exactly():
    A = Convolution(rand(1, 3, 4), (2, 8, 8))
    for level in multiresolution(A, (4, 2, 1))[:2]:
        up = Upsample(level.operator.domain, factor=level.factor)
        expected = (level.restrict @ A @ up).dense(dtype=torch.float64)
        assert torch.allclose(level.operator.dense(dtype=torch.float64), expected, atol=1e-6)


@pytest.mark.parametrize("boundary", ["zero", "reflect", "replicate"])
def test_other_convolutions_agree_inside(boundary):
    A = Convolution(gaussian_kernel(2.0, dtype=torch.float64), (1, 64, 64), boundary=boundary)
    half = multiresolution(A, (2, 1))[0]
    x = rand(1, 32, 32)
    expected = half.restrict(A(Upsample((1, 32, 32))(x)))
    inside = (0, slice(10, -10), slice(10, -10))
    assert torch.allclose(half.operator(x)[inside], expected[inside], atol=1e-6)
    assert half.operator.boundary == boundary


@pytest.mark.parametrize("domain", [Space((2, 8, 8)), Space((2, 8, 8), "complex")])
def test_mask_is_restricted_exactly(domain):
    mask = (rand(8, 8) > 0.6) * (1 + rand(8, 8, seed=1))
    mask[:4, :4] = 0  # nothing is seen of a coarse pixel
    if domain.kind == "complex":
        mask = torch.polar(mask, 6 * rand(8, 8, seed=2))
    A = Mask(mask, domain)
    for level in multiresolution(A, (4, 2))[:2]:
        up = Upsample(level.operator.domain, factor=level.factor, kernel="box")
        expected = (level.restrict @ A @ up).dense(dtype=torch.float64)
        assert torch.allclose(level.operator.dense(dtype=torch.float64).to(expected), expected, atol=1e-12)
        assert 0 in level.operator.mask and 1 in level.operator.mask


def test_masks_may_differ_between_samples():
    A = Mask((rand(3, 1, 8, 8) > 0.5).double(), (2, 8, 8))
    half = multiresolution(A, (2, 1))[0]
    x = rand(3, 2, 4, 4, seed=1)
    up = Upsample((2, 4, 4), factor=2, kernel="box")
    assert torch.allclose(half.restrict(A(up(x))), half.operator(x))


def test_downsampling_keeps_its_data_and_the_factor_that_is_left():
    A = Downsample((1, 32, 32), factor=4)
    quarter, half, _ = multiresolution(A, (4, 2, 1))
    assert half.operator.factor == 2 and quarter.operator.factor == 1
    y = A(smooth(32)[None])
    coarse_image = Downsample((1, 32, 32), factor=2)(smooth(32)[None])
    assert torch.equal(half.restrict(y), y)
    assert float((half.operator(coarse_image) - y).abs().max()) < 0.02 * float(y.abs().max())


def test_any_other_operator_sees_the_interpolated_image():
    A = Differences((1, 8))
    half = multiresolution(A, (2, 1))[0]
    x = rand(1, 4)
    assert torch.allclose(half.operator(x), A(Upsample((1, 4))(x))) and isinstance(half.restrict, Identity)


def test_coarse_to_fine_starts_near_the_solution():
    A = Convolution(gaussian_kernel(1.5, dtype=torch.float64), (1, 32, 32))
    truth = smooth(32)[None]
    y = A(truth)
    levels = multiresolution(A, (4, 2, 1))
    x = torch.zeros(levels[0].operator.domain.shape, dtype=torch.float64)
    for level in levels[:-1]:
        x = least_squares(level.operator, level.restrict(y), shift=1e-3, x0=x)
        x = level.prolong(x)
    assert x.shape == truth.shape
    assert float((x - truth).norm() / truth.norm()) < 0.05


def test_what_has_no_levels_is_refused():
    with pytest.raises(ShapeError, match="multiples of 4"):
        multiresolution(Identity((1, 6, 6)))
    with pytest.raises(ParameterError, match="coarse to fine"):
        multiresolution(Identity((1, 8, 8)), (1, 2))
