"""Fits of source models to simulated data."""

import dataclasses

import numpy as np
import pytest
import torch

from invcore import ParameterError
from invcore_radio import (
    fit_source,
    read_oifits,
)


def test_a_binary_is_found_with_errors_that_match_its_scatter(sample, generator):
    data = read_oifits(sample)
    truth = torch.tensor([2.0, 0.1, 3.0, -4.0], dtype=torch.float64)
    noise, A = data.noise(), data.quantities()
    pulls, chi2 = [], []
    grid = [-6.0, -4.5, -3.0, -1.5, 0.0, 1.5, 3.0, 4.5, 6.0]
    for k in range(12):
        y = noise(data.y, space=A.range, generator=generator)
        measured = dataclasses.replace(
            data, vis2=y[0].reshape(data.vis2.shape), phase=y[1].reshape(data.phase.shape)
        )
        axes = (grid, grid) if k == 0 else (3.1, -3.9)
        fit = fit_source(
            measured,
            ["disk", "point"],
            {"0.diameter": 1.9, "1.flux": 0.08, "1.east": axes[0], "1.north": axes[1]},
        )
        pulls.append((fit.x - truth) / fit.covariance.diagonal().sqrt())
        chi2.append(fit.chi2)
        assert fit.count == 50 and fit.dof == 46
    pulls = torch.stack(pulls)
    assert pulls.abs().max() < 4.5
    assert (pulls.mean(0).abs() < 4 / 12**0.5).all() and ((pulls.std(0) > 0.6) & (pulls.std(0) < 1.5)).all()
    assert np.mean(chi2) == pytest.approx(46, abs=4 * (2 * 46 / 12) ** 0.5)
    assert "1.flux = 0.1" in repr(fit) or "1.flux = 0.09" in repr(fit)


def test_undetermined_parameters_are_an_error(sample):
    data = read_oifits(sample)
    with pytest.raises(ParameterError, match="do not determine"):
        fit_source(data, ["point", "point"], {"0.flux": 1.0, "1.flux": 0.1}, fixed={"1.east": 3.0})
    with pytest.raises(ParameterError, match="no parameter"):
        fit_source(data, ["disk"], {})
