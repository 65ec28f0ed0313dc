"""Small instances of the blurs, for the conformance kit. The first of each is tiny."""

from __future__ import annotations

import torch

from invcore import Space

from .._blurs.space_varying import SpaceVaryingBlur


def space_varying_blur() -> dict[str, object]:
    """Return both orders, all boundaries, two and three dimensions, a blur for each sample."""
    g = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=g, dtype=torch.float64)

    return {
        "tiny": SpaceVaryingBlur(kernels=random(2, 2, 3), maps=random(2, 4, 5), domain=Space((1, 4, 5))),
        "convolution_product": SpaceVaryingBlur(
            kernels=random(3, 3, 2),
            maps=random(3, 5, 6),
            domain=Space((2, 7, 7)),
            order="convolution_product",
        ),
        "zero": SpaceVaryingBlur(
            kernels=random(2, 4, 5), maps=random(2, 7, 6), domain=Space((1, 7, 6)), boundary="zero"
        ),
        "circular": SpaceVaryingBlur(
            kernels=random(2, 4, 5),
            maps=random(2, 6, 7),
            domain=Space((1, 6, 7)),
            order="convolution_product",
            boundary="circular",
        ),
        "volumes": SpaceVaryingBlur(
            kernels=random(2, 2, 3, 2), maps=random(2, 4, 5, 3), domain=Space((1, 4, 5, 3)), boundary="zero"
        ),
        "one for each sample": SpaceVaryingBlur(
            kernels=random(3, 2, 3, 3), maps=random(2, 5, 5), domain=Space((1, 5, 5))
        ),
    }
