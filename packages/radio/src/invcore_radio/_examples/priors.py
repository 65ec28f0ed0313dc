"""Examples of priors for the conformance kit: the first of each is tiny."""

from __future__ import annotations

import torch

from .._imaging.sara import Sara
from .._priors.compact import CompactSource
from .._priors.entropy import Entropy
from .._priors.moments import Centroid, SecondMoment, TotalFlux
from .._priors.squared_variation import TotalSquaredVariation


def entropy() -> dict[str, object]:
    """Return priors relative to a flat reference, and to one that varies."""
    return {
        "tiny": Entropy(reference=torch.tensor(0.7)),
        "columns": Entropy(reference=torch.linspace(0.2, 2, 8)),
    }


def tsv() -> dict[str, object]:
    """Return the prior for square pixels and for others."""
    return {"tiny": TotalSquaredVariation(), "oblong": TotalSquaredVariation(spacing=(1.0, 0.5))}


def total_flux() -> dict[str, object]:
    """Return priors of large and small uncertainty."""
    return {"tiny": TotalFlux(flux=3.0), "close": TotalFlux(flux=-2.0, sigma=0.2)}


def centroid() -> dict[str, object]:
    """Return priors on a source at the phase center and beside it."""
    return {
        "tiny": Centroid(flux=4.0),
        "beside": Centroid(flux=4.0, pixel=0.5, sigma=0.3, center=(1.0, -0.5)),
    }


def second_moment() -> dict[str, object]:
    """Return priors on a circular and an elongated source."""
    return {
        "tiny": SecondMoment(flux=8.0, fwhm=4.0, fraction=1.0),
        "elongated": SecondMoment(flux=8.0, fwhm=(5.0, 3.0, 0.6), pixel=0.5),
    }


def compact() -> dict[str, object]:
    """Return priors with all three terms, and with some."""
    return {
        "tiny": CompactSource(resolution=3.0),
        "entropy": CompactSource(resolution=3.0, variation=0.0, squared_variation=0.0),
        "edges": CompactSource(resolution=2.0, entropy=0.0),
    }


def sara() -> dict[str, object]:
    """Return priors of three bases, without a sign, with weights, and the whole dictionary."""
    weights = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)) + 0.1
    return {
        "tiny": Sara(bases=("dirac", "db1", "db2"), rtol=1e-8),
        "any sign": Sara(bases=("db1", "db4"), nonnegative=False, rtol=1e-8),
        "reweighted": Sara(bases=("dirac", "db2"), weights=weights, rtol=1e-8),
        "dictionary": Sara(rtol=1e-4),
    }
