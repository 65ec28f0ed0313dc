"""A network of a few weights, and a physics, for tests of training."""

import pytest
import torch

from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.operators import Identity


class Filter(torch.nn.Module):
    """A convolution, with dropout if wanted."""

    def __init__(self, dropout=0.0, seed=0):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 1, 3, padding=1)
        self.dropout = torch.nn.Dropout(dropout)
        g = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(0.2 * torch.randn(p.shape, generator=g))

    def forward(self, y, physics):
        return self.conv(self.dropout(y))


class Seen(Filter):
    """Remembers what it was called with."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, y, physics):
        if self.training:
            self.calls.append((y.clone(), physics))
        return super().forward(y, physics)


@pytest.fixture
def network():
    return Filter


@pytest.fixture
def seen():
    return Seen()


@pytest.fixture
def images():
    g = torch.Generator().manual_seed(1)
    return list(torch.rand(10, 1, 6, 6, generator=g))


@pytest.fixture
def noisy():
    return Physics(Identity((1, 6, 6)), GaussianNoise(sigma=0.1))


@pytest.fixture
def exact():
    return Physics(Identity((1, 6, 6)))
