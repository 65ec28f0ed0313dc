"""Small instances of the estimators, for the conformance kit."""

from __future__ import annotations


def matched_filter() -> dict[str, object]:
    """Return both filters."""
    from .._depth.matched_filter import MatchedFilter

    return {"tiny": MatchedFilter(), "cross-correlation": MatchedFilter(kind="correlation", background=0.05)}


def regularized() -> dict[str, object]:
    """Return the estimate with total variation, and with a denoiser for the depths."""
    from invcore.denoisers import Median
    from invcore.priors import PnP

    from .._depth.regularized import RegularizedDepth

    return {
        "tiny": RegularizedDepth(max_steps=10),
        "plug-and-play": RegularizedDepth(prior=PnP(denoiser=Median()), background=0.05, max_steps=5),
    }
