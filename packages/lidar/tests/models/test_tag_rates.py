"""The likelihood of time tags against that of their histogram, and of scipy's Poisson distribution."""

import dataclasses

import numpy as np
import pytest
import scipy.stats
import torch

from invcore import ParameterError, Physics, ShapeError
from invcore.fidelities import PoissonKL
from invcore.solvers import LBFGS
from invcore_lidar import ImpulseResponse, PointProcess, TagRates, TimeTags, tag_likelihood

TICK = 50e-12
PULSES = {
    "gaussian": ImpulseResponse.gaussian(fwhm=torch.tensor(400e-12, dtype=torch.float64)),
    "tail": ImpulseResponse.exponential_gaussian(
        sigma=torch.tensor(150e-12, dtype=torch.float64), decay=torch.tensor(300e-12, dtype=torch.float64)
    ),
    "measured": ImpulseResponse.measured(
        samples=torch.tensor([1.0, 4.0, 3.0, 2.0, 1.0], dtype=torch.float64), spacing=90e-12
    ),
}


def observe(generator, *, shape=(6, 7), start=40, stop=1240):
    """Tags of a random scene, half of it background."""
    ny, nx = shape
    counts = torch.randint(0, 12, (ny * nx,), generator=generator)
    pixels = torch.repeat_interleave(torch.arange(ny * nx), counts)
    depth = 600 + 30 * torch.rand(ny * nx, generator=generator)
    signal = (depth[pixels] + 4 * torch.randn(len(pixels), generator=generator)).long()
    noise = torch.randint(start, stop, (len(pixels),), generator=generator)
    tags = torch.where(torch.rand(len(pixels), generator=generator) < 0.5, signal, noise)
    return TimeTags.from_pixels(
        pixels=pixels, tags=tags, tick=TICK, shape=shape, start=start, stop=stop, pulses=1000
    )


def guess(tags, surfaces, generator, *batch):
    def uniform(a, b, n):
        return a + (b - a) * torch.rand(*batch, n, *tags.shape, generator=generator, dtype=torch.float64)

    return torch.cat(
        [uniform(4.4, 4.9, surfaces), uniform(1.0, 9.0, surfaces), uniform(0.002, 0.02, 1)], dim=-3
    )


def by_histogram(A, tags, x):
    """Σ λ - n log λ over every bin of every pixel: Kullback-Leibler without its constant."""
    y = tags.histogram(A.width, dtype=torch.float64).counts
    constant = (torch.special.xlogy(y, y) - y).sum()
    model = A.histogram_model()
    return PoissonKL().value(model(x), y, model.range) - constant


@pytest.mark.parametrize("pulse", PULSES)
@pytest.mark.parametrize("surfaces, width, batch", [(1, 1, ()), (2, 1, (3,)), (1, 4, (2,))])
def test_tags_and_histogram_have_one_likelihood_and_gradient(pulse, surfaces, width, batch, generator):
    tags = observe(generator)
    A = TagRates(tags=tags, impulse=PULSES[pulse], surfaces=surfaces, width=width)
    x = guess(tags, surfaces, generator, *batch).requires_grad_()
    held = {n: p.clone().requires_grad_() for n, p in A.parameters().items()}
    A = A.bind(**held)
    one, other = tag_likelihood(x, A), by_histogram(A, tags, x)
    assert one.shape == batch
    torch.testing.assert_close(one, other, rtol=1e-10, atol=0)
    leaves = [x, *held.values()]
    for a, b in zip(torch.autograd.grad(one.sum(), leaves), torch.autograd.grad(other.sum(), leaves)):
        assert (a - b).norm() <= 1e-10 * b.norm()


def test_second_derivatives_agree_too(generator):
    tags = observe(generator, shape=(1, 2))
    A = TagRates(tags=tags, impulse=PULSES["gaussian"])
    x = guess(tags, 1, generator)
    one = torch.autograd.functional.hessian(lambda v: tag_likelihood(v, A), x)
    other = torch.autograd.functional.hessian(lambda v: by_histogram(A, tags, v), x)
    assert (one - other).norm() <= 1e-10 * other.norm()


def test_it_is_the_logarithm_of_a_probability(generator):
    """Differences between two scenes, with scipy's Poisson probabilities of the counts."""
    tags = observe(generator, shape=(2, 2), start=500, stop=700)
    A = TagRates(tags=tags, impulse=PULSES["gaussian"])
    x, z = guess(tags, 1, generator), guess(tags, 1, generator)
    y = tags.histogram(1).counts.numpy()
    expected = [-scipy.stats.poisson.logpmf(y, A.histogram_model()(v).numpy()).sum() for v in (x, z)]
    got = [tag_likelihood(v, A).item() for v in (x, z)]
    assert got[0] - got[1] == pytest.approx(expected[0] - expected[1], rel=1e-9)


def test_delays_of_pixels(generator):
    tags = observe(generator)
    delay = 200e-12 * torch.rand(*tags.shape, generator=generator, dtype=torch.float64)
    A = TagRates(tags=tags, impulse=PULSES["tail"], delay=delay)
    x = guess(tags, 1, generator)
    torch.testing.assert_close(tag_likelihood(x, A), by_histogram(A, tags, x), rtol=1e-10, atol=0)


