"""Visible pixels: surfaces are kept, what is found in background alone is left out."""

import pytest
import torch

from invcore_lidar._photons.visible import agreeing, significant, visible


def test_what_is_found_in_background_alone_is_left_out(generator):
    """Left half a slanted wall, right half depths at random of the same reflectivity."""
    depth = 5 + 0.02 * torch.arange(40.0).expand(30, 40).clone()
    depth[:, 20:] = 5 + 3 * torch.rand(30, 20, generator=generator)
    light = torch.ones(30, 40)
    light[10, 5] = 0.0  # dark, among bright ones
    assert visible(light[None])[0].all()
    seen = agreeing(depth[None], 0.15)[0]
    assert seen[:, :19].all()
    assert seen[:, 21:].float().mean() < 0.02
    assert agreeing(torch.ones(1, 1, 2), 0.1).all()


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_bunches_of_background_are_significant_once_in_a_hundred(rate, generator):
    """The largest number of photons in a window of 5 of 400 bins, in 3000 pixels without any signal."""
    counts = torch.poisson(torch.full((3000, 400), rate), generator=generator)
    light = counts.unfold(1, 5, 1).sum(-1).amax(1) - 5 * rate
    share = significant(light[:, None, None], torch.tensor(rate), 400, 5.0).float().mean().item()
    assert share < 0.02
    assert significant(torch.full((1, 1, 1), 10.0), torch.tensor(rate), 400, 5.0).all()
