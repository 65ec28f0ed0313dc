"""Samples of point sources against quadrature and trigonometric sums written out, and their derivatives."""

import math

import numpy as np
import pytest
import scipy.integrate
import torch

from invcore import DtypeError, ParameterError, ShapeError
from invcore.operators import MeasureSamples
from invcore_testsupport import error, normal

F64 = torch.float64
LINE = torch.linspace(0, 1, 9, dtype=F64)[:, None]
PLANE = torch.cartesian_prod(torch.arange(4.0), torch.arange(5.0)).reshape(1, 4, 5, 2).double()


def test_a_pixel_integrates_the_normalized_gaussian():
    """Against adaptive quadrature of the density over each pixel."""
    A = MeasureSamples(PLANE, spikes=2, kernel="pixel", sigma=0.8, pixel=0.9)
    x = torch.tensor([[2.0, 1.3, 2.2], [-0.5, 3.1, 0.4]], dtype=F64)

    def density(b, a, row):
        return math.exp(-((a - row[1]) ** 2 + (b - row[2]) ** 2) / (2 * 0.8**2)) / (2 * math.pi * 0.8**2)

    y = A(x)
    for i, j in ((0, 0), (1, 2), (3, 4)):
        expected = 0.0
        for row in x.tolist():
            sides = (i - 0.45, i + 0.45, j - 0.45, j + 0.45)
            expected += row[0] * scipy.integrate.dblquad(density, *sides, args=(row,), epsabs=1e-13)[0]
        assert abs(float(y[0, i, j]) - expected) < 1e-10


def test_a_gaussian_has_peak_one_and_a_spectrum_is_a_sum_of_phases():
    A = MeasureSamples(LINE, spikes=2, sigma=0.1)
    assert abs(float(A(torch.tensor([[3.0, 0.25], [0.0, 0.9]], dtype=F64))[2]) - 3.0) < 1e-14
    x = torch.tensor([[1.5, 0.2, 0.7], [-0.3, 0.6, 0.1]], dtype=F64)
    frequencies = normal(6, 2, seed=2)
    found = MeasureSamples(frequencies, spikes=2, kernel="fourier")(x).numpy()
    phases = np.exp(-2j * np.pi * frequencies.numpy() @ x[:, 1:].numpy().T)
    assert np.allclose(found, phases @ x[:, 0].numpy(), rtol=1e-13)


def test_a_batch_of_widths_goes_with_a_batch_of_lists():
    x, s = normal(3, 2, 2).abs(), torch.tensor([0.1, 0.2, 0.3], dtype=F64)
    together = MeasureSamples(LINE, spikes=2, sigma=s)(x)
    for i in range(3):
        assert error(together[i], MeasureSamples(LINE, spikes=2, sigma=float(s[i]))(x[i])) < 1e-14


def test_the_jacobian_is_the_derivative_written_out():
    A = MeasureSamples(LINE, spikes=1, sigma=0.2)
    x = torch.tensor([[1.5, 0.4]], dtype=F64)
    jacobian = A.linearize(x).dense()
    atom = torch.exp(-((LINE[:, 0] - 0.4) ** 2) / (2 * 0.2**2))
    expected = torch.stack([atom, 1.5 * atom * (LINE[:, 0] - 0.4) / 0.2**2], -1)
    assert error(jacobian, expected) < 1e-13


def test_where_spikes_may_be():
    assert MeasureSamples(LINE, spikes=1, sigma=0.1).bounds.tolist() == [[0.0, 1.0]]
    frequencies = torch.arange(-4.0, 5.0)[:, None] / 8
    A = MeasureSamples(frequencies, spikes=1, kernel="fourier")
    assert A.bounds.tolist() == [[0.0, 8.0]] and abs(A.resolution - 1 / math.pi) < 1e-6


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: MeasureSamples(LINE, spikes=2), ParameterError, "sigma must be given"),
        (lambda: MeasureSamples(LINE, spikes=2, sigma=0.1, pixel=1.0), ParameterError, "pixel is not used"),
        (lambda: MeasureSamples(LINE, spikes=2, sigma=0.1, kernel="pixel"), ParameterError, "pixel must be"),
        (lambda: MeasureSamples(LINE, spikes=0, sigma=0.1), ParameterError, "whole number"),
        (lambda: MeasureSamples(LINE, spikes=1, sigma=-0.1), ParameterError, "must be positive"),
        (lambda: MeasureSamples(LINE, spikes=1, sigma=0.1, kernel="box"), ParameterError, "kernel must be"),
        (lambda: MeasureSamples(LINE[:, 0], spikes=1, sigma=0.1), ShapeError, "d = 1 to 3"),
        (lambda: MeasureSamples(LINE.long(), spikes=1, sigma=0.1), DtypeError, "real and floating"),
    ],
)
def test_wrong_options_are_refused(make, kind, words):
    with pytest.raises(kind, match=words):
        make()
