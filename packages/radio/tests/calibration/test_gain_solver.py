"""Antenna gains solved for, against simulated ones."""

import math

import pytest
import torch

from invcore import DataError, DtypeError, ParameterError, ShapeError
from invcore_radio import (
    ClosurePhases,
    Gains,
    closure_triangles,
    gain_blocks,
    solve_gains,
)

NAN = float("nan")


def pairs(n, times=1):
    a, b = torch.triu_indices(n, n, 1)
    time = torch.arange(float(times), dtype=torch.float64).repeat_interleave(len(a))
    return a.repeat(times), b.repeat(times), time


def random_gains(shape, generator, spread=0.3):
    size = torch.exp(spread * torch.randn(shape, generator=generator, dtype=torch.float64))
    return torch.polar(size, 2 * math.pi * torch.rand(shape, generator=generator, dtype=torch.float64))


def test_gains_do_not_change_closures_whatever_their_block(generator):
    a, b, time = pairs(5, 3)
    block = gain_blocks(time, 0.0)
    V = torch.randn(30, 2, generator=generator, dtype=torch.complex128)
    A = Gains(gains=random_gains((5, 3, 2), generator), antenna1=a, antenna2=b, block=block, frequencies=2)
    P = ClosurePhases(closure_triangles(a, b, time, good=torch.ones(30, 2, dtype=torch.bool)))
    assert (torch.exp(1j * P(A(V))) - torch.exp(1j * P(V))).abs().max() < 1e-12
    g = A.gains
    expected = g[a[17], 1, 1] * g[b[17], 1, 1].conj() * V[17, 1]
    assert (A(V)[17, 1] - expected).abs() < 1e-14


def test_blocks_of_time():
    time = torch.tensor([5.0, 5.0, 0.0, 61.0, 60.0, 121.0])
    assert gain_blocks(time, 60.0).tolist() == [0, 0, 0, 1, 1, 2]
    assert gain_blocks(time, 0.0).tolist() == [1, 1, 0, 3, 2, 4]
    assert gain_blocks(time, math.inf).tolist() == [0] * 6
    with pytest.raises(ParameterError, match="interval"):
        gain_blocks(time, -1.0)


@pytest.mark.parametrize("per_frequency", [False, True])
@pytest.mark.parametrize("mode", ["phase", "both"])
def test_gains_are_found(mode, per_frequency, generator):
    a, b, time = pairs(8, 4)
    f = 3 if per_frequency else 1
    block = gain_blocks(time, 2.0)
    truth = random_gains((8, 2, f), generator, spread=0.3 if mode == "both" else 0.0)
    truth = truth * torch.sgn(truth[2]).conj()
    V = torch.randn(len(a), 3, generator=generator, dtype=torch.complex128) + 2
    data = Gains(gains=truth, antenna1=a, antenna2=b, block=block, frequencies=3)(V)
    solution = solve_gains(
        data,
        V,
        weight=torch.ones(len(a), 3, dtype=torch.float64),
        antenna1=a,
        antenna2=b,
        block=block,
        mode=mode,
        per_frequency=per_frequency,
        reference=2,
        rtol=1e-12,
    )
    assert solution.converged and bool(solution.valid.all())
    assert (solution.gains - truth).abs().max() < 1e-9


