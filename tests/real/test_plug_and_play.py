"""Plug-and-play with the denoiser that is shipped, on a measured scan."""

import pytest
import torch
from torch.nn.functional import avg_pool2d

import invcore
from invcore import Physics
from invcore.denoisers import Equivariant, Rescaled
from invcore.priors import TV, PnP
from invcore.solvers import FISTA, HalfQuadraticSplitting
from invcore_tomography import XRay


@pytest.mark.slow
def test_a_denoiser_of_photographs_beats_total_variation_on_a_tooth_from_few_views(measured):
    """TV at the weights around its best one; the truth is the image of all views, averaged over pixels."""
    path = measured("tomography/tooth.h5")
    full = invcore.read(path, size=256)
    truth = avg_pool2d(invcore.read(path, size=768).physics.operator.fbp(full.y), 3)
    A, y = XRay(full.physics.operator.geometry[::6]), full.y[:, ::6]
    physics = Physics(A, full.physics.noise)
    axis = torch.arange(256.0)
    inside = (axis[:, None] - 118) ** 2 + (axis - 133) ** 2 < 65**2

    def error(x):
        return float((x - truth)[:, inside].norm() / truth[:, inside].norm())

    peak = float(A.fbp(y).clamp_min(0).quantile(0.99))
    denoiser = Rescaled(Equivariant(invcore.denoiser("diffusion.gray"), draw="random"), scale=peak)
    solver = HalfQuadraticSplitting(
        prior=PnP(denoiser),
        weight=1.0,
        schedule="dpir",
        levels=24,
        sigma_start=0.2 * peak,
        sigma_end=0.02 * peak,
    )
    found = solver.solve(y, physics)
    variation = [
        error(FISTA(prior=TV(), weight=weight, rtol=1e-3)(y, physics)) for weight in (7.7e3, 1.1e4, 1.5e4)
    ]
    assert variation[1] == min(variation) < 0.085
    assert error(found.state.v) < 0.98 * min(variation)
    auto = HalfQuadraticSplitting(prior=PnP(denoiser), weight=0.23, schedule="dpir", sigma_start=0.2 * peak)
    assert error(auto(y, physics)) > 1.5 * error(found.value)  # σ/‖A‖ is not the noise of this image
