"""The axis of rotation, on sinograms known exactly."""

import pytest
import torch

from invcore import DataError, ParameterError
from invcore_tomography import center_of_rotation, sharpest


@pytest.mark.parametrize("center", [93.0, 99.7, 104.25])
@pytest.mark.parametrize("method", ["opposite", "wedge", "moments"])
def test_the_axis_is_found(method, center, generator, sinogram):
    span = 2 * torch.pi if method == "opposite" else torch.pi
    p, angles = sinogram(center, span=span)
    assert center_of_rotation(p, angles, method=method) == pytest.approx(center, abs=0.1)
    noisy = p + 0.02 * p.max() * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    assert center_of_rotation(noisy, angles, method=method) == pytest.approx(center, abs=0.3)


def test_auto_takes_opposite_views_where_there_are_some(sinogram):
    p, angles = sinogram(96.4, views=181, span=torch.pi * 181 / 180)  # 0 to 180 degrees, both ends
    assert center_of_rotation(p, angles) == pytest.approx(96.4, abs=0.1)
    p, angles = sinogram(96.4)
    with pytest.raises(DataError, match="half a turn apart"):
        center_of_rotation(p, angles, method="opposite")
    assert center_of_rotation(p, angles) == pytest.approx(96.4, abs=0.1)


def test_the_sharpest_image_of_noisy_views(generator, sinogram):
    """Stripes of 3 % and noise of 5 % of the largest line integral."""
    p, angles = sinogram(98.3)
    stripes = 0.03 * p.max() * torch.randn(201, generator=generator, dtype=p.dtype)
    noisy = p + stripes + 0.05 * p.max() * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    assert center_of_rotation(p, angles, method="sharpness") == pytest.approx(98.3, abs=0.15)
    assert center_of_rotation(noisy, angles, method="sharpness", search=(92, 106)) == pytest.approx(
        98.3, abs=0.5
    )


def test_auto_looks_at_images_where_the_methods_disagree(sinogram):
    p, angles = sinogram(98.3)
    p = p + 0.1 * p.max() * torch.linspace(
        0, 1, 201, dtype=p.dtype
    )  # a background: it moves the center of mass
    assert abs(center_of_rotation(p, angles, method="moments") - 98.3) > 3
    assert center_of_rotation(p, angles) == pytest.approx(98.3, abs=0.3)


def test_a_sharpest_image_at_an_end_is_no_answer(sinogram):
    p, angles = sinogram(98.3)
    with pytest.raises(DataError, match="an end of the range"):
        center_of_rotation(p, angles, method="sharpness", search=(101, 106))


def test_rows_share_one_axis(sinogram):
    p, angles = sinogram(98.3)
    rows = torch.stack([p, p.flip(-1).flip(-1) * 0.5])
    assert center_of_rotation(rows, angles) == pytest.approx(98.3, abs=0.1)


def test_what_cannot_be_found(sinogram):
    p, angles = sinogram(98.3, span=torch.pi / 2)
    with pytest.raises(DataError, match="half a turn"):
        center_of_rotation(p, angles, method="wedge")
    with pytest.raises(ParameterError, match="search"):
        center_of_rotation(p, angles, search=(50, 400))
    p, angles = sinogram(98.3)
    with pytest.raises(DataError, match="end of the range"):
        center_of_rotation(p, angles, method="wedge", search=(101, 110))
    with pytest.raises(DataError, match="NaN"):
        center_of_rotation(p * float("nan"), angles)


def backprojected(p, angles, center, n=100):
    """Filtered backprojection, written here to be independent of the package's."""
    columns = p.shape[-1]
    ramp = torch.fft.rfftfreq(512).to(p)
    q = torch.fft.irfft(torch.fft.rfft(p, 512) * ramp, 512)[..., :columns]
    x = (torch.arange(n, dtype=p.dtype) - (n - 1) / 2) * 1.5
    image = torch.zeros(n, n, dtype=p.dtype)
    for row, t in zip(q, angles):
        at = (x[None, :] * t.cos() + x[:, None] * t.sin() + center).clamp(0, columns - 1.001)
        low = at.floor().long()
        image += row[low] * (1 - (at - low)) + row[low + 1] * (at - low)
    return image * torch.pi / len(angles)


def test_the_axis_by_the_sharpness_of_the_image(sinogram):
    p, angles = sinogram(98.3)
    found = sharpest(lambda c: backprojected(p, angles, c), 94.0, 103.0)
    assert found == pytest.approx(98.3, abs=0.3)
