"""Examples of priors, for the conformance kit: the first of each is tiny."""

from __future__ import annotations


def entropy() -> dict[str, object]:
    """Relative to a flat image, and to one that is not."""
    import torch

    from .. import Entropy

    return {
        "tiny": Entropy(reference=torch.tensor(0.7)),
        "columns": Entropy(reference=torch.linspace(0.2, 2, 8)),
    }


def tsv() -> dict[str, object]:
    """It has no options."""
    from .. import TotalSquaredVariation

    return {"tiny": TotalSquaredVariation()}


def total_flux() -> dict[str, object]:
    """Loosely and closely known."""
    from .. import TotalFlux

    return {"tiny": TotalFlux(flux=3.0), "close": TotalFlux(flux=-2.0, sigma=0.2)}


def centroid() -> dict[str, object]:
    """At the phase center and beside it."""
    from .. import Centroid

    return {
        "tiny": Centroid(flux=4.0),
        "beside": Centroid(flux=4.0, pixel=0.5, sigma=0.3, center=(1.0, -0.5)),
    }


def second_moment() -> dict[str, object]:
    """Round and elongated."""
    from .. import SecondMoment

    return {
        "tiny": SecondMoment(flux=8.0, fwhm=4.0, fraction=1.0),
        "elongated": SecondMoment(flux=8.0, fwhm=(5.0, 3.0, 0.6), pixel=0.5),
    }


def compact() -> dict[str, object]:
    """All three terms, and each alone."""
    from .. import CompactSource

    return {
        "tiny": CompactSource(resolution=3.0),
        "entropy": CompactSource(resolution=3.0, variation=0.0, squared_variation=0.0),
        "edges": CompactSource(resolution=2.0, entropy=0.0),
    }


def rml() -> dict[str, object]:
    """Maximum likelihood without regularization; pixel by pixel it is solved to any accuracy."""
    from .. import RegularizedMaximumLikelihood

    return {
        "tiny": RegularizedMaximumLikelihood(prior=None, inner_steps=50, inner_rtol=1e-9, rtol=1e-9),
    }


def log_amplitudes() -> dict[str, object]:
    """Some of the visibilities."""
    import torch

    from .. import LogAmplitudes

    return {
        "tiny": LogAmplitudes(index=torch.tensor([0, 2, 3]), shape=(2, 2)),
        "array": LogAmplitudes(index=torch.tensor([5, 1, 2]), shape=(3, 2)),
    }
