"""Examples of CLEAN and averaged sparsity for the conformance kit: the first of each is tiny."""

from __future__ import annotations


def clean() -> dict[str, object]:
    """Return the three algorithms, and one that stops at the noise."""
    from .._imaging.clean import Clean

    return {
        "tiny": Clean(discrepancy=None, rtol=1e-4, max_steps=500),
        "clark": Clean(algorithm="clark", patch=1, discrepancy=None, rtol=1e-4, max_steps=500),
        "multiscale": Clean(
            algorithm="multiscale", scales=(0.0, 2.0), discrepancy=None, rtol=1e-4, max_steps=500
        ),
        "noise": Clean(),
    }


def sara_frame() -> dict[str, object]:
    """Return frames of three bases, of two on a complex image of odd size, and the whole dictionary."""
    from invcore import Space

    from .._imaging.sara import SaraFrame

    return {
        "tiny": SaraFrame(domain=Space((1, 4, 6)), bases=("dirac", "db1", "db2")),
        "complex, odd": SaraFrame(domain=Space((2, 5, 7), "complex"), bases=("db1", "db3"), levels=1),
        "dictionary": SaraFrame(domain=Space((1, 16, 16))),
    }


def sara() -> dict[str, object]:
    """Return priors of three bases, without a sign, with weights, and the whole dictionary."""
    import torch

    from .._imaging.sara import Sara

    weights = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)) + 0.1
    return {
        "tiny": Sara(bases=("dirac", "db1", "db2"), rtol=1e-8),
        "any sign": Sara(bases=("db1", "db4"), nonnegative=False, rtol=1e-8),
        "reweighted": Sara(bases=("dirac", "db2"), weights=weights, rtol=1e-8),
        "dictionary": Sara(rtol=1e-6),
    }
