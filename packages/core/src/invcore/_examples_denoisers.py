"""Example instances of core's denoisers, for the conformance kit. The first of each is tiny."""

from __future__ import annotations


def bm3d_denoisers() -> dict[str, object]:
    """Instances of the denoiser ``bm3d``."""
    from .denoisers import BM3D

    return {
        "small window": BM3D(window=9),
        "first pass only": BM3D(wiener=False, peak=255.0, window=9),
    }
