"""Closure phases of the Event Horizon Telescope where the sky cannot matter: triangles with two antennas at
one place."""

import math

import pytest
import torch

from invcore_radio import closure_phases, log_closure_amplitudes, read_uvfits

FILES = ("eht_m87_2017_101_lo.uvfits", "eht_m87_2017_096_hi.uvfits")


@pytest.mark.parametrize("name", FILES)
def test_trivial_closure_phases_vanish_within_their_errors(measured, name):
    """ALMA and APEX stand 2.6 km apart: with any third antenna they see no structure, and ψ = 0 but for
    noise."""
    vis = read_uvfits(measured(f"radio/{name}")).stokes("I").to(torch.float64).average(time=120.0)
    A = closure_phases(vis, minimal=False)
    y, sigma = vis.values(), vis.sigma[..., 0]
    pair = [vis.antenna_names.index(n) for n in ("AA", "AP")]
    trivial = torch.stack([(A.closures.stations == k).any(1) for k in pair]).all(0)
    psi, error = A(y)[trivial], A.sigma(y, sigma)[trivial]
    psi, error = psi[error < 0.3], error[error < 0.3]
    assert len(psi) > 100
    chi2 = ((2 - 2 * psi.cos()) / error**2).mean()
    assert 0.8 < float(chi2) < 1.3
    assert abs(math.degrees(float(psi.mean()))) < 4  # leakage between the polarizations
    others = A(y)[~trivial & (A.sigma(y, sigma) < 0.3)]
    assert float(others.abs().median()) > 3 * float(psi.abs().median())  # those with structure do not vanish


def test_how_many_closures_there_are(measured):
    vis = read_uvfits(measured(f"radio/{FILES[0]}")).stokes("I").average(time="scan")
    for time in vis.time.unique():
        part = vis.rows(vis.time == time)
        antennas = len(torch.cat([part.antenna1, part.antenna2]).unique())
        if len(part) == antennas * (antennas - 1) // 2 and antennas > 3:
            assert len(closure_phases(part).closures) == (antennas - 1) * (antennas - 2) // 2
            assert len(log_closure_amplitudes(part).closures) == antennas * (antennas - 3) // 2
