"""Closure quantities against their definitions, and their likelihoods against simulated noise."""

import math

import pytest
import torch
from scipy import stats

from invcore import DataError, ParameterError, Physics, ShapeError
from invcore.noises import GaussianMapNoise
from invcore.operators import Space, stack
from invcore_radio import (
    BlockCovariance,
    ClosurePhases,
    CorrelatedLeastSquares,
    CorrelatedPhaseLikelihood,
    JointNoise,
    LogClosureAmplitudes,
    PhaseLikelihood,
    closure_phases,
    closure_quadrangles,
    closure_triangles,
    debias_amplitude,
    log_amplitude_bias,
    log_amplitude_error,
    log_closure_amplitudes,
    phase_error,
    signal_to_noise,
    simulate,
    vla,
    wrapped,
)


def baselines(n):
    a, b = torch.triu_indices(n, n, 1)
    return a, b, torch.zeros(len(a), dtype=torch.float64)


def visibilities(shape, generator):
    return torch.randn(shape, generator=generator, dtype=torch.complex128) + 1


def noisy(clean, sigma, count, generator):
    draws = torch.randn((count, *clean.shape), generator=generator, dtype=torch.complex128)
    return clean + math.sqrt(2) * sigma * draws


def design(closures):
    """The matrix from flattened phases or log amplitudes to closures."""
    matrix = torch.zeros(len(closures), closures.shape[0] * closures.shape[1], dtype=torch.float64)
    return matrix.scatter_add(1, closures.index, closures.sign.double())


@pytest.mark.parametrize("n", [3, 4, 5, 8, 11])
def test_minimal_sets_are_independent_and_complete(n):
    triangles = closure_triangles(*baselines(n))
    assert len(triangles) == (n - 1) * (n - 2) // 2 == torch.linalg.matrix_rank(design(triangles))
    every = closure_triangles(*baselines(n), minimal=False)
    assert len(every) == math.comb(n, 3)
    assert torch.linalg.matrix_rank(design(every)) == len(triangles)
    if n > 3:
        quadrangles = closure_quadrangles(*baselines(n))
        assert len(quadrangles) == n * (n - 3) // 2 == torch.linalg.matrix_rank(design(quadrangles))
        every = closure_quadrangles(*baselines(n), minimal=False)
        assert len(every) == 3 * math.comb(n, 4)
        assert torch.linalg.matrix_rank(design(every)) == len(quadrangles)


def test_incomplete_graphs_span_what_all_their_closures_span(generator):
    a, b, time = baselines(7)
    for _ in range(20):
        good = torch.rand(len(a), 1, generator=generator) < 0.7
        for find in (closure_triangles, closure_quadrangles):
            least, every = find(a, b, time, good=good), find(a, b, time, good=good, minimal=False)
            rank = torch.linalg.matrix_rank(design(every)) if len(every) else 0
            assert len(least) == rank
            assert torch.linalg.matrix_rank(design(least)) == rank if len(least) else rank == 0
            assert bool(good.reshape(-1)[least.index].all())


def test_gains_cancel(generator):
    n, f = 6, 3
    a, b, time = baselines(n)
    V = visibilities((len(a), f), generator)
    good = torch.ones(len(a), f, dtype=torch.bool)
    gains = torch.randn(n, f, generator=generator, dtype=torch.complex128)
    corrupted = gains[a] * gains[b].conj() * V
    for A in (
        ClosurePhases(closures=closure_triangles(a, b, time, good=good)),
        LogClosureAmplitudes(closures=closure_quadrangles(a, b, time, good=good)),
    ):
        assert len(A.closures) == f * len(A.closures[A.closures.group == 0])
        difference = wrapped(A(corrupted) - A(V))
        assert difference.abs().max() < 1e-12
        assert (A(corrupted.abs() * V / V.abs()) - A(V)).abs().max() < 1e-12
        swapped = V.clone()
        swapped[1] = 2 * V[1] * torch.exp(torch.tensor(0.5j))  # an error of a baseline does not cancel
        assert (A(swapped) - A(V)).abs().max() > 0.1


