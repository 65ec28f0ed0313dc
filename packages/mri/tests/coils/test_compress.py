"""Coil compression against the singular values of the data."""

import numpy as np
import pytest
import torch

from invcore import DataError, ParameterError, ShapeError
from invcore_mri import Compress, MaskEquispaced, estimate_noise, prewhiten, read_cfl, simulate


@pytest.fixture
def scan(generator):
    mask = MaskEquispaced(shape=(40, 36), acceleration=2.0, calib=12)()
    return simulate((40, 36), coils=12, sigma=0.001, mask=mask, generator=generator)


def images(kspace):
    axes = (-2, -1)
    return torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(kspace, dim=axes), norm="ortho"), dim=axes)


@pytest.mark.parametrize("method", ["svd", "geometric"])
def test_all_coils_lose_nothing(method, scan):
    kspace = scan.kspace.to(torch.complex128)
    found = Compress(coils=12, method=method).fit(kspace)
    assert found.lost == 0
    back = found.expand(images(found.kspace(kspace)))
    torch.testing.assert_close(back, images(kspace), atol=1e-12, rtol=0)


def test_what_is_lost_are_the_other_singular_values(scan):
    kspace = scan.kspace.to(torch.complex128)
    values = np.linalg.svd(kspace.flatten(1).numpy(), compute_uv=False)
    found = Compress(coils=4).fit(kspace)
    left = found.expand(found.kspace(kspace)) - kspace
    assert float(left.norm()) == pytest.approx(np.sqrt((values[4:] ** 2).sum()), rel=1e-9)
    assert found.lost == pytest.approx((values[4:] ** 2).sum() / (values**2).sum(), rel=1e-9)


def test_geometric_loses_the_singular_values_of_each_place(scan):
    kspace = scan.kspace.to(torch.complex128)
    hybrid = torch.fft.ifft(kspace, dim=1, norm="ortho")  # but for phases
    hybrid = torch.fft.fftshift(hybrid, dim=1)
    discarded = [np.linalg.svd(hybrid[:, y].numpy(), compute_uv=False)[4:] for y in range(40)]
    found = Compress(coils=4, method="geometric").fit(kspace)
    left = found.expand(images(found.kspace(kspace))) - images(kspace)
    expected = sum((s**2).sum() for s in discarded)
    assert float(left.norm()) ** 2 == pytest.approx(expected, rel=1e-9)
    assert found.lost < Compress(coils=4).fit(kspace).lost  # each place sees less of the object
    steps = found.matrix[1:] - found.matrix[:-1]  # aligned: neighbors nearly agree
    assert torch.linalg.matrix_norm(steps[10:30]).median() < 0.25


def test_the_number_comes_from_energy_and_noise(generator):
    """Noise does not count as signal."""
    quiet = simulate((64, 64), coils=16, sigma=1e-5, generator=generator).kspace
    count = Compress(loss=1e-3).fit(quiet).coils
    noise = 0.01 * torch.view_as_complex(torch.randn(16, 64, 64, 2, generator=generator))
    assert abs(Compress(loss=1e-3, sigma=0.01).fit(quiet + noise).coils - count) <= 1
    assert Compress(loss=1e-3).fit(quiet + noise).coils == 16
    assert Compress(loss=1e-3).fit(quiet).lost < 1e-3 < Compress(coils=count - 1).fit(quiet).lost


def test_whitened_noise_of_a_measured_scan_stays_white(mri_data):
    kspace = read_cfl(mri_data / "brain8_full")[0].permute(2, 0, 1)
    white = prewhiten(kspace, estimate_noise(kspace).covariance)
    found = Compress(coils=5).fit(white)
    noise = estimate_noise(found.kspace(white))
    assert noise.sigma == pytest.approx(1, rel=0.03)
    assert (noise.covariance - 2 * torch.eye(5)).abs().max() < 0.2
    along = Compress(coils=5, method="geometric").fit(white)
    assert along.lost < 0.5 * found.lost
    # where a place along the readout holds noise only, its strongest directions are taken
    assert estimate_noise(along.kspace(white)).sigma == pytest.approx(1.07, rel=0.03)


def test_maps_are_compressed_as_the_data(scan):
    found = Compress(coils=5).fit(scan.kspace)
    virtual = found.maps(scan.maps) * scan.image
    torch.testing.assert_close(virtual, found.maps(scan.maps * scan.image), atol=1e-5, rtol=0)
    assert Compress(coils=5)(scan.kspace.expand(2, 3, 12, 40, 36)).shape == (2, 3, 5, 40, 36)


def test_errors_say_what_to_do(scan):
    with pytest.raises(ParameterError, match="cannot make 13 virtual coils of 12"):
        Compress(coils=13)(scan.kspace)
    with pytest.raises(DataError, match="fully sampled lines along axis -1"):
        Compress(method="geometric", axis=-1)(scan.kspace)
    with pytest.raises(DataError, match="only zeros"):
        Compress()(0 * scan.kspace)
    with pytest.raises(ShapeError, match="takes one scan"):
        Compress().fit(scan.kspace[None])
    with pytest.raises(ShapeError, match="of 12 coils, k-space has 6"):
        Compress(coils=2).fit(scan.kspace).kspace(scan.kspace[:6])
    for wrong in ({"coils": 0}, {"loss": 1.0}, {"sigma": -1.0}, {"method": "pca"}, {"axis": 0}):
        with pytest.raises(ParameterError):
            Compress(**wrong)
