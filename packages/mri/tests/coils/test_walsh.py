"""Adaptive combination against its definition and the true maps."""

import numpy as np
import pytest
import torch

from invcore import DataError, ParameterError
from invcore_mri import Walsh, read_cfl, simulate


def images(kspace):
    axes = (-2, -1)
    return torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(kspace, dim=axes), norm="ortho"), dim=axes)


def test_equals_the_definition(generator):
    kspace = simulate((12, 10), coils=3, sigma=0.01, generator=generator).kspace.to(torch.complex128)
    m = images(kspace).numpy()
    ours = Walsh(width=5)(kspace).numpy()
    for y, x in np.ndindex(12, 10):
        box = m[:, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].reshape(3, -1)
        vector = np.linalg.svd(box)[0][:, 0]
        assert abs(vector.conj() @ ours[:, y, x]) == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("shape, calib", [((72, 64), None), ((72, 64), 24), ((20, 36, 32), None)])
def test_finds_the_true_maps(shape, calib, generator):
    scan = simulate(shape, coils=5, sigma=0.002, generator=generator)
    maps = Walsh(calib=calib, spatial_dims=len(shape))(scan.kspace)
    cosine = (maps.conj() * scan.maps).sum(0).abs()[scan.image[0].abs() > 0.3]
    assert cosine.mean() > 0.995
    torch.testing.assert_close(torch.linalg.vector_norm(maps, dim=0), torch.ones(shape), atol=1e-5, rtol=0)


def test_combination_of_a_measured_scan_is_brighter_than_no_coil_structure(mri_data):
    """The matched filter keeps nearly all of the root sum of squares, and not the bias of its noise."""
    kspace = read_cfl(mri_data / "brain8_full")[0].permute(2, 0, 1)
    m = images(kspace)
    combined, rss = (Walsh()(kspace).conj() * m).sum(0).abs(), torch.linalg.vector_norm(m, dim=0)
    bright = rss > 0.2 * rss.amax()
    assert (combined / rss)[bright].median() > 0.99
    dark = rss < 0.03 * rss.amax()
    assert combined[dark].mean() < 0.8 * rss[dark].mean()


def test_errors_say_what_to_do(generator):
    kspace = simulate((16, 16), coils=3, generator=generator).kspace
    kspace[:, 8] = 0
    with pytest.raises(DataError, match="center of k-space is not sampled"):
        Walsh()(kspace)
    with pytest.raises(DataError, match="NaN"):
        Walsh()(kspace + float("nan"))
    for wrong in ({"width": 4}, {"calib": 1}, {"spatial_dims": 1}):
        with pytest.raises(ParameterError):
            Walsh(**wrong)
