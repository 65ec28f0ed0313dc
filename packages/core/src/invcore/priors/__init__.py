"""Priors: what is known of the image before the data."""

from ._base import Prior as Prior
from ._group import GroupL12 as GroupL12
from ._l1 import L1 as L1
from ._tikhonov import Tikhonov as Tikhonov
from ._tv import TV as TV
from ._tv import TVSolution as TVSolution
from ._wavelet_l1 import WaveletL1 as WaveletL1

__all__ = ["L1", "TV", "GroupL12", "Prior", "TVSolution", "Tikhonov", "WaveletL1"]