def test_definitions_from_stations_whatever_the_direction_of_the_baselines(generator):
    a, b, time = baselines(6)
    V = visibilities((len(a), 1), generator)
    full = torch.zeros(6, 6, dtype=torch.complex128)
    full[a, b], full[b, a] = V[:, 0], V[:, 0].conj()
    turned = torch.rand(len(a), generator=generator) < 0.5
    a, b = torch.where(turned, b, a), torch.where(turned, a, b)
    V = torch.where(turned[:, None], V.conj(), V)
    P = ClosurePhases(closures=closure_triangles(a, b, time))
    i, j, k = P.closures.stations.T
    assert wrapped(P(V) - (full[i, j] * full[j, k] * full[k, i]).angle()).abs().max() < 1e-12
    L = LogClosureAmplitudes(closures=closure_quadrangles(a, b, time))
    i, j, k, m = L.closures.stations.T
    expected = (full[i, j] * full[k, m] / (full[i, k] * full[j, m])).abs().log()
    assert (L(V) - expected).abs().max() < 1e-12


def test_times_and_frequencies_are_not_mixed():
    a, b, _ = baselines(4)
    time = torch.tensor([0.0, 0.1, 0.2, 0.0, 0.3, 0.4, 10, 10, 10, 10, 10, 10])
    good = torch.ones(12, 2, dtype=torch.bool)
    good[7, 1] = False
    closures = closure_triangles(a.repeat(2), b.repeat(2), time, good=good)
    assert [int((closures.group == g).sum()) for g in range(4)] == [3, 3, 3, 2]
    for g in range(4):
        entries = closures[closures.group == g].index
        assert len(set((entries % 2).reshape(-1).tolist())) == 1
        assert len(set((entries // 12).reshape(-1).tolist())) == 1
    with pytest.raises(DataError, match="more than once"):
        closure_triangles(a.repeat(2), b.repeat(2), time, tolerance=20.0)


def test_the_reference_is_the_antenna_with_the_best_signal():
    a, b, time = baselines(5)
    snr = torch.where((a == 3) | (b == 3), 100.0, 5.0)[:, None]
    closures = closure_triangles(a, b, time, snr=snr)
    assert bool((closures.stations == 3).any(1).all())


def test_phase_and_amplitude_errors_match_simulation(generator):
    for rho in (1.0, 2.0, 4.0, 8.9, 9.1, 30.0):
        n = 400_000
        V = rho + math.sqrt(2) * torch.randn(n, generator=generator, dtype=torch.complex128)
        snr = torch.tensor(rho, dtype=torch.float64)
        spread = (-2 * V.angle().cos().mean().log()).sqrt()
        assert abs(phase_error(snr) / spread - 1) < 0.01
        logs = V.abs().log()
        assert abs(log_amplitude_error(snr) / logs.std() - 1) < 0.01
        assert abs(log_amplitude_bias(snr) - (logs.mean() - math.log(rho))) < 6 * logs.std() / n**0.5
        power = debias_amplitude(V, torch.ones(n)).square().mean()
        assert rho < 3 or abs(power / rho**2 - 1) < 0.02
    steps = torch.linspace(8.5, 9.5, 101, dtype=torch.float64)  # both formulas, without a jump between them
    assert log_amplitude_error(steps).diff().diff().abs().max() < 1e-5
    assert phase_error(torch.tensor([49.99, 50.01], dtype=torch.float64)).diff().abs() < 1e-5


def test_debiased_log_closure_amplitudes_at_low_signal(generator):
    a, b, time = baselines(4)
    A = LogClosureAmplitudes(closures=closure_quadrangles(a, b, time))
    V = torch.ones(6, 1, dtype=torch.complex128)
    sigma = torch.full((6, 1), 0.02, dtype=torch.float64)
    sigma[0] = 1 / 1.5  # one leg with a signal-to-noise ratio of 1.5
    data = noisy(V, sigma, 100_000, generator)
    plain = A.measured(data).mean(0).abs().max()
    assert plain == pytest.approx(float(log_amplitude_bias(torch.tensor(1.5))), abs=0.01)
    assert A.measured(data, snr=1 / sigma).mean(0).abs().max() < 0.01


@pytest.mark.parametrize("rho", [100.0, 15.0])
def test_correlated_likelihoods_follow_chi_squared(rho, generator):
    """At the truth 2f is χ² distributed with as many degrees of freedom as there are closures."""
    a, b, time = baselines(6)
    V = visibilities((len(a), 1), generator)
    sigma = V.abs() / rho
    data = noisy(V, sigma, 3000, generator)
    for A in (
        ClosurePhases(closures=closure_triangles(a, b, time)),
        LogClosureAmplitudes(closures=closure_quadrangles(a, b, time)),
    ):
        f = A.noise(V, sigma, correlated=True).likelihood()
        y = A.measured(data)
        chi2 = 2 * f.value(A(V).expand_as(y), y, A.range)
        assert stats.kstest(chi2.numpy(), stats.chi2(len(A.closures)).cdf).pvalue > 1e-3
        independent = A.noise(V, sigma).likelihood()
        narrow = 2 * independent.value(A(V).expand_as(y), y, A.range)
        assert narrow.mean() == pytest.approx(len(A.closures), rel=0.05)
        assert narrow.var() > 1.3 * chi2.var()  # without the correlations it is not χ²


@pytest.mark.parametrize("rho", [2.0, 4.0, 10.0])
def test_expected_value_of_phase_likelihoods_at_any_signal(rho, generator):
    a, b, time = baselines(5)
    A = ClosurePhases(closures=closure_triangles(a, b, time))
    V = visibilities((len(a), 1), generator)
    sigma = V.abs() / rho
    strong = V * math.sqrt(1 + 2 / rho**2)  # its estimated signal-to-noise ratio is the true one
    y = A.measured(noisy(V, sigma, 20_000, generator))
    for correlated in (False, True):
        f = A.noise(strong, sigma, correlated=correlated).likelihood()
        mean = f.value(A(V).expand_as(y), y, A.range).mean()
        assert mean == pytest.approx(float(f.expected()), rel=0.03)


@pytest.mark.parametrize("find", [closure_triangles, closure_quadrangles])
def test_covariance_is_propagated(find, generator):
    a, b, _ = baselines(5)
    time = torch.arange(3.0).repeat_interleave(10) * 60
    good = torch.rand(30, 2, generator=generator) < 0.9
    closures = find(a.repeat(3), b.repeat(3), time, good=good)
    A = (ClosurePhases if find is closure_triangles else LogClosureAmplitudes)(closures=closures)
    V, sigma = visibilities((30, 2), generator), 0.01 + 0.1 * torch.rand(30, 2, generator=generator).double()
    got = A.covariance(V, sigma, systematic=0.03)
    error = phase_error if find is closure_triangles else log_amplitude_error
    matrix = design(closures)
    expected = (matrix * error(signal_to_noise(V, sigma)).reshape(-1) ** 2) @ matrix.T + 9e-4 * torch.eye(
        len(closures), dtype=torch.float64
    )
    assert (got.dense() - expected).abs().max() < 1e-14
    assert (got.variance - A.sigma(V, sigma, systematic=0.03) ** 2).abs().max() < 1e-14
    r = torch.randn(4, len(closures), generator=generator, dtype=torch.float64)
    assert (got.solve(r) - torch.linalg.solve(expected, r.T).T).abs().max() < 1e-8
    assert (got.whiten(r).square().sum(-1) - (r * got.solve(r)).sum(-1)).abs().max() < 1e-8
    assert A.sigma(V, sigma, fraction=0.1).min() > (0.1 * 3**0.5) * 0.99


def test_flagged_visibilities_do_not_enter():
    a, b, time = baselines(5)
    good = torch.ones(10, 1, dtype=torch.bool)
    good[2] = False
    A = ClosurePhases(closures=closure_triangles(a, b, time, good=good))
    V = torch.ones(10, 1, dtype=torch.complex128)
    V[2] = torch.nan
    sigma = torch.where(good, 0.1, torch.inf).double()
    assert bool(torch.isfinite(A.sigma(V, sigma)).all())
    sigma[3] = torch.inf
    with pytest.raises(ParameterError, match="flag them"):
        A.sigma(V, sigma)


def test_likelihood_of_angles_is_smooth_over_the_jump(generator):
    y = torch.tensor([3.1, -3.0, 0.2], dtype=torch.float64)
    sigma = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    covariance = BlockCovariance(index=torch.tensor([[0, 1, 2]]), matrix=torch.diag(sigma**2)[None])
    for f in (PhaseLikelihood(sigma=sigma), CorrelatedPhaseLikelihood(covariance=covariance)):
        u = torch.linspace(-math.pi, 5 * math.pi, 2001, dtype=torch.float64)[:, None].expand(-1, 3)
        value, grad = f.value(u, y, Space((3,))), f.grad(u, y, Space((3,)))
        again = f.value(u + 2 * math.pi, y, Space((3,)))
        assert (again - value).abs().max() < 1e-9 * value.max()
        assert (f.value(wrapped(u), y, Space((3,))) - value).abs().max() < 1e-9 * value.max()
        slope = torch.gradient(value, spacing=(float(u[1, 0] - u[0, 0]),))[0]
        assert (slope - grad.sum(-1))[1:-1].abs().max() < 1e-3 * slope.abs().max()
    first, second = PhaseLikelihood(sigma=sigma), CorrelatedPhaseLikelihood(covariance=covariance)
    assert (first.value(u, y, Space((3,))) - second.value(u, y, Space((3,)))).abs().max() < 1e-9
    assert float(first.expected()) == pytest.approx(float(second.expected()), rel=1e-12)


def test_correlated_phases_are_least_squares_for_small_differences(generator):
    root = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    covariance = BlockCovariance(
        index=torch.arange(5)[None], matrix=(root @ root.T + torch.eye(5))[None] * 1e-2
    )
    y = torch.tensor([3.14, -3.14, 0.0, 1.0, 2.0], dtype=torch.float64)
    d = 1e-4 * torch.randn(5, generator=generator, dtype=torch.float64)
    angle = CorrelatedPhaseLikelihood(covariance=covariance).value(wrapped(y + d), y)
    plain = CorrelatedLeastSquares(covariance=covariance).value(y + d, y)
    assert float(angle) == pytest.approx(float(plain), rel=1e-5)


def test_prox_of_angles_against_a_grid(generator):
    grid = torch.linspace(-10, 10, 400_001, dtype=torch.float64)
    for _ in range(30):
        y, u = 6 * torch.rand(2, generator=generator, dtype=torch.float64) - 3
        sigma = 0.1 + 2 * torch.rand((), generator=generator, dtype=torch.float64)
        step = 5 * float(torch.rand((), generator=generator))
        f = PhaseLikelihood(sigma=sigma)
        objective = (1 - torch.cos(grid - y)) / sigma**2 + (grid - u) ** 2 / (2 * step)
        z = f.prox(u, y, step, Space(()))
        value = (1 - torch.cos(z - y)) / sigma**2 + (z - u) ** 2 / (2 * step)
        assert float(value) <= float(objective.min()) + 1e-9


def test_stacked_closures_with_joint_noise(generator):
    a, b, time = baselines(6)
    P = ClosurePhases(closures=closure_triangles(a, b, time))
    L = LogClosureAmplitudes(closures=closure_quadrangles(a, b, time))
    V = visibilities((15, 1), generator)
    sigma = V.abs() / 50
    noise = JointNoise(parts=(P.noise(V, sigma), L.noise(V, sigma, correlated=True)))
    assert isinstance(L.noise(V, sigma), GaussianMapNoise)
    physics = Physics(operator=stack([P, L]), noise=noise)
    y = physics(V, generator=generator)
    f = noise.likelihood()
    total = f.value((P(V), L(V)), y, physics.operator.range)
    parts = [n.likelihood().value(A(V), d) for n, A, d in zip(noise.parts, (P, L), y)]
    assert float(total) == pytest.approx(float(sum(parts)), rel=1e-12)
    grads = f.grad((P(V), L(V)), y, physics.operator.range)
    assert [g.shape for g in grads] == [p.shape for p in y]
    assert f.smooth and not f.convex
    with pytest.raises(ParameterError, match="as many"):
        f.value((P(V),), y)


def test_errors_say_what_is_wrong():
    triangles = closure_triangles(*baselines(4))
    with pytest.raises(ShapeError, match="quadrangles"):
        LogClosureAmplitudes(closures=triangles)
    A = ClosurePhases(closures=closure_triangles(*baselines(4), minimal=False))
    with pytest.raises(ParameterError, match="minimal"):
        A.covariance(torch.ones(6, 1, dtype=torch.complex128), torch.full((6, 1), 0.1, dtype=torch.float64))
    with pytest.raises(ParameterError, match="every entry"):
        BlockCovariance(index=torch.tensor([[0, 2]]), matrix=torch.eye(2)[None])


def test_averages_close(generator):
    """All baselines of an average have one time, although some were not measured all the while."""
    vis = vla("D", antennas=6).observe(hour_angles=(-0.5, 0.5), interval=10.0, sigma=0.1, dtype=torch.float64)
    vis = simulate(vis, torch.ones(1, 4, 4, dtype=torch.float64), pixel=1e-5, generator=generator)
    vis = vis.rows(torch.rand(len(vis), generator=generator) < 0.7)
    mean = vis.average(time=300.0)
    stamps = len(mean.time.unique())
    assert len(mean) == 15 * stamps
    assert len(closure_phases(mean).closures) == 10 * stamps
    assert len(log_closure_amplitudes(mean).closures) == 9 * stamps
