"""Closure phases and log closure amplitudes against their definitions."""

import pytest
import torch

from invcore import ParameterError, Physics, ShapeError
from invcore.noises import BlockNoise, GaussianMapNoise
from invcore.operators import stack
from invcore_radio import (
    BlockCovariance,
    ClosurePhases,
    LogClosureAmplitudes,
    closure_quadrangles,
    closure_triangles,
    log_amplitude_bias,
    log_amplitude_error,
    phase_error,
    signal_to_noise,
    wrapped,
)


def test_gains_cancel(baselines, visibilities, generator):
    n, f = 6, 3
    a, b, time = baselines(n)
    V = visibilities((len(a), f), generator)
    good = torch.ones(len(a), f, dtype=torch.bool)
    gains = torch.randn(n, f, generator=generator, dtype=torch.complex128)
    corrupted = gains[a] * gains[b].conj() * V
    for A in (
        ClosurePhases(closure_triangles(a, b, time, good=good)),
        LogClosureAmplitudes(closure_quadrangles(a, b, time, good=good)),
    ):
        assert len(A.closures) == f * len(A.closures[A.closures.group == 0])
        difference = wrapped(A(corrupted) - A(V))
        assert difference.abs().max() < 1e-12
        assert (A(corrupted.abs() * V / V.abs()) - A(V)).abs().max() < 1e-12
        swapped = V.clone()
        swapped[1] = 2 * V[1] * torch.exp(torch.tensor(0.5j))  # an error of a baseline does not cancel
        assert (A(swapped) - A(V)).abs().max() > 0.1


def test_definitions_from_stations_whatever_the_direction_of_the_baselines(
    baselines, visibilities, generator
):
    a, b, time = baselines(6)
    V = visibilities((len(a), 1), generator)
    full = torch.zeros(6, 6, dtype=torch.complex128)
    full[a, b], full[b, a] = V[:, 0], V[:, 0].conj()
    turned = torch.rand(len(a), generator=generator) < 0.5
    a, b = torch.where(turned, b, a), torch.where(turned, a, b)
    V = torch.where(turned[:, None], V.conj(), V)
    P = ClosurePhases(closure_triangles(a, b, time))
    i, j, k = P.closures.stations.T
    assert wrapped(P(V) - (full[i, j] * full[j, k] * full[k, i]).angle()).abs().max() < 1e-12
    L = LogClosureAmplitudes(closure_quadrangles(a, b, time))
    i, j, k, m = L.closures.stations.T
    expected = (full[i, j] * full[k, m] / (full[i, k] * full[j, m])).abs().log()
    assert (L(V) - expected).abs().max() < 1e-12


def test_debiased_log_closure_amplitudes_at_low_signal(baselines, noisy, generator):
    a, b, time = baselines(4)
    A = LogClosureAmplitudes(closure_quadrangles(a, b, time))
    V = torch.ones(6, 1, dtype=torch.complex128)
    sigma = torch.full((6, 1), 0.02, dtype=torch.float64)
    sigma[0] = 1 / 1.5  # one leg with a signal-to-noise ratio of 1.5
    data = noisy(V, sigma, 100_000, generator)
    plain = A.measured(data).mean(0).abs().max()
    assert plain == pytest.approx(float(log_amplitude_bias(torch.tensor(1.5))), abs=0.01)
    assert A.measured(data, snr=1 / sigma).mean(0).abs().max() < 0.01


@pytest.mark.parametrize("find", [closure_triangles, closure_quadrangles])
def test_covariance_is_propagated(baselines, design, visibilities, find, generator):
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


def test_flagged_visibilities_do_not_enter(baselines):
    a, b, time = baselines(5)
    good = torch.ones(10, 1, dtype=torch.bool)
    good[2] = False
    A = ClosurePhases(closure_triangles(a, b, time, good=good))
    V = torch.ones(10, 1, dtype=torch.complex128)
    V[2] = torch.nan
    sigma = torch.where(good, 0.1, torch.inf).double()
    assert bool(torch.isfinite(A.sigma(V, sigma)).all())
    sigma[3] = torch.inf
    with pytest.raises(ParameterError, match="flag them"):
        A.sigma(V, sigma)


def test_stacked_closures_with_joint_noise(baselines, visibilities, generator):
    a, b, time = baselines(6)
    P = ClosurePhases(closure_triangles(a, b, time))
    L = LogClosureAmplitudes(closure_quadrangles(a, b, time))
    V = visibilities((15, 1), generator)
    sigma = V.abs() / 50
    noise = BlockNoise((P.noise(V, sigma), L.noise(V, sigma, correlated=True)))
    assert isinstance(L.noise(V, sigma), GaussianMapNoise)
    physics = Physics(stack([P, L]), noise)
    y = physics(V, generator=generator)
    f = noise.likelihood()
    total = f.value((P(V), L(V)), y, physics.operator.range)
    parts = [n.likelihood().value(A(V), d) for n, A, d in zip(noise.parts, (P, L), y)]
    assert float(total) == pytest.approx(float(sum(parts)), rel=1e-12)
    grads = f.grad((P(V), L(V)), y, physics.operator.range)
    assert [g.shape for g in grads] == [p.shape for p in y]
    assert f.smooth and not f.convex
    with pytest.raises(ParameterError, match="a tuple of 2 tensors, one a part"):
        f.value((P(V),), y)


def test_errors_say_what_is_wrong(baselines):
    triangles = closure_triangles(*baselines(4))
    with pytest.raises(ShapeError, match="quadrangles"):
        LogClosureAmplitudes(triangles)
    A = ClosurePhases(closure_triangles(*baselines(4), minimal=False))
    with pytest.raises(ParameterError, match="minimal"):
        A.covariance(torch.ones(6, 1, dtype=torch.complex128), torch.full((6, 1), 0.1, dtype=torch.float64))
    with pytest.raises(ParameterError, match="every entry"):
        BlockCovariance(index=torch.tensor([[0, 2]]), matrix=torch.eye(2)[None])
