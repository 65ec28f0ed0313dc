"""Priors: what is known of the image before the data."""

from .._weights import Ridge as Ridge
from .._weights import Weight as Weight
from .._weights import ridge_solution as ridge_solution
from .._weights import ridge_weight as ridge_weight
from ._analysis import Analysis as Analysis
from ._base import Part as Part
from ._base import Prior as Prior
from ._constraints import Box as Box
from ._constraints import NonNegative as NonNegative
from ._epll import EPLL as EPLL
from ._epll import PatchModel as PatchModel
from ._epll import PatchPrior as PatchPrior
from ._epll import fit_patches as fit_patches
from ._fire import Cycle as Cycle
from ._fire import FiRe as FiRe
from ._from_denoiser import RED as RED
from ._from_denoiser import GradientStep as GradientStep
from ._from_denoiser import PnP as PnP
from ._function import FunctionPrior as FunctionPrior
from ._gaussian_mixture import GaussianMixture as GaussianMixture
from ._group import GroupL12 as GroupL12
from ._hessian import HessianSchatten as HessianSchatten
from ._l1 import L1 as L1
from ._linf import LInf as LInf
from ._low_rank import Nuclear as Nuclear
from ._lp import Lp as Lp
from ._quadratic import Quadratic as Quadratic
from ._realizations import IndependentRealizations as IndependentRealizations
from ._relative_difference import RelativeDifference as RelativeDifference
from ._restoration import SNORE as SNORE
from ._restoration import Restoration as Restoration
from ._simplex import Simplex as Simplex
from ._sum import SumPrior as SumPrior
from ._tgv import TGV as TGV
from ._tgv import TGVSolution as TGVSolution
from ._tgv import TGVValue as TGVValue
from ._tikhonov import Tikhonov as Tikhonov
from ._tv import TV as TV
from ._tv import TVSolution as TVSolution
from ._wavelet_l1 import WaveletL1 as WaveletL1

__all__ = [
    "EPLL",
    "L1",
    "RED",
    "SNORE",
    "TGV",
    "TV",
    "Analysis",
    "Box",
    "Cycle",
    "FiRe",
    "FunctionPrior",
    "GaussianMixture",
    "GradientStep",
    "GroupL12",
    "HessianSchatten",
    "IndependentRealizations",
    "LInf",
    "Lp",
    "NonNegative",
    "Nuclear",
    "Part",
    "PatchModel",
    "PatchPrior",
    "PnP",
    "Prior",
    "Quadratic",
    "RelativeDifference",
    "Restoration",
    "Ridge",
    "Simplex",
    "SumPrior",
    "TGVSolution",
    "TGVValue",
    "TVSolution",
    "Tikhonov",
    "WaveletL1",
    "Weight",
    "fit_patches",
    "ridge_solution",
    "ridge_weight",
]
