"""What the examples share: seeded weights and a picture."""

from __future__ import annotations

from typing import TypeVar

import torch

_M = TypeVar("_M", bound=torch.nn.Module)


def seeded(seed: int) -> torch.Generator:
    """A generator."""
    return torch.Generator().manual_seed(seed)


def initialized(network: _M, seed: int = 0, scale: float = 0.5) -> _M:
    """Draw the weights of a network, so that examples do not depend on the global random state."""
    g = seeded(seed)
    for p in network.parameters():
        fan = max(p[0].numel(), 1) if p.ndim > 1 else 1
        p.data = scale * torch.randn(p.shape, generator=g) / fan**0.5 if p.ndim > 1 else torch.zeros_like(p)
    return network.eval()


def picture(n: int = 12, m: int = 12) -> torch.Tensor:
    """A smooth picture, (1, n, m)."""
    y, x = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(m, dtype=torch.float64)
    return (0.5 + 0.3 * torch.sin(x / 2) * torch.cos(y / 3))[None]
