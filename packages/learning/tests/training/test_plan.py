"""The order of the samples."""

import collections

import pytest

from invcore_learning._training.plan import Plan


@pytest.mark.parametrize("length", [1, 7, 24, 25])
@pytest.mark.parametrize("batch, accumulate, processes", [(1, 1, 1), (4, 1, 2), (3, 2, 2), (2, 3, 5)])
def test_processes_share_each_step_and_all_samples_count_once(length, batch, accumulate, processes):
    plan = Plan(length=length, batch=batch, accumulate=accumulate, processes=processes)
    for epoch in range(2):
        counted = collections.Counter()
        for step in range(epoch * plan.steps, (epoch + 1) * plan.steps):
            shares = [plan.parts(step, rank) for rank in range(processes)]
            assert len({len(parts) for parts in shares}) == 1  # all go through the network as often
            for keys, positions, counts in (part for parts in shares for part in parts):
                assert 1 <= len(keys) <= batch
                assert keys == [(epoch, plan.step(step)[1][i]) for i in positions]
                counted.update(key for key in keys if counts)
        assert counted == {(epoch, i): 1 for i in range(length)}


def test_orders_are_uniform():
    """Chi square of the first sample over seeds, 5 degrees of freedom: 20.5 is exceeded once in 1000."""
    first = collections.Counter(Plan(length=6, batch=1, seed=s).epoch(0)[0][1][0] for s in range(600))
    assert sum((first[i] - 100) ** 2 / 100 for i in range(6)) < 20.5
