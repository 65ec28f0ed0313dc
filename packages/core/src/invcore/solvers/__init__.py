"""Solvers: frozen configuration, explicit state, one driver loop."""

from .._problem import Problem as Problem
from ._admm import ADMM as ADMM
from ._anderson import Anderson as Anderson
from ._asd_pocs import ASDPOCS as ASDPOCS
from ._auto import Auto as Auto
from ._auto import Choice as Choice
from ._base import Solver as Solver
from ._blind import Blind as Blind
from ._blind import BlindWithSolver as BlindWithSolver
from ._blind_alternating import BlindAlternating as BlindAlternating
from ._blind_richardson_lucy import BlindRichardsonLucy as BlindRichardsonLucy
from ._bsrem import BSREM as BSREM
from ._cgls import CGLS as CGLS
from ._chambolle_pock import ChambollePock as ChambollePock
from ._condat_vu import CondatVu as CondatVu
from ._conjugate_gradient import ConjugateGradient as ConjugateGradient
from ._douglas_rachford import DouglasRachford as DouglasRachford
from ._fista import FISTA as FISTA
from ._gauss_newton import GaussNewton as GaussNewton
from ._gauss_newton import LevenbergMarquardt as LevenbergMarquardt
from ._gradient_descent import GradientDescent as GradientDescent
from ._heavy_ball import HeavyBall as HeavyBall
from ._hqs import HalfQuadraticSplitting as HalfQuadraticSplitting
from ._hyperbolic import Hyperbolic as Hyperbolic
from ._inertial import Inertial as Inertial
from ._irls import IRLS as IRLS
from ._kaczmarz import Kaczmarz as Kaczmarz
from ._lbfgs import LBFGS as LBFGS
from ._marginal_likelihood import MarginalLikelihood as MarginalLikelihood
from ._mirror import MirrorDescent as MirrorDescent
from ._mlem import OSEM as OSEM
from ._mlem import RichardsonLucy as RichardsonLucy
from ._pogm import POGM as POGM
from ._potentials import BoltzmannShannon as BoltzmannShannon
from ._potentials import BurgEntropy as BurgEntropy
from ._potentials import Energy as Energy
from ._potentials import Potential as Potential
from ._proximal_gradient import ProximalGradient as ProximalGradient
from ._scaled_proximal_gradient import ScaledProximalGradient as ScaledProximalGradient
from ._sirt import SART as SART
from ._sirt import SIRT as SIRT
from ._sliding_frank_wolfe import SlidingFrankWolfe as SlidingFrankWolfe
from ._solution import Solution as Solution
from ._solution import Status as Status
from ._subsets import SAGA as SAGA
from ._subsets import SVRG as SVRG
from ._support import Support as Support
from ._trace import Trace as Trace
from ._variable_projection import VariableProjection as VariableProjection

__all__ = [
    "ADMM",
    "ASDPOCS",
    "BSREM",
    "CGLS",
    "FISTA",
    "IRLS",
    "LBFGS",
    "OSEM",
    "POGM",
    "SAGA",
    "SART",
    "SIRT",
    "SVRG",
    "Anderson",
    "Auto",
    "Blind",
    "BlindAlternating",
    "BlindRichardsonLucy",
    "BlindWithSolver",
    "BoltzmannShannon",
    "BurgEntropy",
    "ChambollePock",
    "Choice",
    "CondatVu",
    "ConjugateGradient",
    "DouglasRachford",
    "Energy",
    "GaussNewton",
    "GradientDescent",
    "HalfQuadraticSplitting",
    "HeavyBall",
    "Hyperbolic",
    "Inertial",
    "Kaczmarz",
    "LevenbergMarquardt",
    "MarginalLikelihood",
    "MirrorDescent",
    "Potential",
    "Problem",
    "ProximalGradient",
    "RichardsonLucy",
    "ScaledProximalGradient",
    "SlidingFrankWolfe",
    "Solution",
    "Solver",
    "Status",
    "Support",
    "Trace",
    "VariableProjection",
]
