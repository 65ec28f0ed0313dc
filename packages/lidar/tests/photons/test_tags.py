"""Time tags and histograms against plain numpy."""

import numpy as np
import pytest
import torch

from invcore import DtypeError, ParameterError, ShapeError
from invcore_lidar import Histogram, TimeTags


@pytest.fixture
def events():
    rng = np.random.default_rng(0)
    return rng.integers(0, 35, 400), rng.integers(100, 160, 400)


@pytest.fixture
def tags(events):
    pixels, ticks = (torch.from_numpy(v) for v in events)
    return TimeTags.from_pixels(
        pixels=pixels, tags=ticks, tick=2e-12, shape=(5, 7), start=100, stop=160, pulses=1000
    )


def numpy_histogram(pixels, ticks, width, start=100, stop=160, shape=(5, 7)):
    counts = np.zeros(((stop - start) // width, shape[0] * shape[1]))
    for p, t in zip(pixels, ticks):
        b = (t - start) // width
        if start <= t < stop and b < len(counts):
            counts[b, p] += 1
    return counts.reshape(-1, *shape)


@pytest.mark.parametrize("width", [1, 4, 7, 60])
def test_histogram_equals_counting(tags, events, width):
    h = tags.histogram(width, dtype=torch.float64)
    assert np.array_equal(h.counts.numpy(), numpy_histogram(*events, width))
    assert h.bin_width == pytest.approx(width * 2e-12)
    assert h.start == pytest.approx(200e-12)
    assert h.times()[0].item() == pytest.approx((100 + width / 2) * 2e-12)
    assert len(h.edges()) == h.bins + 1


def test_order_inside_a_pixel_is_kept(tags, events):
    pixels, ticks = events
    for p in (0, 17, 34):
        part = tags.tags[tags.indptr[p] : tags.indptr[p + 1]].numpy()
        assert np.array_equal(part, ticks[pixels == p])
    assert torch.equal(tags.pixels().bincount(minlength=35).reshape(5, 7), tags.counts())
    assert tags.times()[0].item() == pytest.approx((tags.tags[0].item() + 0.5) * 2e-12)


def test_gate_select_bin(tags, events):
    pixels, ticks = events
    gated = tags.gate(110, 130)
    inside = (ticks >= 110) & (ticks < 130)
    assert np.array_equal(
        gated.histogram().counts.numpy(), numpy_histogram(pixels[inside], ticks[inside], 1, 110, 130)
    )
    whole = tags.histogram(3).counts
    assert torch.equal(tags.select(slice(1, 4), slice(None, None, 2)).histogram(3).counts, whole[:, 1:4, ::2])
    assert torch.equal(tags.select(slice(None, None), slice(2, 3)).histogram(3).counts, whole[:, :, 2:3])
    binned = tags.bin(2)
    expected = whole[:, :4, :6].unflatten(1, (2, 2)).unflatten(3, (3, 2)).sum((2, 4))
    assert torch.equal(binned.histogram(3).counts, expected)
    assert binned.pulses == 4000
    assert torch.equal(tags.histogram(12).counts, tags.histogram(3).coarser(4).counts)


def test_first_and_thin(tags, generator):
    two = tags.first(2)
    assert two.counts().max() == 2
    assert torch.equal(two.counts(), tags.counts().clamp_max(2))
    thin = tags.thin(0.5, generator=generator)
    assert 150 < len(thin.tags) < 250
    assert thin.pulses is None
    assert len(tags.thin(0.0, generator=generator).tags) == 0
    assert torch.equal(tags.thin(1.0, generator=generator).tags, tags.tags)


def test_cells():
    cells = [[np.array([[3], [5]], np.uint16), np.zeros((0, 0))], [[], [1, 7, 7]]]
    tags = TimeTags.from_cells(cells, tick=1.0, start=0, stop=8)
    assert tags.counts().tolist() == [[2, 0], [0, 3]]
    with pytest.raises(DtypeError, match="whole ticks, got 3.5"):
        TimeTags.from_cells([[[3.0, 3.5]]], tick=1e-12, start=0, stop=8)
    with pytest.raises(ShapeError, match="equal length"):
        TimeTags.from_cells([[[1]], []], tick=1.0, start=0, stop=2)


def test_no_photons_at_all():
    empty = TimeTags.from_cells([[[], []]], tick=1.0, start=0, stop=4)
    assert empty.histogram(2).counts.sum() == 0
    assert empty.gate(1, 2).select(slice(0, 1), slice(1, 2)).bin(1).first(1).counts().tolist() == [[0]]


def test_wrong_input_is_refused(tags):
    base = {
        "indptr": torch.tensor([0, 1]),
        "tags": torch.tensor([3]),
        "tick": 1.0,
        "shape": (1, 1),
        "start": 0,
        "stop": 4,
    }
    TimeTags(**base)
    for change, error, text in (
        ({"tags": torch.tensor([3.0])}, DtypeError, "int64"),
        ({"indptr": torch.tensor([0, 1, 1])}, ShapeError, "2 entries"),
        ({"indptr": torch.tensor([0, 2])}, ParameterError, "rise from 0"),
        ({"tags": torch.tensor([4])}, ParameterError, "outside of the gate"),
        ({"tick": 0.0}, ParameterError, "tick"),
        ({"shape": (1,)}, ShapeError, "ny, nx"),
        ({"stop": 0}, ParameterError, "start < stop"),
        ({"pulses": 0}, ParameterError, "pulses"),
    ):
        with pytest.raises(error, match=text):
            TimeTags(**{**base, **change})
    with pytest.raises(ParameterError, match="100 ... 160"):
        tags.gate(90, 120)
    with pytest.raises(ParameterError, match="ticks"):
        tags.histogram(0)
    huge = TimeTags(**{**base, "stop": 2**40})
    with pytest.raises(ParameterError, match="width of 128 ticks"):
        huge.histogram()
    with pytest.raises(ShapeError, match="bin, y, x"):
        Histogram(counts=torch.ones(2, 2), bin_width=1.0)
    with pytest.raises(ParameterError, match="bin_width"):
        Histogram(counts=torch.ones(2, 2, 2), bin_width=0.0)
