"""Noises one after the other: their order, their parameters, and the likelihood where it is known."""

import pytest
import torch
from scipy import stats

from invcore import ParameterError
from invcore.fidelities import LeastSquares, ShiftedPoisson
from invcore.noises import (
    Compose,
    GaussianNoise,
    LaplaceNoise,
    NoNoise,
    PoissonNoise,
    Quantize,
    SaltPepperNoise,
    Saturate,
    UniformNoise,
)
from invcore_testsupport import rng


def test_every_noise_of_a_composition_acts():
    def drawn(value, *noises):
        return Compose(noises)(torch.full((40_000,), value, dtype=torch.float64), generator=rng())

    y = drawn(1.0, PoissonNoise(gain=0.1), UniformNoise(width=0.5))
    assert y.mean() == pytest.approx(1, abs=0.01)
    assert y.var() == pytest.approx(0.1 + 0.25 / 3, rel=0.04)
    y = drawn(0.5, LaplaceNoise(scale=0.5), SaltPepperNoise(pepper=0.3, salt=0.3))
    kept = y[(y != 0) & (y != 1)].numpy()
    assert len(kept) / len(y) == pytest.approx(0.4, abs=0.02)
    assert stats.kstest(kept, stats.laplace(0.5, 0.5).cdf).pvalue > 1e-3
    y = drawn(1.0, GaussianNoise(sigma=0.1), PoissonNoise(gain=0.1))
    assert y.var() == pytest.approx(0.01 + 0.1, rel=0.04)


def test_the_order_of_a_composition_matters():
    y = torch.full((2000,), 0.9)
    clipped = Compose((GaussianNoise(sigma=0.3), Saturate()))(y, generator=rng())
    noisy = Compose((Saturate(), GaussianNoise(sigma=0.3)))(y, generator=rng())
    assert clipped.max() == 1 and noisy.max() > 1.5
    assert torch.equal(clipped, noisy.clamp(0, 1))  # the same draws


def test_likelihood_of_a_composition():
    gaussian = Compose((GaussianNoise(sigma=0.3), NoNoise(), Compose((GaussianNoise(sigma=0.4),))))
    assert isinstance(gaussian.likelihood(), LeastSquares)
    assert gaussian.likelihood().sigma == pytest.approx(0.5)
    counts = Compose(
        (PoissonNoise(gain=0.2), GaussianNoise(sigma=0.3), GaussianNoise(sigma=0.4))
    ).likelihood()
    assert isinstance(counts, ShiftedPoisson) and (counts.gain, counts.sigma) == (0.2, pytest.approx(0.5))
    assert isinstance(Compose(()).likelihood(), LeastSquares)
    with pytest.raises(ParameterError, match="density of GaussianNoise, then PoissonNoise is not known"):
        Compose((GaussianNoise(sigma=0.1), PoissonNoise(gain=1.0))).likelihood()
    with pytest.raises(ParameterError, match="tuple of noises"):
        Compose([GaussianNoise(sigma=0.1)])


def test_parameters_of_a_composition():
    two = Compose((GaussianNoise(sigma=0.1), PoissonNoise(gain=1.0), GaussianNoise(sigma=0.2)))
    bound = two.bind(gain=0.5, **{"2.sigma": 0.4})
    assert (bound.noises[0].sigma, bound.noises[1].gain, bound.noises[2].sigma) == (0.1, 0.5, 0.4)
    assert two.random and not Compose((Saturate(), Quantize(step=0.1))).random
    assert torch.equal(Compose((Saturate(),))(torch.tensor([2.0])), torch.tensor([1.0]))  # needs no generator
