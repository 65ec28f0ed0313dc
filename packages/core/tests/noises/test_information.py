"""Fisher information of noise against integrals and closed forms."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

import invcore
from invcore import Space
from invcore.fidelities import LeastSquares
from invcore.noises import GammaNoise, GaussianNoise, Noise, PoissonGaussianNoise, PoissonNoise, RicianNoise
from invcore.testing import iter_checks

F64 = torch.float64


def integrated(rate, s):
    """Of N + s n by adaptive quadrature."""
    k = np.arange(int(rate + 12 * rate**0.5 + 25))
    weights = stats.poisson.pmf(k, rate)
    p = lambda t: (weights * stats.norm.pdf(t, k, s)).sum()
    f = lambda t: (p(t - 1) - p(t)) ** 2 / max(p(t), 1e-300)
    edges = np.arange(-9 * s - 1, k[-1] + 9 * s, min(s, 0.5))
    return sum(integrate.quad(f, a, b, epsabs=1e-13)[0] for a, b in itertools.pairwise(edges))


@pytest.mark.parametrize(("counts", "s"), [(0.01, 0.2), (3.0, 0.2), (2.0, 0.5), (1.0, 1.0), (9.0, 2.0)])
def test_counts_with_read_noise(counts, s):
    gain = 0.3
    noise = PoissonGaussianNoise(gain=gain, sigma=gain * s)
    found = noise.information(torch.tensor([gain * counts], dtype=F64))
    assert float(found) * gain**2 == pytest.approx(integrated(counts, s), rel=1e-6)


def test_limits_of_counts_with_read_noise():
    u = torch.tensor([0.0, 1e-3, 0.5, 20.0, 99.0, 101.0, 1e4], dtype=F64)
    s = 1.5
    mixed = PoissonGaussianNoise(sigma=s).information(u)
    assert float(mixed[0]) == pytest.approx(math.expm1(1 / s**2), rel=1e-9)  # of N = 0 against N = 1
    upper = torch.minimum(1 / u, torch.tensor(math.expm1(1 / s**2), dtype=F64))
    assert bool((mixed >= 1 / (u + s**2)).all()) and bool((mixed <= upper * (1 + 1e-9)).all())
    assert float(mixed[4] * (99 + s**2)) == pytest.approx(float(mixed[5] * (101 + s**2)), rel=4e-4)
    counts = PoissonNoise().information(u[1:])
    torch.testing.assert_close(PoissonGaussianNoise(sigma=0.01).information(u[1:]), counts, rtol=1e-6, atol=0)


def test_parameters_per_sample():
    space, u = Space((1, 2)), torch.tensor([[[1.0, 2.0]], [[4.0, 8.0]]], dtype=F64)
    levels = torch.tensor([0.5, 2.0], dtype=F64)
    for make in (
        lambda v: GaussianNoise(sigma=v),
        lambda v: PoissonNoise(gain=v, background=0.1),
        lambda v: PoissonGaussianNoise(gain=v, sigma=0.3 * v),
        lambda v: GammaNoise(looks=v),
    ):
        together = make(levels).information(u, space)
        for i in range(2):
            torch.testing.assert_close(together[i], make(float(levels[i])).information(u[i], space))


def test_blocks():
    u = (torch.ones(2), torch.ones(3, dtype=torch.complex64))
    weights = GaussianNoise(sigma=0.5).information(u)
    assert [w.dtype for w in weights] == [torch.float32] * 2
    assert all(bool((w == 4).all()) for w in weights)
    counts = PoissonNoise(background=(torch.ones(2), torch.zeros(1))).information(
        (torch.ones(2), torch.ones(1))
    )
    assert torch.equal(counts[0], torch.full((2,), 0.5)) and float(counts[1]) == 1


class WrongInformation(Noise):
    """The information of a complex number, not of each component."""

    def sample(self, y, space, generator):
        return GaussianNoise(sigma=0.3).sample(y, space, generator)

    def likelihood(self):
        return LeastSquares(sigma=0.3)

    def _information(self, u, space):
        return torch.full_like(u.real, 2 / 0.09)


def test_the_kit_finds_wrong_information():
    found = {c.name: c for c in iter_checks(WrongInformation())}["information"]
    with pytest.raises(AssertionError, match=r"information\(\) is (1.9|2|2.0)\d* x that of the likelihood"):
        found()


def test_noise_without_it_says_so():
    with pytest.raises(invcore.ParameterError, match="RicianNoise states no Fisher information"):
        RicianNoise(sigma=1.0).information(torch.ones(3))
