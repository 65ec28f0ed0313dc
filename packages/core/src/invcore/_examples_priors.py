"""Examples of core's priors for the conformance kit: the first of each is tiny."""

from __future__ import annotations


def tvs() -> dict[str, object]:
    """Every kind, solved to the accuracy that the kit looks for."""
    from .priors import TV

    return {
        "tiny": TV(rtol=1e-13, max_steps=20000),
        "anisotropic": TV(kind="anisotropic", channels="separate", rtol=1e-13, max_steps=20000),
        "smoothed": TV(smoothing=0.3, spacing=(1.0, 2.0), rtol=1e-13, max_steps=20000),
        "1-D": TV(dims=1, rtol=1e-13, max_steps=20000),
    }


def group_norms() -> dict[str, object]:
    """Across channels, across nothing, smoothed."""
    from .priors import GroupL12

    return {
        "tiny": GroupL12(dims=(-3,)),
        "rows": GroupL12(dims=(-1,)),
        "smoothed": GroupL12(dims=(-2, -1), smoothing=0.2),
    }
