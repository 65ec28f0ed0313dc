"""Operators: spaces, the base classes, algebra, linear solves."""

from ..spaces import Space as Space
from ..spaces import SpaceLike as SpaceLike
from ..spaces import Vector as Vector
from ._algebra import block_diag as block_diag
from ._algebra import stack as stack
from ._autograd import under_transform as under_transform
from ._base import LinearOperator as LinearOperator
from ._base import Operator as Operator
from ._basic import Identity as Identity
from ._basic import Mask as Mask
from ._basic import Matrix as Matrix
from ._blur_kernels import MotionKernel as MotionKernel
from ._blur_kernels import disk_kernel as disk_kernel
from ._blur_kernels import gaussian_kernel as gaussian_kernel
from ._casts import AsComplex as AsComplex
from ._casts import RealPart as RealPart
from ._channels import ChannelMatrix as ChannelMatrix
from ._channels import Demosaic as Demosaic
from ._channels import decolorize as decolorize
from ._compressed_sensing import CompressedSensing as CompressedSensing
from ._compressed_sensing import StructuredRandom as StructuredRandom
from ._compressed_sensing import compressed_sensing as compressed_sensing
from ._compressed_sensing import structured_random as structured_random
from ._convolution import Convolution as Convolution
from ._convolution import KernelConvolution as KernelConvolution
from ._coordinates import affine_coordinates as affine_coordinates
from ._coordinates import rigid_coordinates as rigid_coordinates
from ._coordinates import thin_plate_spline as thin_plate_spline
from ._crop import Crop as Crop
from ._crop import Pad as Pad
from ._differences import Differences as Differences
from ._fourier import FourierTransform as FourierTransform
from ._fourier import RealFourierTransform as RealFourierTransform
from ._hadamard import HadamardTransform as HadamardTransform
from ._hartley import HartleyTransform as HartleyTransform
from ._imresize import Imresize as Imresize
from ._kaiser import bump as bump
from ._kaiser import kaiser_window as kaiser_window
from ._kaiser import sinc_kernel as sinc_kernel
from ._least_squares import least_squares as least_squares
from ._measure import MeasureSamples as MeasureSamples
from ._multiresolution import Level as Level
from ._multiresolution import multiresolution as multiresolution
from ._nufft import NUFFT as NUFFT
from ._pansharpen import pansharpen as pansharpen
from ._patch_operator import Patches as Patches
from ._periodic_padding import liu_jia_pad as liu_jia_pad
from ._periodic_padding import transfer_function as transfer_function
from ._random_kernels import GaussianKernel as GaussianKernel
from ._random_kernels import ResamplingKernel as ResamplingKernel
from ._random_masks import RandomMask as RandomMask
from ._resampling import Downsample as Downsample
from ._resampling import Upsample as Upsample
from ._resampling import coarse as coarse
from ._resampling import coarse_convolution as coarse_convolution
from ._resampling import resampling_kernel as resampling_kernel
from ._solve import solve as solve
from ._spherical_harmonics import SphericalHarmonics as SphericalHarmonics
from ._svd import SVD as SVD
from ._symmetry import Symmetry as Symmetry
from ._symmetry import dihedral_group as dihedral_group
from ._symmetry import random_shifts as random_shifts
from ._symmetry import rotations as rotations
from ._symmetry import virtual_operators as virtual_operators
from ._trigonometric import CosineTransform as CosineTransform
from ._trigonometric import SineTransform as SineTransform
from ._undecimated import UndecimatedWaveletTransform as UndecimatedWaveletTransform
from ._warp import Warp as Warp
from ._wavelet_transform import WaveletTransform as WaveletTransform

__all__ = [
    "NUFFT",
    "SVD",
    "AsComplex",
    "ChannelMatrix",
    "CompressedSensing",
    "Convolution",
    "CosineTransform",
    "Crop",
    "Demosaic",
    "Differences",
    "Downsample",
    "FourierTransform",
    "GaussianKernel",
    "HadamardTransform",
    "HartleyTransform",
    "Identity",
    "Imresize",
    "KernelConvolution",
    "Level",
    "LinearOperator",
    "Mask",
    "Matrix",
    "MeasureSamples",
    "MotionKernel",
    "Operator",
    "Pad",
    "Patches",
    "RandomMask",
    "RealFourierTransform",
    "RealPart",
    "ResamplingKernel",
    "SineTransform",
    "Space",
    "SpaceLike",
    "SphericalHarmonics",
    "StructuredRandom",
    "Symmetry",
    "UndecimatedWaveletTransform",
    "Upsample",
    "Vector",
    "Warp",
    "WaveletTransform",
    "affine_coordinates",
    "block_diag",
    "bump",
    "coarse",
    "coarse_convolution",
    "compressed_sensing",
    "decolorize",
    "dihedral_group",
    "disk_kernel",
    "gaussian_kernel",
    "kaiser_window",
    "least_squares",
    "liu_jia_pad",
    "multiresolution",
    "pansharpen",
    "random_shifts",
    "resampling_kernel",
    "rigid_coordinates",
    "rotations",
    "sinc_kernel",
    "solve",
    "stack",
    "structured_random",
    "thin_plate_spline",
    "transfer_function",
    "under_transform",
    "virtual_operators",
]
