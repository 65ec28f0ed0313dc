"""Conformal calibration: the promised coverage on new images, whatever the deviations."""

import pytest
import torch

from invcore import DataError, ParameterError, ShapeError
from invcore.uncertainty import conformal_factor
from invcore_testsupport import rng


def images(n, generator):
    """Errors of very different size from image to image, and deviations that know little of it."""
    size = torch.rand(n, 1, 1, 1, generator=generator, dtype=torch.float64) ** 3 * 5
    error = size * torch.randn(n, 1, 6, 6, generator=generator, dtype=torch.float64)
    return error, 0.1 + torch.rand(n, 1, 6, 6, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("coverage, n", [(0.9, 9), (0.9, 40), (0.5, 7)])
def test_expected_coverage_of_a_new_image(coverage, n):
    g, held = rng(0), []
    for _ in range(1500):
        truth, std = images(n + 1, g)
        zero = torch.zeros_like(truth)
        q = conformal_factor(zero[:n], std[:n], truth[:n], coverage=coverage)
        held.append((truth[n].abs() <= q * std[n]).double().mean())
    held = torch.stack(held)
    error = float(held.std()) / 1500**0.5
    mean = float(held.mean())
    assert mean > coverage - 3 * error
    assert mean < coverage + 1 / (n + 1) + 3 * error  # and not needlessly wide


def test_the_factor_is_the_least_one():
    truth, std = images(20, rng(1))
    zero = torch.zeros_like(truth)
    q = conformal_factor(zero, std, truth, coverage=0.8)
    allowed = (21 * 0.2 - 1) / 20
    assert float((truth.abs() > q * std).double().mean()) <= allowed
    assert float((truth.abs() > (q - 1e-9) * std).double().mean()) > allowed


def test_complex_images_and_exact_pixels():
    truth = torch.tensor([3 + 4j, 0j], dtype=torch.complex128).expand(30, 1, 1, 2)
    std = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(30, 1, 1, 2)
    assert conformal_factor(torch.zeros_like(truth), std, truth) == 5.0


def test_what_cannot_be_promised():
    truth, std = images(8, rng(2))
    zero = torch.zeros_like(truth)
    with pytest.raises(ParameterError, match="8 images cannot vouch for 0.9; it takes 9"):
        conformal_factor(zero, std, truth)
    with pytest.raises(DataError, match="too many deviations are zero"):
        conformal_factor(zero, torch.zeros_like(std), truth, coverage=0.5)
    with pytest.raises(DataError, match="negative"):
        conformal_factor(zero, -std, truth, coverage=0.5)
    with pytest.raises(ShapeError, match="of one shape"):
        conformal_factor(zero, std[:, :, :3], truth, coverage=0.5)
    with pytest.raises(ParameterError, match="between 0 and 1"):
        conformal_factor(zero, std, truth, coverage=90)
