"""GRAPPA and SPIRiT against the full scan, and against k-space that obeys their model exactly."""

import pytest
import torch

from invcore import DataError, ParameterError
from invcore_mri import Grappa, Spirit, read_cfl, root_sum_of_squares, simulate


def measured(shape, steps, calib):
    mask = torch.zeros(shape)
    mask[tuple(slice(None, None, s) for s in steps)] = 1
    mask[tuple(slice(n // 2 - calib // 2, n // 2 + calib // 2) for n in shape)] = 1
    return mask


def nrmse(a, b):
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("method", [Grappa(kernel=3, ridge=1e-12), Spirit(kernel=3, ridge=1e-12, rtol=1e-10)])
def test_exact_where_the_model_holds(method, generator):
    """Coils that are phase ramps shift k-space, so that every sample is also another coil's."""
    n = 24
    image = torch.randn(n, n, dtype=torch.complex128, generator=generator)
    image[:, :5] = image[:, -5:] = 0  # not on the border of k-space's period
    kspace = torch.fft.fftshift(torch.fft.fft2(image, norm="ortho"))
    coils = torch.stack([kspace, kspace.roll(1, 1), kspace.roll(-1, 1)])
    mask = measured((n, n), (1, 2), 12).double()
    filled = method(mask * coils)
    inside = (slice(None), slice(2, -2), slice(2, -2))
    assert nrmse(filled[inside], coils[inside]) < 1e-6
    assert torch.equal(filled * mask, mask * coils)


@pytest.mark.parametrize("steps, limit", [((1, 2), 0.02), ((1, 3), 0.05), ((2, 2), 0.05)])
def test_regular_grids(steps, limit, generator):
    scan = simulate((72, 60), coils=8, sigma=1e-4, generator=generator)
    data = measured((72, 60), steps, 20) * scan.kspace
    for method in (Grappa(kernel=7 if 3 in steps else 5), Spirit()):
        filled = method(data)
        assert nrmse(filled, scan.kspace) < limit < nrmse(data, scan.kspace)
        assert torch.equal(filled[data != 0], data[data != 0])


def test_volume(generator):
    scan = simulate((24, 32, 28), coils=6, sigma=1e-4, generator=generator)
    data = measured((24, 32, 28), (1, 2, 1), 14) * scan.kspace
    assert nrmse(Grappa(kernel=3, spatial_dims=3)(data), scan.kspace) < 0.1 < nrmse(data, scan.kspace)


@pytest.mark.parametrize("method, limit", [(Grappa(), 0.105), (Spirit(rtol=0.01), 0.1)])
def test_measured_scan(method, limit, mri_data):
    truth = root_sum_of_squares(read_cfl(mri_data / "brain8_full")[0].permute(2, 0, 1))
    data = read_cfl(mri_data / "brain8_und2x2")[0].permute(2, 0, 1)
    filled = root_sum_of_squares(method(data) + 1e-20)
    assert nrmse(filled, truth) < limit < 0.5 * nrmse(root_sum_of_squares(data + 1e-20), truth)


def test_partial_fourier_stays_partial(generator):
    scan = simulate((32, 40), coils=6, sigma=1e-3, generator=generator)
    data = measured((32, 40), (1, 2), 16) * scan.kspace
    data[..., :10] = 0
    filled = Grappa()(data)
    assert bool((filled[..., :10] == 0).all()) and bool((filled[..., 10:-1] != 0).any(0).all())
    assert torch.equal(Grappa()(filled), filled)


def test_errors_say_what_to_do(generator):
    scan = simulate((32, 32), coils=4, generator=generator)
    lines = scan.kspace * measured((32, 32), (1, 2), 0)
    for method in (Grappa(), Spirit()):
        with pytest.raises(DataError, match=r"smaller than the window \(5, 5\)"):
            method(lines)
        with pytest.raises(DataError, match="NaN"):
            method(lines + float("nan"))
    gap = scan.kspace * measured((32, 32), (1, 8), 10)
    with pytest.raises(DataError, match="no measured one in a window of 3 x 3"):
        Grappa(kernel=3)(gap)
    for wrong in ({"kernel": 4}, {"kernel": (3, 3, 3)}, {"ridge": 0.0}, {"spatial_dims": 4}):
        with pytest.raises(ParameterError):
            Grappa(**wrong)
    for wrong in ({"kernel": 1}, {"rtol": 0.0}, {"spatial_dims": 4}):
        with pytest.raises(ParameterError):
            Spirit(**wrong)
