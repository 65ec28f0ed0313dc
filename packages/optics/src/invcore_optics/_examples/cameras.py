"""Small instances of computational cameras, for the conformance kit. The first of each is tiny."""

from __future__ import annotations

import torch

from invcore.operators import Space

from .._cameras.single_pixel import SinglePixel, bernoulli_patterns


def single_pixel() -> dict[str, object]:
    """Return cameras with each basis and kind of detection, subsampled, and with dense patterns."""
    g = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (2, 6, 4, 3), generator=g) * 2 - 1
    shown = signs * (0.5 + torch.rand(2, 6, 4, 3, generator=g))
    shown[..., 0, 0] = 2.0  # the largest by far: its place does not change with small changes
    return {
        "tiny": SinglePixel("hadamard", Space((1, 2, 4)), order="sequency", measurements=5),
        "pairs": SinglePixel(
            "hadamard", Space((2, 8, 4)), order="cake_cutting", measurements=20, detection="pairs", dwell=0.3
        ),
        "haar": SinglePixel("haar", Space((1, 12, 8)), order="scale", measurements=50, detection="pairs"),
        "haar by number": SinglePixel("haar", Space((2, 7, 5)), order=torch.tensor([3, 0, 34, 11])),
        "bernoulli": SinglePixel(bernoulli_patterns(9, (5, 3), generator=g), Space((2, 5, 3))),
        "patterns shown once each": SinglePixel(shown, Space((1, 4, 3)), detection="single", measurements=4),
    }
