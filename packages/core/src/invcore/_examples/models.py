"""Instances of core's models for the conformance kit: the first of each is tiny."""

from __future__ import annotations

import torch

from .._physics import Physics
from ..models import Brovey, GaussianRestorer, LinearEstimator, LocalMMSE
from ..noises import BlockNoise, GaussianMapNoise, GaussianNoise, NoNoise
from ..operators import Convolution, Mask, Space, pansharpen
from ..testing import ModelExample


def brovey() -> dict[str, object]:
    """Four bands that resemble each other."""
    n = torch.arange(16, dtype=torch.float64)
    plane = 1.5 + torch.sin(n / 2) * torch.cos(n[:, None] / 3)
    bands = torch.stack([plane * (1 + 0.1 * k) for k in range(4)])
    physics = Physics(pansharpen(domain=Space((4, 16, 16)), factor=2), BlockNoise((NoNoise(), NoNoise())))
    return {"bands alike": ModelExample(Brovey(), physics, bands)}


def gaussian_restorer() -> dict[str, object]:
    """Instances of the model ``gaussian_restorer``."""
    n = torch.arange(12, dtype=torch.float64)
    smooth = torch.exp(-(n[:, None] - n).abs() / 5)
    signal, plane = Space((1, 12)), Space((1, 8, 8))
    x = torch.sin(n / 2)[None]
    image = x[..., :8, None] * torch.cos(n[:8] / 2)
    blur = Convolution(kernel=torch.ones(1, 3, 3, dtype=torch.float64) / 9, domain=plane)
    missing = Mask(mask=(n % 3 > 0).double()[None], domain=signal)
    f = torch.fft.fftfreq(8, dtype=torch.float64)
    falling = 0.05 / (0.01 + f[:, None] ** 2 + f**2)
    turned = Space((1, 12), "complex")
    levels = torch.linspace(0.1, 0.3, 12, dtype=torch.float64)[None]
    return {
        "missing samples": ModelExample(
            GaussianRestorer(mean=torch.zeros_like(x), covariance=smooth),
            Physics(missing, GaussianNoise(sigma=0.2)),
            x,
        ),
        "blurred plane": ModelExample(
            GaussianRestorer(mean=torch.full_like(image, 0.1), spectrum=falling),
            Physics(blur, GaussianNoise(sigma=0.03)),
            image,
        ),
        "complex signal, blur as covariance": ModelExample(
            GaussianRestorer(
                mean=0j * x,
                operator=Convolution(kernel=torch.full((1, 5), 0.3, dtype=torch.float64), domain=turned).gram,
            ),
            Physics(Mask(mask=torch.polar(x.abs(), x), domain=turned), GaussianMapNoise(sigma=levels)),
            torch.polar(torch.ones_like(x), 0.3 * x),
        ),
    }


def linear_estimator() -> dict[str, object]:
    """Of an uncertain blur, and learned from pairs."""
    n = torch.arange(12, dtype=torch.float64)
    x = torch.sin(n / 2)[None]
    smooth = torch.exp(-(n[:, None] - n).abs() / 5)
    blurs = [
        Convolution(kernel=torch.tensor([[a, 1 - 2 * a, a]], dtype=torch.float64), domain=Space((1, 12)))
        for a in (0.2, 0.25, 0.3)
    ]
    noise = GaussianNoise(sigma=0.1)
    physics = Physics(blurs[1], noise)
    known = LinearEstimator.of_operators(blurs, mean=torch.zeros_like(x), covariance=smooth, noise=noise)
    seeded = torch.Generator().manual_seed(0)
    images = GaussianRestorer(mean=torch.zeros_like(x), covariance=smooth).sample((200,), generator=seeded)
    learned = LinearEstimator.fit(images, physics(images, generator=seeded), ridge=1e-3)
    return {
        "tiny": ModelExample(known, physics, images[0]),
        "learned": ModelExample(learned, physics, images[0]),
    }


def local_mmse() -> dict[str, object]:
    """A blur, missing samples and a complex plane."""
    n = torch.arange(12, dtype=torch.float64)
    steps = torch.stack([torch.sin(n / 3) / 2 + (n > k) / 2 for k in range(12)]).unsqueeze(1)
    kernel = torch.tensor([[0.25, 0.5, 0.25]], dtype=torch.float64)
    blur = Convolution(kernel=kernel, domain=Space((1, 12)))
    kept = Mask(mask=(n % 4 > 0).double()[None], domain=Space((1, 12)))
    noise = GaussianNoise(sigma=0.2)
    planes = steps.view(12, 1, 3, 4) * torch.exp(torch.tensor(0.7j))
    phases = Mask(mask=torch.exp(0.3j * n).view(1, 3, 4), domain=Space((1, 3, 4), "complex"))
    return {
        "blur": ModelExample(LocalMMSE(steps, patch=5, inverse=0.1), Physics(blur, noise), steps[3]),
        "missing samples": ModelExample(LocalMMSE(steps, patch=3), Physics(kept, noise), steps[5]),
        "at each pixel": ModelExample(
            LocalMMSE(steps, patch=5, equivariant=False), Physics(kept, noise), steps[5]
        ),
        "complex": ModelExample(LocalMMSE(planes, patch=3), Physics(phases, noise), planes[4]),
    }
