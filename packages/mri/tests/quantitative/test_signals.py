"""Signal models against Bloch's equations stepped in time, and their starts on noise-free images."""

import math

import pytest
import torch

from invcore import DtypeError, ParameterError, ShapeError
from invcore_mri import GradientEcho, InversionRecovery, SpinEcho, SpoiledGradientEcho

F64 = torch.float64


def series(A, **maps):
    full = {k: torch.full((1, 1), v, dtype=F64) for k, v in maps.items()}
    return A(A.coordinates(**full)).flatten()


@pytest.mark.parametrize("efficiency", [1.0, 0.9, 0.5])
def test_inversion_recovery_is_the_steady_state_of_repeated_inversions(efficiency):
    times, repetition, t1 = [0.1, 0.7, 1.9], 2.5, 1.3
    A = InversionRecovery(torch.tensor(times, dtype=F64), (1,), repetition_time=repetition)
    expected = []
    for t in times:
        m = 1.0
        for _ in range(5):  # inversion, wait t, read by 90 degrees, wait for the rest
            m = (1 - 2 * efficiency) * m
            m = 1 + (m - 1) * math.exp(-t / t1)
            read, m = m, 0.0
            m = 1 + (m - 1) * math.exp(-(repetition - t) / t1)
        expected.append(read)
    got = series(A, M0=1.0, T1=t1, eta=efficiency)
    torch.testing.assert_close(got.real, torch.tensor(expected, dtype=F64))


def test_spoiled_gradient_echo_is_the_steady_state_of_repeated_pulses():
    angles, repetition, t1, transmit = [0.05, 0.2, 0.5], 0.02, 0.9, 0.85
    A = SpoiledGradientEcho(
        torch.tensor(angles, dtype=F64),
        (1,),
        repetition_time=repetition,
        transmit=torch.full((1, 1), transmit, dtype=F64),
    )
    expected = []
    for a in angles:
        m = 1.0
        for _ in range(3000):
            signal = m * math.sin(transmit * a)
            m = 1 + (m * math.cos(transmit * a) - 1) * math.exp(-repetition / t1)
        expected.append(signal)
    torch.testing.assert_close(series(A, M0=1.0, T1=t1).real, torch.tensor(expected, dtype=F64))


def test_echoes_decay_and_turn_with_the_field():
    times = torch.tensor([0.005, 0.02], dtype=F64)
    spin = series(SpinEcho(times, (1,)), M0=2.0, T2=0.05)
    torch.testing.assert_close(spin.real, 2 * torch.exp(-times / 0.05))
    gradient = series(GradientEcho(times, (1,)), M0=2.0, T2s=0.03, df=-40.0)
    steps = 20_000  # dM/dt = (2πi Δf - 1/T2*) M, by the midpoint rule
    slope, m = complex(-1 / 0.03, 2 * math.pi * -40.0), 2.0 + 0j
    step = 0.02 / steps
    for _ in range(steps):
        m *= (1 + slope * step / 2) / (1 - slope * step / 2)
    assert abs(complex(gradient[1]) - m) < 1e-6


def test_coordinates_and_maps_are_inverse():
    A = GradientEcho(torch.tensor([0.01, 0.02]), (2, 2))
    one = torch.ones(1, 2, 2)
    maps = A.maps(A.coordinates(M0=one, T2s=0.04 * one, df=-3 * one))
    assert maps["M0"].is_complex()
    torch.testing.assert_close(maps["T2s"], 0.04 * one)
    torch.testing.assert_close(maps["df"], -3 * one)


def test_wrong_units_and_names_are_refused():
    with pytest.raises(ParameterError, match="seconds, not milliseconds"):
        SpinEcho(torch.tensor([10.0, 80.0]), (4, 4))
    with pytest.raises(ParameterError, match="all times are the same"):
        SpinEcho(torch.tensor([0.02, 0.02]), (4, 4))
    with pytest.raises(ParameterError, match="in radians"):
        SpoiledGradientEcho(torch.tensor([3.0, 20.0]), (4, 4), repetition_time=0.01)
    with pytest.raises(ParameterError, match="longer than the longest inversion time"):
        InversionRecovery(torch.tensor([0.1, 3.0]), (4, 4), repetition_time=2.0)
    with pytest.raises(ShapeError, match="two or more"):
        SpinEcho(torch.tensor([0.02]), (4, 4))
    with pytest.raises(DtypeError, match="real and floating"):
        SpinEcho(torch.tensor([1, 2]), (4, 4))
    A = SpinEcho(torch.tensor([0.01, 0.02]), (4, 4))
    with pytest.raises(ParameterError, match="the maps are M0, T2; got M0, T1"):
        A.coordinates(M0=torch.ones(1, 4, 4), T1=torch.ones(1, 4, 4))
    with pytest.raises(ParameterError, match="must be positive"):
        A.coordinates(M0=torch.ones(1, 4, 4), T2=torch.zeros(1, 4, 4))
    with pytest.raises(ShapeError, match="images must be complex"):
        A.start(torch.ones(1, 2, 4, 4))
