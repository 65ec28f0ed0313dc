import numpy as np
import pytest


@pytest.fixture(scope="session")
def rates():
    """Ideal counts for each pulse: a return upon background."""

    def counts(bins, total, background, *, at=0.4, width=2.0):
        t = np.arange(bins)
        bell = np.exp(-0.5 * ((t - at * bins) / width) ** 2)
        return total * ((1 - background) * bell / bell.sum() + background / bins)

    return counts
