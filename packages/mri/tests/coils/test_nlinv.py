"""NLINV against ESPIRiT, the true maps, and a dense Jacobian."""

import pytest
import torch

import invcore
from invcore import DataError, ParameterError, ShapeError, Space
from invcore.operators import NUFFT
from invcore.testing import check
from invcore_mri import (
    Fourier,
    Nlinv,
    acquire,
    espirit,
    radial,
    read_cfl,
    root_sum_of_squares,
    simulate,
)
from invcore_mri._coils.nlinv import _Derivative, _smoothed, _sobolev


def nrmse(image, reference):
    """After the best scalar fit."""
    x, reference = image.abs().flatten(), reference.abs().flatten()
    return float(((x @ reference) / (x @ x) * x - reference).norm() / reference.norm())


def reconstructed(kspace, maps, reference):
    acquisition = acquire(kspace, maps=maps, whiten=False)
    x = invcore.solver("cg", weight=0.01, max_steps=30, rtol=0.0)(acquisition.y, acquisition.physics)
    return nrmse(x, reference)


def test_the_derivative(generator):
    """The kit's checks of a linear operator, and finite differences of P(c x)."""
    n, coils = (5, 6), 3
    image, step = torch.randn(2, 1, *n, dtype=torch.complex128, generator=generator)
    hat, change = torch.randn(2, coils, *n, dtype=torch.complex128, generator=generator)
    smooth = _sobolev(n, image)
    mask = (torch.rand(n, generator=generator) < 0.5).double()
    sampling = Fourier(mask=mask, shape=n, channels=coils)
    J = _Derivative(sampling=sampling, image=image, maps=_smoothed(hat, smooth), smooth=smooth)
    check(J)

    def data(t):
        return sampling(_smoothed(hat + t * change, smooth) * (image + t * step))

    difference = (data(1e-4) - data(-1e-4)) / 2e-4
    torch.testing.assert_close(J((step, change)), difference, atol=1e-8, rtol=0)


def test_finds_the_true_maps_of_an_undersampled_scan(generator):
    mask = torch.zeros(64, 56)
    mask[::2, ::2] = 1
    mask[28:36, 24:32] = 1
    scan = simulate((64, 56), coils=8, sigma=1e-3, mask=mask, generator=generator)
    found = Nlinv().estimate(scan.kspace)
    inside = scan.image[0].abs() > 0.3
    cosine = (found.maps.conj() * scan.maps).sum(0).abs()[inside]
    assert cosine.mean() > 0.98
    torch.testing.assert_close(torch.linalg.vector_norm(found.maps, dim=0), torch.ones(64, 56))
    assert nrmse(found.image, scan.image) < 0.12
    scaled = Nlinv().estimate(1e5 * scan.kspace)
    torch.testing.assert_close(scaled.image / 1e5, found.image, rtol=1e-2, atol=1e-2)


def test_measured_scan_without_a_calibration_region(mri_data):
    """As good as ESPIRiT."""
    truth = root_sum_of_squares(read_cfl(mri_data / "brain8_full")[0].permute(2, 0, 1))
    kspace = read_cfl(mri_data / "brain8_und2x2")[0].permute(2, 0, 1).contiguous()
    found = Nlinv().estimate(kspace)
    theirs = reconstructed(kspace, espirit(kspace, crop=0.0, soft=0.0), truth)  # 0.068
    assert nrmse(found.image, truth) < 1.1 * theirs  # 0.072
    assert reconstructed(kspace, found.maps, truth) < 1.1 * theirs  # 0.070


def test_a_center_that_is_too_small_for_espirit(mri_data):
    """Undersampled twice along both axes but for 8 x 8 samples, at half the resolution."""
    kspace = read_cfl(mri_data / "brain8_full")[0].permute(2, 0, 1)[:, 57:173, 45:135].contiguous()
    mask = torch.zeros(116, 90)
    mask[::2, ::2] = 1
    mask[54:62, 41:49] = 1
    truth = root_sum_of_squares(kspace)
    joint = nrmse(Nlinv(steps=9).estimate(kspace * mask).image, truth)
    assert joint < 0.1
    assert joint < 0.7 * reconstructed(kspace * mask, espirit(kspace * mask, crop=0.0, soft=0.0), truth)


def test_along_spokes(generator):
    """Radial data: the joint image is much closer than gridding with the true maps."""
    n = (48, 48)
    scan = simulate(n, coils=6, sigma=0.0, generator=generator)
    points = radial(40, 96, 48, order="golden").flatten(0, 1) / 48
    sampling = NUFFT(points, Space((6, *n), "complex"), unit="cycles")
    y = sampling(scan.maps * scan.image)
    y = y + 1e-3 * torch.randn(y.shape, dtype=y.dtype, generator=generator)
    found = Nlinv().solve(y, sampling)
    gridded = (scan.maps.conj() * sampling.H(y)).sum(0)
    assert nrmse(found.image, scan.image) < 0.15 < nrmse(gridded, scan.image)


def test_stops_at_the_noise(generator):
    scan = simulate((32, 32), coils=4, sigma=0.2, generator=generator)
    first = Nlinv(sigma=0.2).estimate(scan.kspace)
    assert nrmse(first.image, scan.image) < nrmse(Nlinv(steps=14).estimate(scan.kspace).image, scan.image)


def test_errors_say_what_to_do(generator):
    kspace = simulate((16, 16), coils=3, generator=generator).kspace
    with pytest.raises(DataError, match="NaN"):
        Nlinv()(kspace + float("nan"))
    with pytest.raises(DataError, match="only zeros"):
        Nlinv()(0 * kspace)
    with pytest.raises(ShapeError, match=r"coil images \(coil, z, y, x\)"):
        Nlinv(spatial_dims=3).solve(kspace, Fourier(mask=torch.ones(1, 1), shape=(16, 16), channels=3))
    for wrong in (
        {"steps": 0},
        {"reduction": 1.0},
        {"inner_rtol": 0.0},
        {"sigma": -1.0},
        {"spatial_dims": 1},
    ):
        with pytest.raises(ParameterError):
            Nlinv(**wrong)
