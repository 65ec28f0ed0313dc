"""Plug-and-play on ten operators: the residual never rises, and falls to 1e-6."""

import math
from itertools import pairwise

import pytest
import torch
from torch.nn.functional import avg_pool2d, conv2d, conv_transpose2d, pad

import invcore
from invcore import Denoiser, Physics, Space
from invcore.denoisers import ComplexParts
from invcore.noises import GaussianNoise
from invcore.operators import Convolution, Downsample, HadamardTransform, Identity, Mask
from invcore.priors import GradientStep, PnP
from invcore.solvers import FISTA, ScaledProximalGradient, Status
from invcore_testsupport import normal, rng

SIZE, SIGMA, F64 = 16, 0.05, torch.float64
IMAGE = Space((1, SIZE, SIZE))


def some():
    """Six of ten pixels."""
    return (torch.rand(IMAGE.shape, generator=rng()) < 0.6).to(F64)


def sense():
    at = torch.linspace(-1, 1, SIZE, dtype=F64)
    maps = torch.exp(1j * at) * torch.exp(-((at[:, None] - torch.tensor([-1.0, 1.0])[:, None, None]) ** 2))
    lines = ((torch.arange(SIZE) % 3 == 0) | ((torch.arange(SIZE) - SIZE // 2).abs() < 2)).to(F64)
    return invcore.operator("mri.sense", maps=maps, mask=lines[:, None])


def few_views():
    from invcore_tomography import Grid, parallel

    geometry = parallel(angles=torch.arange(8, dtype=F64) * math.pi / 8, columns=24, grid=Grid((SIZE, SIZE)))
    return invcore.operator("tomography.xray", geometry=geometry)


OPERATORS = {
    "identity": lambda: Identity(IMAGE),
    "mask": lambda: Mask(some(), IMAGE),
    "blur": lambda: Convolution(torch.full((1, 3, 3), 1 / 9, dtype=F64), IMAGE),
    "motion blur": lambda: Convolution(torch.eye(5, dtype=F64)[None] / 5, IMAGE, boundary="reflect"),
    "downsampling": lambda: Downsample(IMAGE, factor=2),
    "sense": sense,
    "x-rays": few_views,
    "random matrix": lambda: invcore.operator("compressed_sensing", domain=IMAGE, measurements=100).to(F64),
    "single pixel": lambda: Mask(some(), IMAGE) @ HadamardTransform(IMAGE),
    "demosaicing": lambda: invcore.operator("demosaic", domain=(3, SIZE, SIZE)),
}


class Network(Denoiser, abstract=True):
    """Circular convolutions of each channel with random filters."""

    channels, value_range, sigma_range, spatial_dims = None, None, (0.0, math.inf), 2

    def filters(self):
        """Of a convolution with norm at most one."""
        k = normal(6, 1, 3, 3)
        return k / k.flatten(1).abs().sum(1).norm()

    def hidden(self, x):
        return conv2d(pad(x.reshape(-1, 1, *x.shape[-2:]), (1, 1, 1, 1), mode="circular"), self.filters())


class Nonexpansive(Network):
    """x - Kᵀ s tanh(Kx/s), ‖K‖ ≤ 1: a gradient step on a convex function, which is firmly nonexpansive."""

    def denoise(self, x, sigma):
        h = 0.1 * torch.tanh(self.hidden(x) / 0.1)
        spread = conv_transpose2d(pad(h, (1, 1, 1, 1), mode="circular"), self.filters())[..., 2:-2, 2:-2]
        return x - spread.reshape(x.shape)


class Rough(Network):
    """N of a gradient step whose potential is not convex: x - N(x) is an edge filter plus waves."""

    def denoise(self, x, sigma):
        flat = pad(x.reshape(-1, 1, *x.shape[-2:]), (1, 1, 1, 1), mode="circular")
        smooth = avg_pool2d(flat, 3, 1).reshape(x.shape)
        waves = conv2d(torch.sin(10 * self.hidden(x)), normal(1, 6, 1, 1, seed=1)).reshape(x.shape)
        return (x + smooth) / 2 - 0.1 * waves


def measured(name):
    """Data of a random image, and their physics."""
    A = OPERATORS[name]()
    dtype = torch.complex128 if A.domain.kind == "complex" else F64
    physics = Physics(A, GaussianNoise(sigma=SIGMA))
    x = torch.rand(A.domain.shape, generator=rng(1), dtype=F64).to(dtype)
    return physics(x, generator=rng(2)), physics


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATORS)
def test_the_residual_of_pnp_fista_never_rises(name):
    """The proximal gradient step with a nonexpansive denoiser is nonexpansive, whatever the operator."""
    y, physics = measured(name)
    seen = []
    solver = FISTA(prior=PnP(ComplexParts(Nonexpansive()), sigma=0.1), rtol=1e-8, max_steps=50_000)
    found = solver.solve(y, physics, callback=lambda k, p, s: seen.append(float(s.residual)))
    assert found.status is Status.CONVERGED and float(found.state.change) <= 1e-6
    assert all(b <= a * (1 + 1e-9) + 1e-14 for a, b in pairwise(seen))


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATORS)
def test_gradient_step_plug_and_play_converges_without_convexity(name):
    """The objective falls in each step, and no step is longer than the last."""
    y, physics = measured(name)
    seen, falls = [], []

    def look(k, problem, state):
        seen.append(float(state.search.length))
        falls.append(float(problem.objective(state.x)))

    solver = ScaledProximalGradient(
        prior=GradientStep(ComplexParts(Rough()), sigma=0.1), weight=100.0, rtol=1e-6, max_steps=50_000
    )
    found = solver.solve(y, physics, callback=look)
    assert found.status is Status.CONVERGED and float(found.state.change) <= 1e-6
    assert all(b <= a * (1 + 1e-12) for a, b in pairwise(seen))
    assert all(b <= a + 1e-12 * abs(a) for a, b in pairwise(falls))


def test_the_potential_is_not_convex():
    """Else the test above would show nothing: its Hessian at a random image has negative eigenvalues."""
    x, g = torch.rand(IMAGE.shape, generator=rng(1), dtype=F64), GradientStep(Rough(), sigma=0.1)
    H = torch.autograd.functional.hessian(lambda v: g.value(v.reshape(IMAGE.shape), IMAGE), x.flatten())
    assert float(torch.linalg.eigvalsh(H)[0]) < -0.1
