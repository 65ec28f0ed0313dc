"""Operators: spaces, the base classes, algebra, linear solves."""

from ._algebra import block_diag as block_diag
from ._algebra import stack as stack
from ._base import LinearOperator as LinearOperator
from ._base import Operator as Operator
from ._basic import Identity as Identity
from ._basic import Mask as Mask
from ._basic import Matrix as Matrix
from ._convolution import Convolution as Convolution
from ._convolution import KernelConvolution as KernelConvolution
from ._differences import Differences as Differences
from ._least_squares import least_squares as least_squares
from ._solve import solve as solve
from ._space import Space as Space
from ._space import SpaceLike as SpaceLike
from ._space import Vector as Vector
from ._wavelet_transform import WaveletTransform as WaveletTransform

__all__ = [
    "Convolution",
    "Differences",
    "Identity",
    "KernelConvolution",
    "LinearOperator",
    "Mask",
    "Matrix",
    "Operator",
    "Space",
    "SpaceLike",
    "Vector",
    "WaveletTransform",
    "block_diag",
    "least_squares",
    "solve",
    "stack",
]
