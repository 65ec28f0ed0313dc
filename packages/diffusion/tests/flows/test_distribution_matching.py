"""Distribution matching: its gradient is that of the Kullback-Leibler divergence; operators are found."""

import pytest
import torch

import invcore
from invcore import OperatorModule, Physics, Space
from invcore.denoisers import GaussianDenoiser
from invcore.noises import GaussianNoise
from invcore.operators import Convolution, Identity
from invcore_diffusion import DistributionMatching, gaussian_flow, kernel_penalty, learn_operator
from invcore_testsupport import normal, rng

N = 16
K = 2 * torch.pi * torch.fft.fftfreq(N, dtype=torch.float64)
POWER = 1 / (0.2 + K.square())
SIGMA = 0.1


def transfer(width):
    return torch.exp(-(width**2) * K.square() / 2)


def spectrum(width):
    return transfer(width).square() * POWER + SIGMA**2


def flow(width):
    return gaussian_flow(mean=torch.zeros(1, N).double(), spectrum=spectrum(width).detach()[None])


def blurred(x, width):
    return torch.fft.ifft(torch.fft.fft(x) * transfer(width)).real


def draws(number, seed=0):
    D = GaussianDenoiser(mean=torch.zeros(1, N).double(), spectrum=POWER[None])
    return D.sample((number,), generator=rng(seed))


def divergence(width, wanted, t):
    """KL of images with noise at the time t, exactly."""
    q, p = (t**2 * spectrum(w) + (1 - t) ** 2 for w in (width, wanted))
    return ((q / p - 1 - (q / p).log()) / 2).sum()


@pytest.mark.parametrize("t", [0.3, 0.7])
def test_the_gradient_is_that_of_the_divergence(t):
    width, wanted, number = torch.tensor(0.6).double().requires_grad_(), torch.tensor(1.0).double(), 6000
    y = blurred(draws(number), width) + SIGMA * normal(number, 1, N, seed=1)
    loss = DistributionMatching(observed=flow(wanted), current=flow(width), times=(t, t))
    values = loss(y, None, None, None, None)
    (found,) = torch.autograd.grad(values.mean(), width)
    (exact,) = torch.autograd.grad(divergence(width, wanted, t), width)
    found = found * N * t**2 / (1 - t)
    assert float(found) == pytest.approx(float(exact), rel=0.04)


def test_where_both_laws_agree_there_is_no_gradient():
    x = draws(5).requires_grad_()
    loss = DistributionMatching(observed=flow(torch.tensor(1.0)), current=flow(torch.tensor(1.0)))
    (g,) = torch.autograd.grad(loss(x, None, None, None, None).sum(), x)
    assert g.abs().max() == 0


def test_a_width_is_found_exactly_by_exact_velocities():
    """The noise of the gradient vanishes at the solution."""
    width, wanted = torch.tensor(0.3).double().requires_grad_(), flow(torch.tensor(1.0))
    x = draws(32)
    for k in range(150):
        loss = DistributionMatching(observed=wanted, current=flow(width), times=(0.5, 0.9), k=k)
        (g,) = torch.autograd.grad(loss(blurred(x, width), None, None, None, None).mean(), width)
        width = (width.detach() - 1.0 * g).requires_grad_()
    assert float(width.detach()) == pytest.approx(1.0, abs=1e-6)


class Width(torch.nn.Module):
    """A Gaussian blur of unknown width."""

    def __init__(self, start, size=9):
        super().__init__()
        self.width = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
        self.grid = torch.arange(size, dtype=torch.float64) - size // 2

    @property
    def operator(self):
        kernel = torch.softmax(-(self.grid**2) / (2 * self.width**2), 0)
        return Convolution(kernel[None], Space((1, N)), boundary="circular")


def boxes(number, seed):
    """Random boxes: far from Gaussian."""
    g = rng(seed)
    left = torch.randint(N, (number, 1), generator=g)
    length = torch.randint(3, 8, (number, 1), generator=g)
    height = 0.5 + torch.rand((number, 1), generator=g, dtype=torch.float64)
    inside = (torch.arange(N) - left) % N < length
    return (height * inside)[:, None]


def test_power_spectra_find_a_blur_from_unpaired_images():
    noise = GaussianNoise(sigma=SIGMA)
    degraded = Physics(Width(1.0).operator, noise)(draws(500, seed=1), generator=rng(2)).detach()
    module = Width(0.5)
    found = learn_operator(module, draws(500, seed=3), degraded, noise=noise, steps=60, rate=0.03)
    assert float(module.width.detach()) == pytest.approx(1.0, abs=0.1)
    assert found.path.shape == (60, 1)
    assert not found.operator.kernel.requires_grad


@pytest.mark.slow
def test_stored_images_find_a_blur_from_unpaired_images():
    noise = GaussianNoise(sigma=SIGMA)
    degraded = Physics(Width(1.0).operator, noise)(boxes(500, 1), generator=rng(2)).detach()
    module = Width(0.5)
    found = learn_operator(
        module, boxes(1000, 3), degraded, noise=noise, velocity="empirical", steps=600, rate=0.02, batch=64
    )
    assert float(found.path[300:].mean()) == pytest.approx(1.0, rel=0.05)


class Affine(torch.nn.Module):
    """The velocity fields of white images of any size: a(t) z + b(t) with polynomials in t."""

    def __init__(self):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.zeros(2, 5, dtype=torch.float64))

    def forward(self, z, t):
        powers = torch.stack([t**k for k in range(5)], -1)
        a, b = (powers @ w for w in self.weights)
        return a.view(-1, 1, 1) * z + b.view(-1, 1, 1)


@pytest.mark.slow
def test_networks_find_a_gain():
    module = OperatorModule(torch.tensor(1.0, dtype=torch.float64) * Identity((1, 4)))
    found = learn_operator(
        module,
        normal(2000, 1, 4),
        0.5 * normal(2000, 1, 4, seed=1),
        velocity=Affine(),
        network_rate=0.02,
        warm_up=400,
        steps=400,
        rate=0.01,
    )
    assert float(found.path[300:].mean()) == pytest.approx(0.5, abs=0.06)


def test_penalties_of_kernels():
    kernel = torch.tensor([[0.0, 0.2, 0.6, 0.1, 0.0]], dtype=torch.float64)
    mean = (0.6 * 0 + 0.1 * 1 - 0.2) / 0.9
    spread = sum(w * (u - mean) ** 2 for w, u in ((0.2, -1), (0.6, 0), (0.1, 1)))
    assert float(kernel_penalty(kernel, size=2.0)) == pytest.approx(1.8)
    assert float(kernel_penalty(kernel, center=1.0)) == pytest.approx(mean**2)
    assert float(kernel_penalty(kernel, total=1.0)) == pytest.approx(0.1)
    assert float(kernel_penalty(kernel, spread=1.0)) == pytest.approx(spread)


def test_what_cannot_be_learned_is_refused():
    with pytest.raises(invcore.ParameterError, match="OperatorModule"):
        learn_operator(Identity((1, 4)), normal(4, 1, 4), normal(4, 1, 4))
    with pytest.raises(invcore.ParameterError, match="velocity"):
        learn_operator(Width(1.0), draws(4), draws(4), velocity="score")
    with pytest.raises(invcore.ParameterError, match="times"):
        DistributionMatching(
            observed=flow(torch.tensor(1.0)), current=flow(torch.tensor(1.0)), times=(0.5, 1.0)
        )
