"""Closure quantities and amplitudes of simulated VLBI data."""

import math

import pytest
import torch

from invcore import DataError, ParameterError
from invcore_radio import (
    reduced_chi_square,
    vlbi_acquisition,
)

MICROARCSECOND = math.pi / 180 / 3600e6


def test_gains_change_nothing_of_the_closures_and_amplitudes_know_of_them(observed, source):
    one, two = (
        vlbi_acquisition(observed("ring", seed=s), amplitudes=False, flux=0.6, noise_scale=1.0)
        for s in (0, 1)
    )
    away = (one.y[0] - two.y[0]).remainder(2 * math.pi)
    assert (
        float(torch.minimum(away, 2 * math.pi - away).median()) < 0.2
    )  # other gains and noise, the same phases
    acquisition = vlbi_acquisition(
        observed("ring"), flux=0.6, noise_scale=1.0, shape=(96, 96), pixel=1.5 * MICROARCSECOND
    )
    fit = reduced_chi_square(acquisition, source("ring")[0])
    assert 0.6 < fit["log_amplitudes"] < 1.4 and 0.6 < fit["closure_phases"] < 1.4
    strict = vlbi_acquisition(
        observed("ring"),
        flux=0.6,
        noise_scale=1.0,
        gain_error=0.0,
        shape=(96, 96),
        pixel=1.5 * MICROARCSECOND,
    )
    assert reduced_chi_square(strict, source("ring")[0])["log_amplitudes"] > 10


def test_unknown_antennas_in_the_gain_errors_raise(observed):
    with pytest.raises(ParameterError, match="XX"):
        vlbi_acquisition(observed("ring"), flux=0.6, gain_error={"XX": 0.1})


@pytest.mark.parametrize("changed", [{"flux": -1.0}, {"flux": 0.0}, {"fraction": -0.1}])
def test_options_of_closure_imaging(vis, changed):
    with pytest.raises(ParameterError, match=next(iter(changed))):
        vlbi_acquisition(vis, **changed)


def test_no_data_at_all(vis):
    for empty in (vis.select(times=(0.0, 1.0)), vis.replace(flag=torch.ones_like(vis.flag))):
        with pytest.raises(DataError, match="no data"):
            vlbi_acquisition(empty)
