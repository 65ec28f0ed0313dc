"""Noise models: they sample, and they know their likelihood."""

from ._additive import GaussianMapNoise as GaussianMapNoise
from ._additive import LaplaceNoise as LaplaceNoise
from ._additive import UniformNoise as UniformNoise
from ._base import EntryNoise as EntryNoise
from ._base import Noise as Noise
from ._blocks import BlockNoise as BlockNoise
from ._compose import Compose as Compose
from ._counts import LogPoissonNoise as LogPoissonNoise
from ._counts import PoissonGaussianNoise as PoissonGaussianNoise
from ._counts import PoissonNoise as PoissonNoise
from ._estimate import estimate_sigma as estimate_sigma
from ._function import FunctionNoise as FunctionNoise
from ._gaussian import GaussianNoise as GaussianNoise
from ._generators import GainUniform as GainUniform
from ._generators import SigmaUniform as SigmaUniform
from ._magnitude import RicianNoise as RicianNoise
from ._none import NoNoise as NoNoise
from ._sensor import Quantize as Quantize
from ._sensor import SaltPepperNoise as SaltPepperNoise
from ._sensor import Saturate as Saturate
from ._speckle import FisherTippettNoise as FisherTippettNoise
from ._speckle import GammaNoise as GammaNoise
from ._thinning import Thinning as Thinning

__all__ = [
    "BlockNoise",
    "Compose",
    "EntryNoise",
    "FisherTippettNoise",
    "FunctionNoise",
    "GainUniform",
    "GammaNoise",
    "GaussianMapNoise",
    "GaussianNoise",
    "LaplaceNoise",
    "LogPoissonNoise",
    "NoNoise",
    "Noise",
    "PoissonGaussianNoise",
    "PoissonNoise",
    "Quantize",
    "RicianNoise",
    "SaltPepperNoise",
    "Saturate",
    "SigmaUniform",
    "Thinning",
    "UniformNoise",
    "estimate_sigma",
]
