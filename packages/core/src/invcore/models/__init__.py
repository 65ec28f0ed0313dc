"""Models: reconstructions ``R(y, physics)`` that are learned, or known in closed form, and their files."""

from ._brovey import Brovey as Brovey
from ._file import card as card
from ._file import load as load
from ._file import save as save
from ._gaussian_restorer import GaussianRestorer as GaussianRestorer
from ._linear_estimator import LinearEstimator as LinearEstimator
from ._local_mmse import LocalMMSE as LocalMMSE

__all__ = ["Brovey", "GaussianRestorer", "LinearEstimator", "LocalMMSE", "card", "load", "save"]