@pytest.mark.parametrize("boundary", ["replicate", "reflect", "zero", "circular"])
@pytest.mark.parametrize("size", [(3, 3), (2, 5)])
def test_blur_brings_photons_of_the_neighbors(boundary, size, generator):
    tags = observe(generator)
    psf = torch.rand(*size, generator=generator, dtype=torch.float64)
    psf = (psf / psf.sum()).requires_grad_()
    delay = 200e-12 * torch.rand(*tags.shape, generator=generator, dtype=torch.float64)
    A = TagRates(tags=tags, impulse=PULSES["tail"], surfaces=2, psf=psf, boundary=boundary, delay=delay)
    x = guess(tags, 2, generator, 2).requires_grad_()
    one, other = tag_likelihood(x, A), by_histogram(A, tags, x)
    torch.testing.assert_close(one, other, rtol=1e-10, atol=0)
    for a, b in zip(*(torch.autograd.grad(v.sum(), [x, psf]) for v in (one, other))):
        assert (a - b).norm() <= 1e-10 * b.norm()


def test_the_order_of_the_photons_does_not_matter(generator):
    tags = observe(generator, shape=(1, 1))
    other = dataclasses.replace(tags, tags=tags.tags.flip(0))
    x = guess(tags, 1, generator)
    values = [tag_likelihood(x, TagRates(tags=t, impulse=PULSES["gaussian"])) for t in (tags, other)]
    torch.testing.assert_close(*values, rtol=1e-12, atol=0)


def test_solvers_of_core_fit_tags_as_they_fit_histograms(generator):
    cells = [[[598, 600, 601, 603, 607, 611, 50, 900], [612, 615, 619, 620, 444, 1100]]]
    tags = TimeTags.from_cells(cells, tick=TICK, start=0, stop=1200)
    A = TagRates(tags=tags, impulse=PULSES["gaussian"])
    x0 = A.histogram_model().image(
        depth=torch.tensor([[[4.52, 4.64]]], dtype=torch.float64),
        reflectivity=torch.full((1, 1, 2), 5.0, dtype=torch.float64),
        background=0.002,
    )
    options = {"max_steps": 300, "rtol": 1e-9}
    one = LBFGS(fidelity=PointProcess(), **options).solve(A.data, Physics(A), x0=x0)
    y = tags.histogram(1, dtype=torch.float64).counts
    physics = Physics(A.histogram_model())
    other = LBFGS(fidelity=PoissonKL(), **options).solve(y, physics, x0=x0)
    torch.testing.assert_close(one.value, other.value, rtol=1e-4, atol=1e-6)
    assert 0.05 < tag_likelihood(x0, A) - tag_likelihood(one.value, A) < 10
    torch.testing.assert_close(
        one.value[1], torch.tensor([[6.0, 4.0]], dtype=torch.float64), rtol=1e-2, atol=0
    )


def test_proximal_operator_minimizes(generator):
    f = PointProcess()
    w = torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    u = torch.tensor([-0.7, 0.4, 1.3], dtype=torch.float64), torch.tensor([0.5, 2.0], dtype=torch.float64)
    z = f.prox(u, w, 0.3)

    def cost(v):
        return f.value(v, w) + sum((a - b).square().sum() for a, b in zip(v, u)) / 0.6

    for _ in range(50):
        moved = tuple(a + 0.05 * torch.randn(a.shape, generator=generator, dtype=torch.float64) for a in z)
        assert cost(moved) >= cost(z)
    g = f.grad(z, w)
    for a, b, c in zip(z, g, u):
        torch.testing.assert_close(a + 0.3 * b, c, rtol=1e-12, atol=1e-12)
    several = tuple(torch.stack([a, a]) for a in u), torch.tensor([0.3, 1.0], dtype=torch.float64)
    space = (TagRates(tags=observe(generator), impulse=PULSES["gaussian"]).range[0],) * 2
    space = tuple(dataclasses.replace(s, shape=(n,)) for s, n in zip(space, (3, 2)))
    batch = f.prox(several[0], w, several[1], space)
    for a, b, c in zip(batch, f.prox(u, w, 0.3), f.prox(u, w, 1.0)):
        torch.testing.assert_close(a, torch.stack([b, c]))


def test_a_photon_where_none_can_be_is_infinitely_unlikely():
    tags = TimeTags.from_cells([[[3, 500]]], tick=TICK, start=0, stop=600)
    A = TagRates(tags=tags, impulse=PULSES["gaussian"])
    x = torch.tensor([3 * TICK * 1.5e8, 2.0, 0.0], dtype=torch.float64).reshape(3, 1, 1)
    assert tag_likelihood(x, A).item() == np.inf


def test_errors_say_what_was_expected(generator):
    tags = observe(generator)
    with pytest.raises(ParameterError, match="divides the gate of 1200 ticks"):
        TagRates(tags=tags, impulse=PULSES["gaussian"], width=7)
    with pytest.raises(ShapeError, match="tuple of two parts"):
        PointProcess().value(torch.zeros(3), torch.zeros(3))
