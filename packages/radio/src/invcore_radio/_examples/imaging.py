"""Examples of imaging methods for the conformance kit: the first of each is tiny."""

from __future__ import annotations

from typing import Any

from invcore import Space

from .._imaging.clean import Clean
from .._imaging.maximum_likelihood import RegularizedMaximumLikelihood
from .._imaging.sara import SaraFrame


def clean() -> dict[str, object]:
    """Return the three algorithms, and one that stops at the noise."""
    options: dict[str, Any] = {"discrepancy": None, "rtol": 1e-3, "max_steps": 500}
    return {
        "tiny": Clean(**options),
        "clark": Clean(algorithm="clark", patch=1, **options),
        "multiscale": Clean(algorithm="multiscale", scales=(0.0, 2.0), **options),
        "noise": Clean(),
    }


def rml() -> dict[str, object]:
    """Return maximum likelihood without regularization, which converges to any accuracy for an identity."""
    return {
        "tiny": RegularizedMaximumLikelihood(prior=None, inner_steps=50, inner_rtol=1e-9, rtol=1e-9),
    }


def sara_frame() -> dict[str, object]:
    """Return frames of three bases, of two on a complex image of odd size, and the whole dictionary."""
    return {
        "tiny": SaraFrame(domain=Space((1, 4, 6)), bases=("dirac", "db1", "db2")),
        "complex, odd": SaraFrame(domain=Space((2, 5, 7), "complex"), bases=("db1", "db3"), levels=1),
        "dictionary": SaraFrame(domain=Space((1, 16, 16))),
    }
