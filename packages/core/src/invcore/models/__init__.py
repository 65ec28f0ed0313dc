"""Models: reconstructions ``R(y, physics)`` that are learned, or known in closed form."""

from ._gaussian_restorer import GaussianRestorer as GaussianRestorer

__all__ = ["GaussianRestorer"]
