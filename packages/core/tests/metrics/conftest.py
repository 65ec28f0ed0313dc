"""Images that the tests of metrics share."""

import pytest
import torch
import torch.nn.functional as F


@pytest.fixture
def smooth_pair():
    """Two color images of 192 x 192 pixels in [0, 1] and the same with noise."""
    g = torch.Generator().manual_seed(7)
    x = F.avg_pool2d(torch.rand(2, 3, 192, 192, generator=g), 9, 1, 4)
    x = (x - x.amin()) / (x.amax() - x.amin())
    x_hat = (x + 0.05 * torch.randn(x.shape, generator=g)).clamp(0, 1)
    return x_hat.double(), x.double()
