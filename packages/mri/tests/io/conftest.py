import pytest
import torch

from invcore_mri import simulate


@pytest.fixture
def scan(generator):
    return simulate((96, 80), coils=6, sigma=0.02, generator=generator)


@pytest.fixture
def solve():
    def least_squares(acquisition, steps=15, shift=0.01):
        """Regularized least squares by conjugate gradients, written out."""
        A, y = acquisition.physics.operator, acquisition.y
        residual = A.H(y)
        x, direction, square = torch.zeros_like(residual), residual, residual.abs().square().sum()
        first = square
        for _ in range(steps):
            if square < 1e-10 * first:
                break
            image = A.gram(direction) + shift * direction
            step = square / (direction.conj() * image).sum().real
            x, residual = x + step * direction, residual - step * image
            before, square = square, residual.abs().square().sum()
            direction = residual + square / before * direction
        return x

    return least_squares


@pytest.fixture
def coil_images():
    def inverse(kspace):
        axes = (-2, -1)
        return torch.fft.fftshift(
            torch.fft.ifft2(torch.fft.ifftshift(kspace, dim=axes), norm="ortho"), dim=axes
        )

    return inverse


@pytest.fixture
def fitted_error():
    def error(x, reference):
        x = x.abs().reshape(reference.shape)
        scale = (x * reference).sum() / x.square().sum()
        return float((scale * x - reference).norm() / reference.norm())

    return error
