"""Examples of antenna gains for the conformance kit."""

from __future__ import annotations

import torch

from .._calibration.gains import Gains


def gains() -> dict[str, object]:
    """Return one gain per antenna, several blocks of time, gains per frequency, and a batch of gains."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.triu_indices(4, 4, 1)

    def drawn(*shape: int) -> torch.Tensor:
        return 1 + 0.5 * torch.randn(shape, generator=generator, dtype=torch.complex64)

    once = torch.zeros(6, dtype=torch.int64)
    twice = torch.tensor([0, 1]).repeat_interleave(6)
    long = {"antenna1": a.repeat(2), "antenna2": b.repeat(2), "block": twice}
    return {
        "tiny": Gains(gains=drawn(4, 1, 1), antenna1=a, antenna2=b, block=once, frequencies=1),
        "blocks": Gains(gains=drawn(4, 2, 1), frequencies=3, **long),
        "frequencies": Gains(gains=drawn(4, 2, 3), frequencies=3, **long),
        "batch": Gains(gains=drawn(2, 4, 1, 1), antenna1=a, antenna2=b, block=once, frequencies=2),
    }
