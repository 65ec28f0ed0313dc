"""Data fidelities: how far a prediction is from the data."""

from ._base import Fidelity as Fidelity
from ._least_squares import LeastSquares as LeastSquares

__all__ = ["Fidelity", "LeastSquares"]
