"""What is shown beside a reconstruction: maps, sampling, response, gridded image."""

import math

import pytest
import torch

from invcore_mri import NUFFTSense, acquire, acquire_nonuniform, simulate, spiral


def test_of_a_grid(generator):
    mask = torch.zeros(1, 40)
    mask[:, ::2] = mask[:, 14:26] = 1
    scan = simulate((48, 40), coils=4, sigma=0.02, generator=generator, mask=mask)
    acq = acquire(scan.kspace)
    shown = acq.output.beside(acq)
    assert shown["Coil maps"].shape == (4, 1, 48, 40)
    assert torch.equal(shown["Sampling"][0], mask.expand(48, 40).float())
    (response,) = (v for k, v in shown.items() if "dB" in k)
    assert response[0, 24, 20] == 60 and response.min() == 0  # the peak is at the center
    ratio = (20 - 6) / (20 + 6)  # every second line, and six more in the middle
    assert response[0, 24, 0] == pytest.approx(60 + 20 * math.log10(ratio), abs=0.01)


def test_along_a_spiral(generator, fitted_error):
    scan = simulate((48, 48), coils=4, generator=generator)
    k = spiral(12, 400, 48)
    y = NUFFTSense(scan.maps, k.reshape(-1, 2))(scan.image).reshape(4, 12, 400)
    acq = acquire_nonuniform(y, k, (48, 48), sigma=1e-3, maps=scan.maps)
    caption, gridded = acq.output.first(acq)
    assert "Gridded" in caption
    assert fitted_error(gridded, (scan.maps.abs().square().sum(0) * scan.image[0]).abs()) < 0.2
    plain = acq.physics.operator.H(acq.y)  # without weights low frequencies drown the others
    assert fitted_error(plain, (scan.maps.abs().square().sum(0) * scan.image[0]).abs()) > 0.3
    shown = acq.output.beside(acq)
    (response,) = (v for key, v in shown.items() if "dB" in key)
    assert response[0, 24, 24] == 60 and response[0].flatten().sort().values[-20] < 50
    assert shown["Samples in each cell of a grid"].sum() > 0.95 * k.shape[0] * k.shape[1]
