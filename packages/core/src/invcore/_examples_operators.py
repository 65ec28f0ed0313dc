"""Examples of core's operators for the conformance kit: the first of each is tiny."""

from __future__ import annotations


def differences() -> dict[str, object]:
    """Instances of the operator ``differences``."""
    from .operators import Differences, Space

    return {
        "tiny": Differences(domain=Space((1, 3, 4))),
        "periodic, complex": Differences(domain=Space((2, 5, 6), "complex"), boundary="periodic"),
        "zero, 3-D, spacing": Differences(
            domain=Space((1, 3, 5, 4)), boundary="zero", spacing=(2.0, 1.0, 0.5)
        ),
        "signal": Differences(domain=Space((7,), "complex"), spatial_dims=1),
    }
