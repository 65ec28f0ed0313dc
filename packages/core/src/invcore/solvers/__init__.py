"""Solvers: frozen configuration, explicit state, one driver loop."""

from ._auto import Ridge as Ridge
from ._auto import ridge_solution as ridge_solution
from ._auto import ridge_weight as ridge_weight
from ._base import Solution as Solution
from ._base import Solver as Solver
from ._base import Status as Status
from ._conjugate_gradient import ConjugateGradient as ConjugateGradient
from ._fista import FISTA as FISTA
from ._gradient_descent import GradientDescent as GradientDescent
from ._lbfgs import LBFGS as LBFGS
from ._problem import Problem as Problem

__all__ = [
    "FISTA",
    "LBFGS",
    "ConjugateGradient",
    "GradientDescent",
    "Problem",
    "Ridge",
    "Solution",
    "Solver",
    "Status",
    "ridge_solution",
    "ridge_weight",
]
