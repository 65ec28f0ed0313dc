"""Random parameters put together: several at once, or of one kind or another; and seeds of names."""

from ._combined import Joint as Joint
from ._combined import Mixture as Mixture
from ._combined import expectation as expectation
from ._combined import seeded as seeded

__all__ = ["Joint", "Mixture", "expectation", "seeded"]
