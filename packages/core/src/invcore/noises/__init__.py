"""Noise models: they sample, and they know their likelihood."""

from ._base import Noise as Noise
from ._gaussian import GaussianNoise as GaussianNoise
from ._none import NoNoise as NoNoise

__all__ = ["GaussianNoise", "NoNoise", "Noise"]
