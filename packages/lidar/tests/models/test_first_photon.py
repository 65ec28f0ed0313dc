"""The law of first photons against multinomial probabilities and photons drawn one by one."""

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import torch

from invcore import DataError, DtypeError, ParameterError, Physics
from invcore.fidelities import PoissonKL
from invcore.solvers import LBFGS
from invcore_lidar import TCSPC, FirstPhoton, FirstPhotonNoise, ImpulseResponse, PileUp


def simulate(per_pulse, pulses, seed):
    """All photons of every pulse, of which the first is counted."""
    photons = np.random.default_rng(seed).poisson(per_pulse, size=(pulses, len(per_pulse))) > 0
    first = photons.argmax(1)[photons.any(1)]
    return np.bincount(first, minlength=len(per_pulse))


def test_likelihood_is_the_multinomial_probability(generator):
    """Each pulse ends in one bin or none: differences of f are those of log-probabilities."""
    pulses, bins = 60, 7
    y = torch.tensor([3.0, 0, 9, 4, 0, 1, 2], dtype=torch.float64)
    outcomes = [*y.int().tolist(), pulses - int(y.sum())]
    mean = PileUp(pulses=pulses, bins=bins, shape=(1, 1))
    values, expected = [], []
    for _ in range(4):
        u = 20 * torch.rand(bins, generator=generator, dtype=torch.float64) + 0.1
        p = (mean(u[:, None, None]).flatten() / pulses).tolist()
        values.append(FirstPhoton(pulses=pulses, axis=-1).value(u, y).item())
        expected.append(-scipy.stats.multinomial.logpmf(outcomes, pulses, [*p, 1 - sum(p)]))
    np.testing.assert_allclose(np.diff(values), np.diff(expected), rtol=1e-10)


def test_its_minimum_is_the_correction_of_coates(generator):
    pulses = 500
    detector = PileUp(pulses=pulses, bins=20, shape=(2, 3))
    u = 60 * torch.rand(4, 20, 2, 3, generator=generator, dtype=torch.float64) + 0.5
    y = FirstPhotonNoise(pulses=pulses)(u, space=detector.range, generator=generator)
    f = FirstPhoton(pulses=pulses)
    best = detector.correct(y)
    torch.testing.assert_close(
        f.value(best, y, detector.range), torch.zeros(4, dtype=torch.float64), atol=1e-9, rtol=0
    )
    lit = y > 0
    assert f.grad(torch.where(lit, best, 0.1), y, detector.range)[lit].abs().max() < 1e-9
    assert (f.value(1.1 * best + 0.01, y, detector.range) > 0).all()


def test_draws_are_those_of_photons_one_by_one(generator, rates):
    """Means, variances and covariances of the counts of neighboring bins."""
    pulses, per_pulse, draws = 300, rates(12, 1.2, 0.6), 4000
    u = torch.as_tensor(per_pulse * pulses).reshape(12, 1, 1)
    y = FirstPhotonNoise(pulses=pulses)(
        u.expand(draws, 12, 1, 1),
        space=PileUp(pulses=pulses, bins=12, shape=(1, 1)).range,
        generator=generator,
    )
    got = y.flatten(1).numpy()
    single = np.stack([simulate(per_pulse, pulses, seed=s) for s in range(draws)])
    error = np.sqrt(2 * single.var(0) / draws)
    assert np.abs((got.mean(0) - single.mean(0)) / error).max() < 4.5
    np.testing.assert_allclose(got.var(0), single.var(0), rtol=0.15)
    scale = np.sqrt(np.outer(single.var(0), single.var(0)))
    assert np.abs((np.cov(got.T) - np.cov(single.T)) / scale).max() < 5 * np.sqrt(2 / draws)
    assert np.abs(np.cov(single.T) / scale)[0, 5] > 0.05  # they do depend on each other


def test_rates_are_recovered_where_poisson_is_wrong(generator):
    """Reflectivity at strong pile-up, fitted with the true law and with that of ideal counts."""
    pulses = 2000
    A = TCSPC(impulse=ImpulseResponse.gaussian(fwhm=3e-9), bins=40, bin_width=1e-9, shape=(1, 1))
    x = torch.tensor([3.0, 1500.0, 20.0], dtype=torch.float64).reshape(3, 1, 1)
    y = FirstPhotonNoise(pulses=pulses)(A(x), space=A.range, generator=generator)

    def fit(fidelity):
        def cost(v):
            image = torch.tensor([v[0], 1000 * v[1], 10 * v[2]], dtype=torch.float64).reshape(3, 1, 1)
            return fidelity.value(A(image), y, A.range).item()

        found = scipy.optimize.minimize(
            cost, [3.05, 1.0, 1.0], method="Nelder-Mead", options={"maxiter": 600}
        )
        return found.x * np.array([1, 1000, 10])

    right, wrong = fit(FirstPhoton(pulses=pulses)), fit(PoissonKL())
    assert right[1] == pytest.approx(1500, rel=0.06)
    assert right[0] == pytest.approx(3.0, abs=0.01)
    assert wrong[1] < 1100
    physics = Physics(A, FirstPhotonNoise(pulses=pulses))
    assert isinstance(physics.likelihood(), FirstPhoton)
    x0 = torch.tensor([3.01, 1400.0, 18.0], dtype=torch.float64).reshape(3, 1, 1)
    better = LBFGS(max_steps=5).solve(y, physics, x0=x0, throw=False).value
    f = physics.likelihood()
    assert f.value(A(better), y, A.range) < f.value(A(x0), y, A.range)


def test_outside_of_its_domain():
    f = FirstPhoton(pulses=10, axis=-1)
    y = torch.tensor([0.0, 2.0])
    assert f.value(torch.tensor([0.0, 0.0]), y) == torch.inf
    assert f.value(torch.tensor([-1.0, 1.0]), y) == torch.inf
    assert f.value(torch.tensor([0.0, 1.0]), y) < torch.inf
    assert f.value(torch.tensor([1.0, 1.0]), torch.tensor([8.0, 5.0])).isnan()  # more photons than pulses


def test_errors_say_what_was_expected(generator):
    with pytest.raises(ParameterError, match="pulses must be a positive number"):
        FirstPhoton(pulses=0)
    with pytest.raises(ParameterError, match="counted from the end"):
        FirstPhotonNoise(pulses=10, axis=1)
    with pytest.raises(DataError, match="clean data >= 0"):
        FirstPhotonNoise(pulses=10)(-torch.ones(2, 1, 1), generator=generator)
    with pytest.raises(DtypeError, match="real data"):
        FirstPhotonNoise(pulses=10)(torch.ones(2, 1, 1) + 0j, generator=generator)
