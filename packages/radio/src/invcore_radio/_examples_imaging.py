"""Examples of CLEAN and averaged sparsity for the conformance kit: the first of each is tiny."""

from __future__ import annotations


def clean() -> dict[str, object]:
    """Return the three algorithms, and one that stops at the noise."""
    from ._clean import Clean

    return {
        "tiny": Clean(discrepancy=None, rtol=1e-6, max_steps=5000),
        "clark": Clean(algorithm="clark", patch=1, discrepancy=None, rtol=1e-6, max_steps=5000),
        "multiscale": Clean(
            algorithm="multiscale", scales=(0.0, 2.0), discrepancy=None, rtol=1e-6, max_steps=5000
        ),
        "noise": Clean(),
    }
