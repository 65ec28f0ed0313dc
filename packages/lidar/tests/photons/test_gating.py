"""Gates in meters and around surfaces."""

import math

import pytest
import torch

from invcore import ParameterError, ShapeError
from invcore_lidar import (
    ImpulseResponse,
    TimeTags,
    depth_gate,
    depth_of,
    find_gate,
    range_gate,
    simulate_tags,
    still_life,
    time_of_flight,
)

H = ImpulseResponse.gaussian(fwhm=250e-12)


def simulated(generator, sbr=0.2):
    scene = still_life((40, 40))
    return scene, simulate_tags(
        *scene, impulse=H, photons=2.0, signal_to_background=sbr, gate=(0.0, 60e-9), generator=generator
    )


def test_range_gate_keeps_what_comes_from_there(generator):
    _, tags = simulated(generator)
    gated = range_gate(tags, near=2.0, far=3.0)
    depth = depth_of(tags.times())
    assert len(gated.tags) == int(((depth > 2.0) & (depth < 3.0)).sum())
    assert range_gate(tags, near=-5.0, far=100.0).stop == tags.stop
    with pytest.raises(ParameterError, match=r"the gate is 0.0 ... 8.99"):
        range_gate(tags, near=50.0, far=60.0)
    with pytest.raises(ParameterError, match="near < far"):
        range_gate(tags, near=3.0, far=2.0)


def test_depth_gate_keeps_signal_and_little_else(generator):
    scene, tags = simulated(generator, sbr=math.inf)
    kept = depth_gate(tags, scene.depth, impulse=H)
    assert len(kept.tags) / len(tags.tags) == pytest.approx(0.99, abs=0.006)
    assert (kept.start, kept.stop) == (tags.start, tags.stop)
    noise = TimeTags.from_pixels(
        pixels=torch.arange(1600).repeat(10),
        tags=torch.randint(0, 60000, (16000,), generator=generator),
        tick=1e-12,
        shape=(40, 40),
        start=0,
        stop=60000,
    )
    low, high = H.interval(0.01)
    share = len(depth_gate(noise, scene.depth, impulse=H).tags) / 16000
    assert share == pytest.approx((high - low) / 60e-9, rel=0.25)
    with pytest.raises(ShapeError):
        depth_gate(tags, scene.depth[0], impulse=H)


def test_found_gate_holds_the_scene(generator):
    scene, tags = simulated(generator)
    gated = find_gate(tags, impulse=H)
    first, last = (time_of_flight(v.item()) for v in (scene.depth.min(), scene.depth.max()))
    assert first - 2e-9 < gated.start * tags.tick < first + 0.5e-9
    assert last - 0.5e-9 < gated.stop * tags.tick < last + 2e-9


def test_without_signal_nothing_is_gated_away(generator):
    tags = TimeTags.from_pixels(
        pixels=torch.zeros(5000, dtype=torch.int64),
        tags=torch.randint(0, 60000, (5000,), generator=generator),
        tick=1e-12,
        shape=(1, 1),
        start=0,
        stop=60000,
    )
    assert find_gate(tags, impulse=H) is tags
    assert find_gate(tags.gate(0, 800), impulse=H).stop == 800
