"""Impulse responses found in simulated photons."""

import pytest
import torch

from invcore import DataError, ParameterError, ShapeError
from invcore_lidar import (
    ExponentialGaussianResponse,
    GaussianResponse,
    ImpulseResponse,
    MeasuredResponse,
    TimeTags,
    estimate_impulse,
    estimate_width,
    fit_impulse,
    simulate_tags,
    still_life,
)

BELL = ImpulseResponse.gaussian(fwhm=400e-12)
TAIL = ImpulseResponse.exponential_gaussian(sigma=120e-12, decay=300e-12)


def photons(h, mean, sbr, size=40):
    scene = still_life((size, size))
    g = torch.Generator().manual_seed(0)
    return scene, simulate_tags(*scene, impulse=h, photons=mean, signal_to_background=sbr, generator=g)


@pytest.mark.parametrize("h", [BELL, TAIL], ids=["bell", "tail"])
@pytest.mark.parametrize("known", [True, False])
def test_response_is_found(h, known):
    scene, tags = photons(h, 100.0, 1.0)
    found = estimate_impulse(tags, depth=scene.depth if known else None)
    assert found.fwhm == pytest.approx(h.fwhm, rel=0.05)
    t = torch.linspace(-6e-10, 15e-10, 200, dtype=torch.float64)
    peak = 0.0 if known else t[h.density(t).argmax()]
    error = (found.density(t - peak) - h.density(t)).abs().max() / h.density(t).max()
    assert error < (0.05 if known else 0.12)
    fitted = fit_impulse(found)
    assert type(fitted) is type(h)
    assert fitted.sigma == pytest.approx(h.sigma, rel=0.1)
    if h is TAIL:
        assert fitted.decay == pytest.approx(h.decay, rel=0.1)


def test_known_depth_keeps_the_time_origin():
    scene, tags = photons(TAIL, 200.0, 5.0)
    late = ImpulseResponse.measured(samples=torch.ones(2), spacing=1.0)
    assert late.origin == 0.0
    found = estimate_impulse(tags, depth=scene.depth[0])
    mean = (
        (found.samples * (found.origin + found.spacing * torch.arange(len(found.samples)))).sum()
        / found.samples.sum()
    ).item()
    assert mean == pytest.approx(300e-12, abs=15e-12)


@pytest.mark.parametrize("mean", [0.5, 3.0, 50.0])
def test_width_from_pairs_of_photons(mean):
    _, tags = photons(BELL, mean, 0.5, size=64)
    assert estimate_width(tags) == pytest.approx(400e-12, rel=0.25)


@pytest.mark.parametrize(
    "truth",
    [
        GaussianResponse(sigma=5.0),
        ExponentialGaussianResponse(sigma=3.0, decay=12.0),
        ExponentialGaussianResponse(sigma=6.0, decay=3.0),
    ],
)
def test_fit_finds_the_parameters_of_exact_samples(truth):
    t = torch.arange(-60, 160, dtype=torch.float64)
    shares = truth.cumulative(t + 0.5) - truth.cumulative(t - 0.5)
    found = fit_impulse(MeasuredResponse(samples=shares * 1e4, spacing=1e-11, origin=3.0))
    assert type(found) is type(truth)
    for name in truth.params:
        assert getattr(found, name) == pytest.approx(getattr(truth, name) * 1e-11, rel=1e-3)


def test_what_cannot_be_found_is_refused(generator):
    scene, tags = photons(BELL, 1.0, 0.15, size=64)
    with pytest.raises(DataError, match="too few photons to align"):
        estimate_impulse(tags)
    assert estimate_impulse(tags, depth=scene.depth).fwhm == pytest.approx(400e-12, rel=0.15)
    noise = TimeTags.from_pixels(
        pixels=torch.randint(0, 400, (8000,), generator=generator),
        tags=torch.randint(0, 60000, (8000,), generator=generator),
        tick=1e-12,
        shape=(20, 20),
        start=0,
        stop=60000,
    )
    with pytest.raises(DataError, match="nothing|than background photons"):
        estimate_width(noise)
    with pytest.raises(DataError, match="five photons"):
        estimate_impulse(noise.first(4), fwhm=1e-9)
    with pytest.raises(DataError, match="two photons"):
        estimate_width(noise.first(1))
    with pytest.raises(ParameterError, match="fwhm"):
        estimate_impulse(noise, fwhm=0.0)
    with pytest.raises(ShapeError, match="one surface"):
        estimate_impulse(noise, depth=torch.ones(2, 20, 20))
    with pytest.raises(ShapeError, match="five samples"):
        fit_impulse(MeasuredResponse(samples=torch.ones(3), spacing=1.0, origin=0.0))
