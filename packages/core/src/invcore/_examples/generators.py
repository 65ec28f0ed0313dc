"""Instances of core's combined generators for the conformance kit: the first of each is tiny."""

from __future__ import annotations

from ..generators import Joint, Mixture
from ..noises import GainUniform, SigmaUniform
from ..operators import GaussianKernel, MotionKernel


def joint() -> dict[str, object]:
    """A kernel by name, and a noise level."""
    return {"tiny": Joint((("kernel", GaussianKernel(5)), SigmaUniform(0.0, 0.1)))}


def mixture() -> dict[str, object]:
    """Kernels, and dicts of the same names."""
    levels = (GainUniform(0.1, 0.2), GainUniform(1.0, 2.0, scale="log"))
    return {
        "tiny": Mixture((GaussianKernel(5), MotionKernel(5)), shares=(0.25, 0.75)),
        "levels": Mixture(levels),
    }
