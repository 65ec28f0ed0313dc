"""The axis of rotation and the rings, on sinograms known exactly."""

import pytest
import torch

from invcore import DataError, ParameterError
from invcore_tomography import RemoveRings, center_of_rotation, ellipses, sharpest, shepp_logan


def sinogram(center, *, columns=201, views=180, span=torch.pi, phantom=None):
    """Exact parallel-beam line integrals around an axis at some column; the object has a radius of 70 columns."""
    phantom = phantom or shepp_logan(radius=70.0, dtype=torch.float64)
    angles = torch.arange(views, dtype=torch.float64) * span / views
    s = torch.arange(columns, dtype=torch.float64) - center
    normal = torch.stack([angles.cos(), angles.sin()], -1)[:, None]
    along = torch.stack([-angles.sin(), angles.cos()], -1)[:, None]
    return phantom.line_integrals(s[:, None] * normal, along), angles


@pytest.mark.parametrize("center", [93.0, 99.7, 104.25])
@pytest.mark.parametrize("method", ["opposite", "wedge", "moments"])
def test_the_axis_is_found(method, center, generator):
    span = 2 * torch.pi if method == "opposite" else torch.pi
    p, angles = sinogram(center, span=span)
    assert center_of_rotation(p, angles, method=method) == pytest.approx(center, abs=0.1)
    noisy = p + 0.02 * p.max() * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    assert center_of_rotation(noisy, angles, method=method) == pytest.approx(center, abs=0.3)


def test_auto_takes_opposite_views_where_there_are_some():
    p, angles = sinogram(96.4, views=181, span=torch.pi * 181 / 180)  # 0 to 180 degrees, both ends
    assert center_of_rotation(p, angles) == pytest.approx(96.4, abs=0.1)
    p, angles = sinogram(96.4)
    with pytest.raises(DataError, match="half a turn apart"):
        center_of_rotation(p, angles, method="opposite")
    assert center_of_rotation(p, angles) == pytest.approx(96.4, abs=0.1)


def test_the_sharpest_image_of_noisy_views(generator):
    """Stripes of 3 % and noise of 5 % of the largest line integral."""
    p, angles = sinogram(98.3)
    stripes = 0.03 * p.max() * torch.randn(201, generator=generator, dtype=p.dtype)
    noisy = p + stripes + 0.05 * p.max() * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    assert center_of_rotation(p, angles, method="sharpness") == pytest.approx(98.3, abs=0.15)
    assert center_of_rotation(noisy, angles, method="sharpness", search=(92, 106)) == pytest.approx(
        98.3, abs=0.5
    )


def test_auto_looks_at_images_where_the_methods_disagree():
    p, angles = sinogram(98.3)
    p = p + 0.1 * p.max() * torch.linspace(
        0, 1, 201, dtype=p.dtype
    )  # a background: it moves the center of mass
    assert abs(center_of_rotation(p, angles, method="moments") - 98.3) > 3
    assert center_of_rotation(p, angles) == pytest.approx(98.3, abs=0.3)


def test_a_sharpest_image_at_an_end_is_no_answer():
    p, angles = sinogram(98.3)
    with pytest.raises(DataError, match="an end of the range"):
        center_of_rotation(p, angles, method="sharpness", search=(101, 106))


def test_rows_share_one_axis():
    p, angles = sinogram(98.3)
    rows = torch.stack([p, p.flip(-1).flip(-1) * 0.5])
    assert center_of_rotation(rows, angles) == pytest.approx(98.3, abs=0.1)


def test_what_cannot_be_found():
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


def test_the_axis_by_the_sharpness_of_the_image():
    p, angles = sinogram(98.3)
    found = sharpest(lambda c: backprojected(p, angles, c), 94.0, 103.0)
    assert found == pytest.approx(98.3, abs=0.3)


def blob(**options):
    smooth = ellipses(
        center=[(15.0, 10.0), (-20.0, 5.0)],
        axes=[(25.0, 30.0), (12.0, 9.0)],
        density=[1.0, 0.7],
        profile="gaussian",
        dtype=torch.float64,
    )
    return sinogram(100.0, phantom=smooth, **options)[0]


@pytest.mark.parametrize("method", ["sorting", "wavelet"])
def test_stripes_go_and_the_sinogram_stays(method, generator):
    clean = blob()
    gain = torch.zeros(201, dtype=torch.float64)
    where = torch.randperm(201, generator=generator)[:25]
    gain[where] = 0.05 * clean.max() * torch.randn(25, generator=generator, dtype=torch.float64)
    remove = RemoveRings(method=method)
    error = (remove(clean + gain) - clean).norm() / gain.expand_as(clean).norm()
    harm = (remove(clean) - clean).norm() / clean.norm()
    assert error < 0.35
    assert harm < (0.01 if method == "sorting" else 0.02)


@pytest.mark.parametrize("method", ["sorting", "wavelet"])
def test_batches_and_odd_sizes(method):
    p = blob(views=91)[..., :-1]
    remove = RemoveRings(method=method)
    both = remove(torch.stack([p, 2 * p]))
    assert both.shape == (2, 91, 200)
    assert torch.allclose(both[0], remove(p)) and torch.allclose(both[1], 2 * both[0])


def test_options_are_checked():
    with pytest.raises(ParameterError, match="odd"):
        RemoveRings(size=4)
    with pytest.raises(ParameterError, match="method"):
        RemoveRings(method="magic")
    with pytest.raises(ParameterError, match="wavelet"):
        RemoveRings(wavelet="db99")
