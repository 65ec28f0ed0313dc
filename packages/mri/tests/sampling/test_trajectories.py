"""Trajectories against published angles, spacings and moments."""

import math

import numpy as np
import pytest
import torch

from invcore import ParameterError
from invcore_mri import (
    epi,
    kooshball,
    plot_trajectory,
    radial,
    rosette,
    spiral,
    stack,
    to_cycles,
)


@pytest.mark.parametrize(
    ("options", "degrees"),
    [
        ({}, 180 / 5),
        ({"order": "golden"}, 111.246118),
        ({"order": "tiny"}, 23.628147),
        ({"order": "tiny", "tiny": 1}, 111.246118),
    ],
)
def test_spokes_are_at_the_published_angles(options, degrees):
    k = radial(5, 8, 16, **options)
    assert k.shape == (5, 8, 2)
    angles = torch.rad2deg(torch.atan2(k[:, -1, 1], k[:, -1, 0]))
    away = (angles - degrees * torch.arange(5) + 180) % 360 - 180
    torch.testing.assert_close(away, torch.zeros(5), atol=1e-3, rtol=0)
    torch.testing.assert_close(k.norm(dim=-1)[2], torch.tensor([8.0, 6, 4, 2, 0, 2, 4, 6]))


def test_turns_of_a_spiral_are_a_field_of_view_apart():
    k = spiral(4, 1601, 32).double()  # 4 turns each, 400 samples a turn
    radius = k.norm(dim=-1)
    torch.testing.assert_close(radius[0, ::400].diff(), torch.full((4,), 4.0).double())
    # where interleaf 0 crosses the first axis, a quarter of a turn of each other interleaf lies between
    crossings = torch.cat([radius[j, (400 - 100 * j) % 400 :: 400] for j in range(4)]).sort().values
    torch.testing.assert_close(crossings.diff()[3:], torch.ones(len(crossings) - 4).double())
    assert spiral(2, 100, 32, turns=3)[..., 0].abs().max() <= 16


def test_a_spiral_of_variable_density_has_a_turn_a_field_of_view_at_the_edge():
    k = spiral(1, 32_001, 32, power=2.0).double()  # 32 turns
    radius = k.norm(dim=-1)[0, ::1000]
    torch.testing.assert_close(radius, 16 * (torch.arange(33) / 32).double() ** 2)
    assert float(radius.diff()[-1]) == pytest.approx(1.0, rel=0.02)
    assert float(radius.diff()[0]) < 0.02


def test_a_rosette_crosses_the_center_each_half_oscillation():
    k = rosette(3, 601, 32, oscillations=3, rotations=1).double()
    radius = k.norm(dim=-1)
    assert torch.equal(radius[0] < 1e-3, torch.arange(601) % 100 == 0)
    assert float(radius.max()) == pytest.approx(16)
    turn = torch.atan2(k[1, 50, 1], k[1, 50, 0]) - torch.atan2(k[0, 50, 1], k[0, 50, 0])
    assert float(torch.rad2deg(turn) % 180) == pytest.approx(60, abs=1e-3)


@pytest.mark.parametrize(("shots", "oversampling"), [(1, 1), (2, 1), (3, 2)])
def test_echo_planar_imaging_has_every_point_of_the_grid_and_turns_back(shots, oversampling):
    k = epi((6, 4), shots=shots, oversampling=oversampling)
    grid = torch.cartesian_prod(torch.arange(6.0) - 3, torch.arange(4.0 * oversampling) / oversampling - 2)
    found = k.reshape(-1, 2)
    assert set(map(tuple, found.tolist())) == set(map(tuple, grid.tolist()))
    samples = 4 * oversampling
    speed = k[0].reshape(-1, samples, 2)[..., 1].diff()
    assert torch.equal(speed[:, 0].sign(), (-1.0) ** torch.arange(len(speed)))
    with pytest.raises(ParameterError, match="not a multiple"):
        epi((6, 4), shots=4)


def test_stacks_hold_their_plane_at_every_height():
    planar = radial(3, 8, 8)
    k = stack(planar, 4)
    assert k.shape == (4, 3, 8, 3)
    assert torch.equal(k[2, ..., 1:], planar)
    assert torch.equal(k[..., 0].amax((1, 2)), torch.tensor([-2.0, -1, 0, 1]))
    turned = stack(planar, 4, turned=True)
    angle = torch.atan2(turned[1, 0, -1, 2], turned[1, 0, -1, 1]) % math.pi
    assert math.degrees(float(angle)) == pytest.approx(111.246, abs=1e-2)


def test_spokes_of_a_kooshball_cover_the_half_sphere_evenly():
    k = kooshball(4000, 4, 32).double()
    ends = -k[:, 0] / k[:, 0].norm(dim=-1, keepdim=True)
    assert float(ends[:, 0].min()) >= 0
    torch.testing.assert_close(k[:, 0].norm(dim=-1), torch.full((4000,), 16.0).double(), rtol=1e-6, atol=0)
    # moments of the uniform half sphere: mean height 1/2, second moments 1/3
    assert float(ends[:, 0].mean()) == pytest.approx(0.5, abs=2e-3)
    torch.testing.assert_close(ends.T @ ends / 4000, torch.eye(3).double() / 3, atol=3e-3, rtol=0)


def test_wrong_orders_and_counts_are_refused():
    with pytest.raises(ParameterError, match="'golden'"):
        radial(3, 8, 8, order="random")
    with pytest.raises(ParameterError, match="spokes must be a positive integer"):
        radial(0, 8, 8)
    with pytest.raises(ParameterError, match="turns must be positive"):
        spiral(1, 8, 8, turns=0)


def test_units_are_converted_as_they_are_said():
    k = radial(3, 8, 8)
    torch.testing.assert_close(to_cycles(k / 0.2, unit="1/m", fov=(0.2, 0.2)), k)
    torch.testing.assert_close(to_cycles(k / 8, unit="cycles/pixel", shape=(8, 8)), k)
    torch.testing.assert_close(to_cycles(k * 2 * math.pi / 8, unit="radians", shape=(8, 8)), k)
    with pytest.raises(ParameterError, match="needs fov="):
        to_cycles(k, unit="1/m", shape=(8, 8))
    with pytest.raises(ParameterError, match="not millimeters"):
        to_cycles(k, unit="1/m", fov=(200.0, 200.0))
    with pytest.raises(ParameterError, match="unit must be"):
        to_cycles(k, unit="1/mm", fov=(0.2, 0.2))


@pytest.mark.parametrize("k", [radial(3, 8, 8), kooshball(5, 4, 8)])
def test_plots_have_a_line_for_each_shot(k):
    pytest.importorskip("matplotlib").use("Agg")
    axes = plot_trajectory(k)
    assert len(axes.lines) == len(k)
    shown = np.asarray(axes.lines[1].get_data_3d() if k.shape[-1] == 3 else axes.lines[1].get_data())
    np.testing.assert_allclose(shown, k[1].flip(-1).T.numpy())  # x to the right
