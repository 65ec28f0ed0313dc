"""Closure triangles and quadrangles: complete, independent, and without mixing times or frequencies."""

import math

import pytest
import torch

from invcore import DataError, DtypeError, ParameterError
from invcore_radio import (
    ClosurePhases,
    closure_phases,
    closure_quadrangles,
    closure_triangles,
    log_closure_amplitudes,
    simulate,
    vla,
)

NAN = float("nan")


@pytest.mark.parametrize("n", [3, 4, 5, 8, 11])
def test_minimal_sets_are_independent_and_complete(baselines, design, n):
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


def test_incomplete_graphs_span_what_all_their_closures_span(baselines, design, generator):
    a, b, time = baselines(7)
    for _ in range(20):
        good = torch.rand(len(a), 1, generator=generator) < 0.7
        for find in (closure_triangles, closure_quadrangles):
            least, every = find(a, b, time, good=good), find(a, b, time, good=good, minimal=False)
            rank = torch.linalg.matrix_rank(design(every)) if len(every) else 0
            assert len(least) == rank
            assert torch.linalg.matrix_rank(design(least)) == rank if len(least) else rank == 0
            assert bool(good.reshape(-1)[least.index].all())


def test_times_and_frequencies_are_not_mixed(baselines):
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


def test_the_reference_is_the_antenna_with_the_best_signal(baselines):
    a, b, time = baselines(5)
    snr = torch.where((a == 3) | (b == 3), 100.0, 5.0)[:, None]
    closures = closure_triangles(a, b, time, snr=snr)
    assert bool((closures.stations == 3).any(1).all())


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


def test_closures():
    a, b = torch.triu_indices(3, 3, 1)
    with pytest.raises(DtypeError, match="integers"):
        closure_triangles(a.double(), b, torch.zeros(3))
    with pytest.raises(ParameterError, match="negative"):
        closure_triangles(a - 1, b, torch.zeros(3))
    with pytest.raises(DataError, match="time"):
        closure_triangles(a, b, torch.full((3,), NAN))
    none = ClosurePhases(closure_triangles(a[:2], b[:2], torch.zeros(2)))
    assert none(torch.ones(2, 1) + 0j).shape == (0,)
