"""Images that the tests of denoisers share."""

import pytest
import torch


@pytest.fixture
def picture():
    """Make a wave with a disc, in float64; the channels differ."""

    def make(n=32, channels=1):
        t = torch.linspace(-1, 1, n, dtype=torch.float64)
        disc = t[:, None] ** 2 + t**2
        return torch.stack(
            [0.5 + 0.25 * torch.sin((4 + c) * t) + 0.25 * (disc < 0.4 + 0.2 * c) for c in range(channels)]
        )

    return make


@pytest.fixture
def noisy():
    """Add Gaussian noise of a level, drawn from a seed."""

    def add(x, sigma, seed=0):
        g = torch.Generator().manual_seed(seed)
        return x + sigma * torch.randn(x.shape, generator=g, dtype=x.dtype)

    return add
