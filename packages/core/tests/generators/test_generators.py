"""Random kernels and combined generators: their laws, and what they are made of."""

import math

import pytest
import torch

from invcore import ParameterError, Physics
from invcore.generators import Joint, Mixture, expectation, seeded
from invcore.noises import GainUniform, GaussianNoise, SigmaUniform
from invcore.operators import (
    Convolution,
    Downsample,
    GaussianKernel,
    MotionKernel,
    RandomMask,
    ResamplingKernel,
    resampling_kernel,
)
from invcore_testsupport import normal, rng


def moments(kernel):
    """Covariance of kernels (n, 1, y, x) about the center."""
    r = [torch.arange(n, dtype=torch.float64) - n // 2 for n in kernel.shape[2:]]
    y, x = torch.meshgrid(*r, indexing="ij")
    k = kernel[:, 0].double()
    return torch.stack([(k * a).sum((1, 2)) for a in (y * y, x * x, x * y)], -1)


def test_gaussian_kernels_have_the_law_that_is_stated():
    yy, xx, xy = moments(
        GaussianKernel(41, low=1.0, high=3.0)((400,), generator=rng(), dtype=torch.float64)
    ).T
    trace, determinant = yy + xx, yy * xx - xy**2
    root = (trace**2 / 4 - determinant).clamp_min(0).sqrt()
    sigmas = torch.cat([trace / 2 + root, trace / 2 - root]).sqrt()
    assert 0.99 < float(sigmas.min()) < 1.1 and 2.9 < float(sigmas.max()) < 3.01
    assert float(sigmas.mean()) == pytest.approx(2.0, abs=0.1)
    assert float((xy / root.clamp_min(1e-9)).abs().mean()) == pytest.approx(2 / math.pi, abs=0.06)  # |sin 2a|
    same = moments(GaussianKernel(31, isotropic=True)((5,), generator=rng(), dtype=torch.float64))
    assert torch.allclose(same[:, 0], same[:, 1]) and float(same[:, 2].abs().max()) < 1e-12


def test_filters_of_a_list():
    draw = ResamplingKernel(2, names=("bilinear", "bicubic"))
    kernels = draw((300,), generator=rng(), dtype=torch.float64)
    short = torch.nn.functional.pad(resampling_kernel("bilinear", 2, dtype=torch.float64), (2, 2, 2, 2))
    long = resampling_kernel("bicubic", 2, dtype=torch.float64)
    first = (kernels == short).flatten(1).all(1)
    assert (
        bool((first | (kernels == long).flatten(1).all(1)).all()) and 0.4 < float(first.double().mean()) < 0.6
    )
    x, names = normal(2, 1, 12, 12), ("bilinear", "bicubic")
    y = Downsample((1, 12, 12), factor=2, kernel=torch.stack([short, long]))(x)
    for i, name in enumerate(names):
        assert torch.allclose(y[i], Downsample((1, 12, 12), factor=2, kernel=name)(x[i]), atol=1e-6)
    with pytest.raises(ParameterError, match="no middle in common"):
        ResamplingKernel(2, names=("none", "box"))


def test_joint_parameters_are_bound_at_once():
    draw = Joint((("kernel", MotionKernel(5)), SigmaUniform(0.0, 0.1)))
    found = draw((3,), generator=rng())
    physics = Physics(Convolution(torch.ones(1, 5, 5), domain=(1, 16, 16)), GaussianNoise(sigma=0.1))
    y = physics(normal(3, 1, 16, 16, dtype=torch.float32), generator=rng(1), **found)
    assert y.shape == (3, *physics.range.shape)
    generator = rng()
    alone = [
        (MotionKernel(5)(generator=generator), SigmaUniform(0.0, 0.1)(generator=generator)) for _ in range(3)
    ]
    assert torch.equal(found["kernel"], torch.stack([k for k, _ in alone]))
    assert torch.equal(found["sigma"], torch.stack([s["sigma"] for _, s in alone]))
    with pytest.raises(ParameterError, match="drawn twice"):
        Joint((SigmaUniform(0.0, 0.1), SigmaUniform(0.0, 0.1)))(generator=rng())
    with pytest.raises(ParameterError, match="without a name"):
        Joint((MotionKernel(5),))(generator=rng())


def test_shares_of_a_mixture():
    draw = Mixture((GainUniform(1.0, 2.0), GainUniform(10.0, 20.0)), shares=(0.3, 0.7))
    gains = draw((4000,), generator=rng())["gain"]
    assert float((gains < 5).double().mean()) == pytest.approx(0.3, abs=0.03)
    assert draw((0, 2), generator=rng())["gain"].shape == (0, 2)
    with pytest.raises(ParameterError, match="different shapes"):
        Mixture((MotionKernel(5), MotionKernel(7)))((20,), generator=rng())
    with pytest.raises(ParameterError, match="sum one"):
        Mixture((MotionKernel(5),), shares=(0.5,))


def test_seeds_of_names():
    assert seeded("a").initial_seed() == seeded("a").initial_seed() != seeded("b").initial_seed()
    assert seeded("scan").initial_seed() == 3230925466183484399  # the same on every machine


def test_expectation_of_a_mask_is_its_density():
    mean = expectation(RandomMask((4, 6), keep=0.25, axes=(1,), exact=True), 4000, generator=rng())
    assert mean.shape == (1, 1, 6) and torch.allclose(mean, torch.full_like(mean, 2 / 6), atol=0.03)
    levels = expectation(SigmaUniform(0.0, 1.0), 3000, generator=rng())
    assert float(levels["sigma"]) == pytest.approx(0.5, abs=0.02)
