"""Bands of an observation that was taken apart."""

import dataclasses

import pytest
import torch

from invcore import DataError
from invcore_radio._data.joining import joined
from invcore_radio._examples.io import _sample

ROWS = ("data", "uvw", "weight", "flag", "time", "interval", "antenna1", "antenna2")


@pytest.fixture
def vis():
    return _sample(("RR", "LL"), (1.4e9, 1.41e9, 1.6e9))


def test_simultaneous_bands_are_put_back_together_whatever_the_order_of_their_rows(vis):
    shuffled = torch.randperm(len(vis), generator=torch.Generator().manual_seed(0))
    low, high = vis.select(frequencies=(1e9, 1.5e9)), vis.select(frequencies=(1.5e9, 2e9)).rows(shuffled)
    found = joined({0: low, 1: high}, "band", "band")
    key = [(float(t), int(a), int(b)) for t, a, b in zip(vis.time, vis.antenna1, vis.antenna2)]
    expected = vis.rows(sorted(range(len(vis)), key=key.__getitem__))
    assert torch.equal(found.frequencies, vis.frequencies)
    for name in ROWS:
        assert torch.equal(getattr(found, name), getattr(expected, name)), name


def test_bands_of_other_rows_are_flagged_there(vis):
    low, high = vis.select(frequencies=(1e9, 1.5e9)).rows(slice(0, 7)), vis.select(frequencies=(1.5e9, 2e9))
    found = joined({0: low, 1: high.rows(slice(5, 20))}, "band", "band")
    assert len(found) == 20
    assert int(found.mask[:, :2].sum()) == int(low.mask.sum())
    assert int(found.mask[:, 2:].sum()) == int(high.rows(slice(5, 20)).mask.sum())
    twice = joined({0: low.rows([0, 0, 1]), 1: high.rows([0])}, "band", "band")
    assert len(twice) == 3  # rows alike stay two


def test_bands_that_are_no_parts_of_one(vis):
    low, high = vis.select(frequencies=(1e9, 1.5e9)), vis.select(frequencies=(1.5e9, 2e9))
    mean = low.average(frequency=2)
    with pytest.raises(DataError, match="bands 0 and 3 hold the same frequencies .* choose one with band="):
        joined({0: low, 3: mean}, "band", "band")
    later = dataclasses.replace(mean, time=mean.time + 1e5)
    assert len(joined({0: low, 3: later}, "band", "band")) == 2 * len(vis)
    with pytest.raises(DataError, match="bands 0 and 1 have the correlations RR, LL and LL"):
        joined({0: low, 1: high.select(polarizations=["LL"])}, "band", "band")
