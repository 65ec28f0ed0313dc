"""The synthetic scene and the simulation of time tags: sizes, moments, distributions."""

import math

import pytest
import scipy.stats
import torch

from invcore import ParameterError, ShapeError
from invcore_lidar import ImpulseResponse, simulate_tags, still_life, time_of_flight

D = torch.float64


def test_scene_is_the_same_at_any_size():
    fine, coarse = still_life((300, 300), dtype=D), still_life((100, 100), dtype=D)
    assert torch.equal(fine.depth[:, 1::3, 1::3], coarse.depth)
    assert torch.equal(fine.reflectivity[:, 1::3, 1::3], coarse.reflectivity)
    assert 1.99 < fine.depth.min() < 2.3
    assert 3.3 < fine.depth.max() < 3.51


def test_curtain_is_before_everything():
    scene = still_life((64, 48), surfaces=2)
    assert scene.depth.shape == (2, 64, 48)
    assert (scene.depth[0] < scene.depth[1] - 0.2).all()
    assert torch.equal(scene.depth[1], still_life((64, 48)).depth[0])


def test_counts_are_poisson_with_the_stated_means(generator):
    scene = still_life((60, 60))
    h = ImpulseResponse.gaussian(fwhm=300e-12)
    tags = simulate_tags(
        *scene, impulse=h, photons=4.0, signal_to_background=0.5, gate=(0.0, 100e-9), generator=generator
    )
    expected = scene.reflectivity[0] / scene.reflectivity.mean() * 4 + 8
    chi2 = ((tags.counts() - expected) ** 2 / expected).sum()
    assert abs(chi2.item() - 3600) < 5 * math.sqrt(2 * 3600)
    assert tags.start == 0
    assert tags.stop == 100000


def test_times_follow_flight_plus_impulse_response(generator):
    """One pixel with two surfaces is a mixture weighted by reflectivity (Kolmogorov-Smirnov test)."""
    depth = torch.tensor([1.5, 1.9], dtype=D).reshape(2, 1, 1)
    strength = torch.tensor([1.0, 3.0], dtype=D).reshape(2, 1, 1)
    h = ImpulseResponse.exponential_gaussian(sigma=100e-12, decay=400e-12)
    tags = simulate_tags(
        depth,
        strength,
        impulse=h,
        photons=6000,
        signal_to_background=2.0,
        gate=(5e-9, 25e-9),
        generator=generator,
    )

    def truth(t):
        t = torch.from_numpy(t)
        flight = time_of_flight(depth.reshape(-1))
        signal = 0.25 * h.cumulative(t - flight[0]) + 0.75 * h.cumulative(t - flight[1])
        return (2 * signal + (t - 5e-9) / 20e-9).div(3).numpy()

    assert scipy.stats.kstest(tags.times().numpy(), truth).pvalue > 1e-3
    # the order of the photons is random: early and late ones alike in both halves
    first, second = tags.times().chunk(2)
    assert scipy.stats.ks_2samp(first.numpy(), second.numpy()).pvalue > 1e-3


def test_default_gate_holds_all_signal_and_seeds_repeat():
    scene, h = still_life((20, 20), surfaces=2), ImpulseResponse.gaussian(fwhm=1e-9)

    def draw(seed):
        g = torch.Generator().manual_seed(seed)
        return simulate_tags(*scene, impulse=h, photons=50.0, signal_to_background=math.inf, generator=g)

    tags = draw(0)
    assert torch.equal(tags.tags, draw(0).tags)
    assert not torch.equal(tags.counts(), draw(1).counts())
    assert tags.counts().double().mean().item() == pytest.approx(50, rel=0.03)
    low, high = h.support
    assert tags.start * tags.tick <= time_of_flight(scene.depth.min().item()) + low
    assert tags.stop * tags.tick >= time_of_flight(scene.depth.max().item()) + high


def test_wrong_input_is_refused(generator):
    with pytest.raises(ShapeError):
        still_life((3,))
    with pytest.raises(ParameterError, match="near < far"):
        still_life((3, 3), near=2.0, far=1.0)
    with pytest.raises(ParameterError, match="1 or 2"):
        still_life((3, 3), surfaces=3)
    ones, h = torch.ones(1, 2, 2), ImpulseResponse.gaussian(fwhm=1e-9)
    rest = {"impulse": h, "photons": 1.0, "signal_to_background": 1.0, "generator": generator}
    with pytest.raises(ShapeError, match="K, ny, nx"):
        simulate_tags(ones, torch.ones(1, 2, 3), **rest)
    with pytest.raises(ParameterError, match="all zero"):
        simulate_tags(ones, torch.zeros(1, 2, 2), **rest)
    with pytest.raises(ParameterError, match="positive"):
        simulate_tags(ones, ones, **{**rest, "photons": 0.0})
    with pytest.raises(ParameterError, match="gate"):
        simulate_tags(ones, ones, **rest, gate=(1.0, 0.5))
