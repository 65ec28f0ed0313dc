"""Data fidelities: how far a prediction is from the data."""

from ._base import Fidelity as Fidelity
from ._blocks import BlockFidelity as BlockFidelity
from ._composed import Composed as Composed
from ._counts import LogPoisson as LogPoisson
from ._counts import PoissonKL as PoissonKL
from ._counts import ShiftedPoisson as ShiftedPoisson
from ._function import FunctionFidelity as FunctionFidelity
from ._indicators import Box as Box
from ._indicators import L2Ball as L2Ball
from ._least_squares import LeastSquares as LeastSquares
from ._magnitude import Amplitude as Amplitude
from ._magnitude import RicianLikelihood as RicianLikelihood
from ._robust import L1 as L1
from ._robust import Huber as Huber
from ._robust import StudentT as StudentT
from ._speckle import FisherTippettLikelihood as FisherTippettLikelihood
from ._speckle import GammaLikelihood as GammaLikelihood
from ._weighted import WeightedLeastSquares as WeightedLeastSquares
from ._zero import Zero as Zero

__all__ = [
    "L1",
    "Amplitude",
    "BlockFidelity",
    "Box",
    "Composed",
    "Fidelity",
    "FisherTippettLikelihood",
    "FunctionFidelity",
    "GammaLikelihood",
    "Huber",
    "L2Ball",
    "LeastSquares",
    "LogPoisson",
    "PoissonKL",
    "RicianLikelihood",
    "ShiftedPoisson",
    "StudentT",
    "WeightedLeastSquares",
    "Zero",
]
