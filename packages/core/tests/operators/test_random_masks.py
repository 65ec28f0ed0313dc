"""Random masks: counts, proportions, axes."""

import pytest
import torch

from invcore import ParameterError
from invcore.operators import Mask, RandomMask


def draw(batch=(), **options):
    return RandomMask((8, 10), **options)(batch, generator=torch.Generator().manual_seed(0))


def test_proportion_is_the_probability():
    mask = draw((500,), keep=0.3)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    counts = mask.sum((-3, -2, -1))
    sigma = (80 * 0.3 * 0.7) ** 0.5
    assert abs(float(counts.mean()) - 24) < 5 * sigma / 500**0.5
    assert 0.85 * sigma < float(counts.std()) < 1.15 * sigma


def test_exact_count_is_met_and_every_pixel_is_as_likely():
    mask = draw((500,), keep=0.3, exact=True)
    assert mask.sum((-3, -2, -1)).unique().tolist() == [24.0]
    shares = mask.mean((0, 1))
    assert float((shares - 0.3).abs().max()) < 5 * (0.3 * 0.7 / 500) ** 0.5


@pytest.mark.parametrize("axes, shape", [((0,), (1, 8, 1)), ((-1,), (1, 1, 10)), (None, (1, 8, 10))])
def test_rows_columns_and_pixels(axes, shape):
    mask = draw(axes=axes, exact=True)
    assert mask.shape == shape and float(mask.mean()) == 0.5
    assert torch.equal(Mask(mask, (3, 8, 10))(torch.ones(3, 8, 10)), mask.expand(3, 8, 10))


@pytest.mark.parametrize("options", [{"keep": 1.5}, {"axes": (2,)}, {"axes": ()}])
def test_wrong_options_are_refused(options):
    with pytest.raises(ParameterError):
        draw(**options)
