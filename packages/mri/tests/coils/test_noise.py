"""Noise covariance and whitening against known covariances."""

import pytest
import torch

from invcore import DataError, ShapeError
from invcore_mri import (
    MaskGaussian,
    estimate_noise,
    estimate_sigma,
    noise_covariance,
    prewhiten,
    read_cfl,
    simulate,
)


def correlated(shape, coils, generator):
    """Complex noise of a known covariance E[n n^H] = mixing mixing^H * 2."""
    mixing = torch.randn(coils, coils, dtype=torch.complex64, generator=generator) + 2 * torch.eye(coils)
    white = torch.view_as_complex(torch.randn(coils, *shape, 2, generator=generator))
    noise = torch.tensordot(mixing, white, dims=1)
    return noise, 2 * mixing @ mixing.mH


def test_covariance_of_a_noise_scan(generator):
    noise, truth = correlated((200, 300), 4, generator)
    noise[:, :20] = 0  # not acquired
    found = noise_covariance(noise)
    assert (found - truth).norm() / truth.norm() < 0.02
    assert found.dtype == torch.complex64


def test_whitened_noise_has_unit_real_components(generator):
    noise, truth = correlated((100, 100), 5, generator)
    white = prewhiten(noise, truth)
    parts = torch.view_as_real(white).movedim(-1, 0).flatten(2)
    assert (parts.std(-1) - 1).abs().max() < 0.03
    again = noise_covariance(white)
    assert (again - 2 * torch.eye(5)).abs().max() < 0.1
    batch = prewhiten(noise.expand(2, 3, *noise.shape), truth)
    torch.testing.assert_close(batch[1, 2], white)


def test_whitening_scales_with_the_data(generator):
    noise, truth = correlated((50, 50), 3, generator)
    for scale in (1e-6, 1e6):
        torch.testing.assert_close(
            prewhiten(scale * noise, scale**2 * truth), prewhiten(noise, truth), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("sigma", [0.01, 0.1])
@pytest.mark.parametrize("undersampled", [False, True])
def test_noise_of_a_scan_from_its_border(sigma, undersampled, generator):
    mask = (
        MaskGaussian(shape=(192, 160), acceleration=3.0, axes=(-2, -1))(generator=generator)
        if undersampled
        else None
    )
    scan = simulate((192, 160), coils=4, mask=mask, sigma=sigma, generator=generator)
    found = estimate_noise(scan.kspace)
    assert found.white
    assert abs(found.sigma / sigma - 1) < 0.1
    assert estimate_sigma(1000 * scan.kspace) == pytest.approx(1000 * found.sigma, rel=1e-4)


def test_border_estimate_recovers_the_covariance(generator):
    scan = simulate((192, 192), coils=4, sigma=0.0, generator=generator)
    noise, truth = correlated((192, 192), 4, generator)
    found = estimate_noise(scan.kspace + 0.03 * noise, fraction=0.2)
    assert (found.covariance - 0.03**2 * truth).norm() / (0.03**2 * truth).norm() < 0.08


def test_signal_at_the_border_is_reported(generator):
    scan = simulate((64, 64), coils=4, sigma=1e-4, generator=generator)
    assert not estimate_noise(scan.kspace).white


def test_measured_scan_has_a_noise_like_border(mri_data):
    sigmas = []
    for name in ("brain8_full", "brain8_und2x2"):
        found = estimate_noise(read_cfl(mri_data / name)[0].permute(2, 0, 1))
        assert found.white
        sigmas.append(found.sigma)
    assert sigmas[0] == pytest.approx(1.2, rel=0.03)
    assert sigmas[1] == pytest.approx(sigmas[0], rel=0.03)


def test_errors_say_what_to_do(generator):
    noise, truth = correlated((50, 50), 3, generator)
    with pytest.raises(ShapeError, match=r"has 3 coils, so the noise covariance must have shape \(3, 3\)"):
        prewhiten(noise, truth[:2, :2])
    with pytest.raises(DataError, match="singular: some coils are copies"):
        noise_covariance(torch.cat([noise, noise[:1]]))
    with pytest.raises(DataError, match=r"coils \[3\] have no noise power"):
        noise_covariance(torch.cat([noise, torch.zeros_like(noise[:1])]))
    with pytest.raises(DataError, match="too few"):
        noise_covariance(noise[:, 0, :5])
    with pytest.raises(DataError, match="not Hermitian"):
        prewhiten(noise, truth + torch.triu(torch.ones(3, 3), 1) * truth.abs().max())
    with pytest.raises(DataError, match="NaN"):
        noise_covariance(noise * float("nan"))
    with pytest.raises(ShapeError, match="complex noise"):
        noise_covariance(noise.real)
    with pytest.raises(DataError, match="measured positions, too few"):
        estimate_noise(torch.zeros(3, 16, 16, dtype=torch.complex64))
