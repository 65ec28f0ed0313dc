"""Simulated specimens, and what two images have in common."""

import math

import pytest
import torch


@pytest.fixture
def filaments():
    """Straight lines of Gaussian profile at random places, (size, size)."""

    def draw(size, generator, count=25, width=1.0):
        r = torch.arange(size, dtype=torch.float64) - size // 2
        image = torch.zeros(size, size, dtype=torch.float64)
        for angle, offset in torch.rand(count, 2, generator=generator, dtype=torch.float64):
            across = r[:, None] * math.cos(math.pi * angle) + r * math.sin(math.pi * angle)
            image += torch.exp(-((across - (offset - 0.5) * size) ** 2) / (2 * width**2))
        return image

    return draw


@pytest.fixture
def spectrum_correlation():
    """Normalized correlation of two images in a ring of frequencies in cycles per pixel."""

    def correlate(found, truth, low, high):
        fy, fx = (torch.fft.fftfreq(n, dtype=torch.float64) for n in truth.shape[-2:])
        f = torch.hypot(fy[:, None], fx)
        ring = (f > low) & (f <= high)
        a, b = torch.fft.fft2(found)[..., ring], torch.fft.fft2(truth)[..., ring]
        return float((a.conj() * b).sum().real / (a.norm() * b.norm()))

    return correlate
