"""Matching of point sources against scipy, and by hand."""

import math

import pytest
import scipy.optimize
import scipy.spatial.distance
import torch

from invcore import DataError, ParameterError, ShapeError
from invcore.metrics import Hausdorff, SpikeMatching, match_spikes
from invcore_testsupport import rng

F64 = torch.float64


def lists(n, m, seed):
    g = rng(seed)
    return (torch.rand(k, 3, generator=g, dtype=F64) + torch.tensor([0.5, 0.0, 0.0]) for k in (n, m))


@pytest.mark.parametrize(("n", "m"), [(1, 1), (7, 7), (5, 12), (12, 5), (30, 30)])
def test_the_matching_is_the_cheapest_of_the_largest(n, m):
    """Against scipy's assignment with a price for pairs that are too far, greater than all others."""
    a, b = lists(n, m, seed=n + m)
    tolerance = 0.2
    apart = torch.cdist(a[:, 1:], b[:, 1:]).numpy()
    cost = apart**2
    cost[apart > tolerance] = 1e3
    i, j = scipy.optimize.linear_sum_assignment(cost)
    good = apart[i, j] <= tolerance
    pairs, distances = match_spikes(a, b, tolerance)
    assert len(pairs) == int(good.sum())
    assert abs(float((distances**2).sum()) - float((apart[i, j][good] ** 2).sum())) < 1e-12
    assert torch.allclose(distances, (a[pairs[:, 0], 1:] - b[pairs[:, 1], 1:]).norm(dim=-1))
    assert len(set(pairs[:, 0].tolist())) == len(set(pairs[:, 1].tolist())) == len(pairs)


def test_greedy_matching_would_lose_a_pair():
    """The nearest pair of all blocks two others: both are taken instead."""
    a = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    b = torch.tensor([[1.0, 0.9], [1.0, 1.8]])
    assert match_spikes(a, b, 1.0).pairs.tolist() == [[0, 0], [1, 1]]


def test_scores_by_hand():
    true = torch.tensor([[1.0, 0.2, 0.0], [1.0, 0.7, 0.0], [0.0, 9.0, 9.0]])
    found = torch.tensor([[0.9, 0.23, 0.04], [0.2, 0.5, 0.0], [0.3, 0.7, 0.0], [0.0, 0.0, 0.0]])
    assert abs(float(SpikeMatching(tolerance=0.1)(found, true)) - 2 / 3) < 1e-6
    rmse = SpikeMatching(tolerance=0.1, measure="rmse")
    assert abs(float(rmse(found, true)) - math.sqrt(0.05**2 / 2)) < 1e-6
    assert not rmse.higher_is_better and SpikeMatching(tolerance=0.1).higher_is_better
    empty = torch.zeros(2, 3)
    assert float(SpikeMatching(tolerance=0.1)(empty, true)) == 0.0
    assert float(SpikeMatching(tolerance=0.1)(empty, empty)) == 1.0
    assert math.isnan(float(rmse(empty, true)))
    assert float(Hausdorff()(empty, true)) == math.inf and float(Hausdorff()(empty, empty)) == 0.0


def test_hausdorff_is_that_of_scipy():
    for seed in range(5):
        a, b = lists(6, 9, seed)
        both = [
            scipy.spatial.distance.directed_hausdorff(u[:, 1:].numpy(), v[:, 1:].numpy())[0]
            for u, v in ((a, b), (b, a))
        ]
        assert abs(float(Hausdorff()(a, b)) - max(both)) < 1e-14


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: SpikeMatching(tolerance=0.0), ParameterError, "tolerance must be positive"),
        (lambda: SpikeMatching(tolerance=1.0, measure="f1"), ParameterError, "measure must be"),
        (lambda: Hausdorff()(torch.ones(2, 2), torch.ones(2, 3)), ShapeError, "must agree"),
        (lambda: Hausdorff()(torch.ones(2, 9), torch.ones(2, 9)), ShapeError, "d = 1 to 3"),
        (lambda: Hausdorff()(torch.ones(2, 2), torch.full((2, 2), torch.nan)), DataError, "NaN"),
    ],
)
def test_what_cannot_be_compared_is_refused(call, kind, words):
    with pytest.raises(kind, match=words):
        call()
