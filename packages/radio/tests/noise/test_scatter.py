"""The noise level estimated from the scatter of simulated data."""

import math

import pytest
import torch

from invcore_radio import (
    eht,
    scatter_scale,
    simulate,
)


def test_the_scatter_gives_the_noise(source):
    """Weights that state a σ 1.5 times too large are found out; without enough data nothing is claimed."""
    generator = torch.Generator().manual_seed(3)
    vis = eht().observe(
        phase_center=(math.radians(187.7), math.radians(12.39)),
        interval=10.0,
        hour_angles=(0.0, 1.0),
        frequencies=(229e9,),
        sigma=0.1,
        dtype=torch.float64,
    )
    faint = simulate(
        vis, 0.01 * source("disk")[0], pixel=source("disk")[1], generator=generator, w_term=False
    )
    assert scatter_scale(faint) == pytest.approx(1.0, abs=0.03)
    assert scatter_scale(faint.replace(weight=faint.weight / 1.5**2)) == pytest.approx(1 / 1.5, abs=0.02)
    assert scatter_scale(faint.rows(slice(0, 20))) == 1.0