def test_solution_is_stationary_and_its_errors_are_those_of_simulation(generator):
    """The gradient of χ², through the operator, vanishes; the scatter of solutions is what ``sigma`` says."""
    a, b, _ = pairs(12)
    truth = random_gains((12, 1, 1), generator)
    truth = truth * torch.sgn(truth[0]).conj()
    V = torch.randn(66, 1, generator=generator, dtype=torch.complex128) + 3
    A = Gains(gains=truth, antenna1=a, antenna2=b, block=torch.zeros(66, dtype=torch.int64), frequencies=1)
    sigma, found = 0.05, []
    for k in range(200):
        noise = sigma * math.sqrt(2) * torch.randn(66, 1, generator=generator, dtype=torch.complex128)
        data = A(V) + noise
        weight = torch.full((66, 1), sigma**-2, dtype=torch.float64)
        solution = solve_gains(data, V, weight=weight, antenna1=a, antenna2=b, reference=0, rtol=1e-10)
        found.append(solution.gains)
        if k == 0:
            g = solution.gains.clone().requires_grad_()
            chi2 = (weight * (data - A.bind(gains=g)(V)).abs() ** 2).sum()
            (slope,) = torch.autograd.grad(chi2, g)
            reference_slope = 2 * (weight * V.abs() ** 2).sum()
            assert slope.abs().max() < 1e-7 * reference_slope
    spread = torch.stack(found)[:, 1:].imag.std(0) / solution.sigma[1:]
    assert ((spread > 0.8) & (spread < 1.6)).all()  # the others are not known exactly, which widens it


def test_antennas_with_few_baselines_get_no_solution(generator):
    a, b, _ = pairs(6)
    weight = torch.ones(15, 1, dtype=torch.float64)
    weight[(b == 5) & (a > 0)] = 0  # antenna 5 has one baseline
    weight[(b == 4) & (a > 1)] = 0  # antenna 4 has two left
    V = torch.randn(15, 1, generator=generator, dtype=torch.complex128)
    both = solve_gains(V, V, weight=weight, antenna1=a, antenna2=b)
    assert both.valid[:, 0, 0].tolist() == [True] * 4 + [False] * 2
    assert bool((both.gains[4:] == 1).all()) and bool(torch.isinf(both.sigma[4:]).all())
    phases = solve_gains(V, V, weight=weight, antenna1=a, antenna2=b, mode="phase")
    assert phases.valid[:, 0, 0].tolist() == [True] * 5 + [False]
    assert both.usable()[:, 0].tolist() == ((a < 4) & (b < 4)).tolist()


def test_errors():
    a, b, _ = pairs(4)
    V, w = torch.ones(6, 1) + 0j, torch.ones(6, 1)
    with pytest.raises(ParameterError, match="mode"):
        solve_gains(V, V, weight=w, antenna1=a, antenna2=b, mode="amplitude")
    with pytest.raises(ShapeError, match="weight"):
        solve_gains(V, V, weight=w[0], antenna1=a, antenna2=b)
    with pytest.raises(ParameterError, match="reference"):
        solve_gains(V, V, weight=w, antenna1=a, antenna2=b, reference=7)
    with pytest.raises(ParameterError, match="antenna2"):
        Gains(gains=torch.ones(3, 1, 1) + 0j, antenna1=a, antenna2=b, block=a * 0, frequencies=1)


def gains(vis, **changed):
    options = {
        "data": vis.values(),
        "model": vis.values(),
        "weight": vis.weight[..., 0],
        "antenna1": vis.antenna1,
        "antenna2": vis.antenna2,
    } | changed
    return solve_gains(options.pop("data"), options.pop("model"), **options)


@pytest.mark.parametrize(
    ("changed", "error", "says"),
    [
        ({"data": torch.full((90, 1), NAN + 0j)}, DataError, "finite"),
        ({"data": torch.ones(90, 1)}, DtypeError, "complex"),
        ({"weight": -torch.ones(90, 1)}, DataError, "weights"),
        ({"block": torch.zeros(3, dtype=torch.int64)}, ShapeError, "block"),
        ({"start": torch.ones(3, 1, 1) + 0j}, ShapeError, r"start .*\(6, 1, 1\)"),
        ({"antennas": 3}, ParameterError, "6 or more"),
    ],
)
def test_gains(vis, changed, error, says):
    assert len(vis) == 90
    with pytest.raises(error, match=says):
        gains(vis, **changed)


def test_no_data_at_all(vis):
    with pytest.raises(DataError, match="no rows"):
        gains(vis.select(times=(0.0, 1.0)))
