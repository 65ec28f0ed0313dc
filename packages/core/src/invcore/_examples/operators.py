"""Instances of core's operators for the conformance kit: the first of each is tiny."""

from __future__ import annotations

import torch

from ..operators import (
    NUFFT,
    SVD,
    AsComplex,
    ChannelMatrix,
    Convolution,
    CosineTransform,
    Crop,
    Demosaic,
    Differences,
    Downsample,
    FourierTransform,
    GaussianKernel,
    HadamardTransform,
    HartleyTransform,
    Identity,
    Imresize,
    Mask,
    Matrix,
    MeasureSamples,
    MotionKernel,
    Pad,
    Patches,
    RandomMask,
    RealFourierTransform,
    RealPart,
    ResamplingKernel,
    SineTransform,
    Space,
    SphericalHarmonics,
    Symmetry,
    UndecimatedWaveletTransform,
    Upsample,
    Warp,
    WaveletTransform,
)


def as_complex() -> dict[str, object]:
    """Instances of the operator ``as_complex``."""
    return {"tiny": AsComplex(domain=Space((1, 3, 4)))}


def channel_matrix() -> dict[str, object]:
    """Instances of the operator ``channel_matrix``."""
    g = torch.Generator().manual_seed(0)
    return {
        "tiny": ChannelMatrix(matrix=torch.rand(2, 3, generator=g), domain=Space((3, 2, 3))),
        "complex": ChannelMatrix(
            matrix=torch.randn(4, 2, dtype=torch.complex64, generator=g), domain=Space((2, 3, 5), "complex")
        ),
        "real on complex": ChannelMatrix(
            matrix=torch.randn(3, 2, generator=g), domain=Space((2, 5), "complex")
        ),
    }


def compressed_sensing() -> dict[str, object]:
    """Instances of the operator ``compressed_sensing``."""
    from ..operators import compressed_sensing

    return {
        "tiny": compressed_sensing(domain=Space((1, 3, 4)), measurements=7),
        "complex": compressed_sensing(domain=Space((2, 3, 3), "complex"), measurements=20, seed=1),
        "channelwise": compressed_sensing(domain=Space((2, 5, 3)), measurements=6, channelwise=True, seed=2),
    }


def convolution() -> dict[str, object]:
    """Every boundary, both methods, one to three dimensions, even and odd kernels."""
    g = torch.Generator().manual_seed(0)

    def kernel(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.randn(*shape, dtype=dtype, generator=g)

    plane, two = Space((1, 5, 4)), Space((2, 5, 6), "complex")
    return {
        "tiny": Convolution(kernel=kernel(1, 3, 2), domain=plane),
        "valid": Convolution(kernel=kernel(1, 2, 3), domain=plane, boundary="valid"),
        "zero, fft": Convolution(kernel=kernel(1, 4, 3), domain=plane, boundary="zero", method="fft"),
        "reflect, direct": Convolution(
            kernel=kernel(2, 3, 4), domain=two, boundary="reflect", method="direct"
        ),
        "replicate, complex kernel": Convolution(
            kernel=kernel(2, 4, 3, dtype=torch.complex64), domain=two, boundary="replicate"
        ),
        "circular, direct, larger than the image": Convolution(
            kernel=kernel(1, 9), domain=Space((2, 4)), method="direct"
        ),
        "3-D": Convolution(kernel=kernel(1, 3, 2, 3), domain=Space((2, 4, 5, 3)), boundary="reflect"),
    }


def crop() -> dict[str, object]:
    """Instances of the operator ``crop``."""
    return {
        "tiny": Crop(domain=Space((1, 4, 5)), size=(3, 2)),
        "complex, offset": Crop(domain=Space((2, 7, 6), "complex"), size=(4, 6), offset=(3, 0)),
    }


def dct() -> dict[str, object]:
    """Instances of the operator ``dct``."""
    return {
        "tiny": CosineTransform(domain=Space((1, 3, 4))),
        "complex": CosineTransform(domain=Space((2, 5, 6), "complex")),
        "type I, 3-D": CosineTransform(domain=Space((1, 3, 2, 5)), type=1),
    }


def decolorize() -> dict[str, object]:
    """Instances of the operator ``decolorize``."""
    from ..operators import decolorize

    return {
        "tiny": decolorize(domain=Space((3, 2, 3))),
        "flat": decolorize(domain=Space((5, 3, 2), "complex"), weights="flat"),
    }


def demosaic() -> dict[str, object]:
    """Instances of the operator ``demosaic``."""
    return {
        "tiny": Demosaic(domain=Space((3, 3, 4))),
        "gbrg": Demosaic(domain=Space((3, 5, 3), "complex"), pattern="gbrg"),
        "quad": Demosaic(domain=Space((3, 7, 5)), cell=2),
    }


def differences() -> dict[str, object]:
    """Instances of the operator ``differences``."""
    return {
        "tiny": Differences(domain=Space((1, 3, 4))),
        "periodic, complex": Differences(domain=Space((2, 5, 6), "complex"), boundary="periodic"),
        "zero, 3-D, spacing": Differences(
            domain=Space((1, 3, 5, 4)), boundary="zero", spacing=(2.0, 1.0, 0.5)
        ),
        "signal": Differences(domain=Space((7,), "complex"), spatial_dims=1),
    }


def downsample() -> dict[str, object]:
    """Kernels by name and as tensors, even and odd factors."""
    g = torch.Generator().manual_seed(0)
    return {
        "tiny": Downsample(domain=Space((1, 4, 6)), kernel=torch.randn(1, 3, 4, generator=g)),
        "bicubic, complex": Downsample(domain=Space((2, 6, 9), "complex"), factor=3),
        "no filter": Downsample(domain=Space((1, 6, 6)), factor=3, kernel="none"),
        "sinc, 1-D": Downsample(domain=Space((2, 16)), factor=4, kernel="sinc"),
        "gaussian, 3-D": Downsample(domain=Space((1, 4, 4, 2)), kernel="gaussian"),
        "reflect": Downsample(domain=Space((1, 6, 6)), factor=3, boundary="reflect"),
        "valid": Downsample(domain=Space((1, 9, 12)), factor=3, kernel="bilinear", boundary="valid"),
        "complex kernel for each channel": Downsample(
            domain=Space((2, 6, 6), "complex"),
            kernel=torch.randn(2, 2, 3, dtype=torch.complex64, generator=g),
        ),
    }


def dst() -> dict[str, object]:
    """Instances of the operator ``dst``."""
    return {
        "tiny": SineTransform(domain=Space((1, 3, 4))),
        "complex": SineTransform(domain=Space((2, 5, 6), "complex")),
        "type II, 3-D": SineTransform(domain=Space((1, 3, 2, 5)), type=2),
    }


def fft() -> dict[str, object]:
    """Instances of the operator ``fft``."""
    return {
        "tiny": FourierTransform(domain=Space((1, 3, 4), "complex")),
        "centered": FourierTransform(domain=Space((2, 5, 6), "complex"), centered=True),
        "centered, real": FourierTransform(domain=Space((1, 4, 5)), centered=True),
        "3-D": FourierTransform(domain=Space((3, 4, 5), "complex"), spatial_dims=3),
    }


def hadamard() -> dict[str, object]:
    """Instances of the operator ``hadamard``."""
    return {
        "tiny": HadamardTransform(domain=Space((1, 2, 8))),
        "sequency, complex": HadamardTransform(domain=Space((2, 4, 8), "complex"), order="sequency"),
        "dyadic, signal": HadamardTransform(domain=Space((64,)), spatial_dims=1, order="dyadic"),
    }


def hartley() -> dict[str, object]:
    """Instances of the operator ``hartley``."""
    return {
        "tiny": HartleyTransform(Space((1, 3, 4))),
        "signal": HartleyTransform(Space((7,)), spatial_dims=1),
        "3-D": HartleyTransform(Space((1, 3, 2, 4))),
    }


def identity() -> dict[str, object]:
    """Identity on a real image and on a pair of blocks."""
    pair = (Space((1, 3)), Space((2,), "complex"))
    return {"tiny": Identity(domain=Space((1, 3, 2))), "blocks": Identity(domain=pair)}


def imresize() -> dict[str, object]:
    """Instances of the operator ``imresize``."""
    return {
        "tiny": Imresize(Space((1, 5, 4)), scale=0.5),
        "complex, odd sizes": Imresize(Space((2, 5, 7), "complex"), size=(3, 9), kernel="bilinear"),
        "3-D": Imresize(Space((1, 4, 5, 3)), scale=0.7, kernel="lanczos3"),
        "enlarged": Imresize(Space((1, 5)), scale=2.3, kernel="box"),
    }


def kernel_convolution() -> dict[str, object]:
    """A kernel for each channel and one for all, real and complex images."""
    g = torch.Generator().manual_seed(0)
    A = Convolution(kernel=torch.zeros(1, 3, 2), domain=Space((2, 5, 4)), boundary="reflect")
    B = Convolution(kernel=torch.zeros(2, 3), domain=Space((2, 6), "complex"), method="direct")
    return {
        "tiny": A.kernel_operator(torch.randn(2, 5, 4, generator=g)),
        "complex image, real kernel": B.kernel_operator(
            torch.randn(2, 6, dtype=torch.complex64, generator=g)
        ),
    }


def mask() -> dict[str, object]:
    """Real and complex masks, odd sizes."""
    g = torch.Generator().manual_seed(0)
    return {
        "tiny": Mask(mask=torch.rand(1, 3, 2, generator=g) + 0.5, domain=Space((1, 3, 2))),
        "complex": Mask(
            mask=torch.randn(1, 3, 5, dtype=torch.complex64, generator=g), domain=Space((1, 3, 5), "complex")
        ),
        "broadcast": Mask(mask=torch.rand(7, 1, generator=g) + 0.5, domain=Space((2, 7, 5), "complex")),
    }


def mask_random() -> dict[str, object]:
    """Instances of the generator ``mask_random``."""
    return {
        "tiny": RandomMask((3, 4)),
        "rows, exact": RandomMask((16, 5), keep=0.25, axes=(0,), exact=True),
    }


def measure_samples() -> dict[str, object]:
    """Each kernel, on a line and in the plane."""
    pixels = torch.cartesian_prod(torch.arange(6.0), torch.arange(5.0)).reshape(1, 6, 5, 2).double()
    frequencies = torch.arange(-3.0, 4.0, dtype=torch.float64)[:, None] / 8
    return {
        "tiny": MeasureSamples(torch.linspace(0, 1, 5, dtype=torch.float64)[:, None], spikes=2, sigma=0.3),
        "pixel": MeasureSamples(pixels, spikes=3, kernel="pixel", sigma=torch.tensor(1.2), pixel=1.0),
        "fourier": MeasureSamples(frequencies, spikes=3, kernel="fourier"),
    }


def matrix() -> dict[str, object]:
    """Wide real and tall complex matrices."""
    g = torch.Generator().manual_seed(0)
    return {
        "tiny": Matrix(matrix=torch.randn(3, 5, generator=g)),
        "complex": Matrix(matrix=torch.randn(7, 4, dtype=torch.complex64, generator=g)),
    }


def motion_kernel() -> dict[str, object]:
    """Instances of the generator ``motion_kernel``."""
    return {"tiny": MotionKernel(5, steps=20), "long": MotionKernel(9, length=1.0)}


def nufft() -> dict[str, object]:
    """Instances of the operator ``nufft``, as accurate as float64 has it."""
    g = torch.Generator().manual_seed(0)

    def points(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=g) - 0.5

    return {
        "tiny": NUFFT(points(5, 2), Space((1, 3, 4), "complex"), unit="cycles", method="direct"),
        "real, weighted": NUFFT(
            6 * points(7, 2), Space((2, 4, 3)), unit="radians", weights=points(7) + 1, eps=1e-13
        ),
        "signal": NUFFT(points(4, 1), Space((2, 5), "complex"), unit="cycles", eps=1e-13),
        "3-D": NUFFT(points(6, 3), Space((1, 3, 2, 4), "complex"), unit="cycles", eps=1e-13),
    }


def pad() -> dict[str, object]:
    """Instances of the operator ``pad``."""
    return {
        "tiny": Pad(domain=Space((1, 3, 2)), padding=((1, 2), (0, 3))),
        "circular": Pad(domain=Space((2, 3, 4), "complex"), padding=((1, 4), (5, 2)), mode="circular"),
        "reflect": Pad(domain=Space((1, 3, 4)), padding=((2, 5), (1, 0)), mode="reflect"),
        "symmetric": Pad(domain=Space((1, 3, 4)), padding=((3, 2), (9, 1)), mode="symmetric"),
        "replicate, 3-D": Pad(domain=Space((1, 2, 3, 2)), padding=((1, 2), (2, 0), (1, 1)), mode="replicate"),
    }


def pansharpen() -> dict[str, object]:
    """Instances of the operator ``pansharpen``."""
    from ..operators import pansharpen

    return {
        "tiny": pansharpen(domain=Space((2, 4, 4)), factor=2, kernel="box"),
        "weighted": pansharpen(domain=Space((3, 8, 8)), weights="rec601"),
    }


def patches() -> dict[str, object]:
    """Instances of the operator ``patches``."""
    return {
        "tiny": Patches(Space((1, 5)), size=3, stride=2),
        "complex, not to the edge": Patches(Space((2, 6, 7), "complex"), size=(3, 2), stride=(2, 1)),
        "3-D": Patches(Space((1, 4, 5, 3)), size=2),
        "large": Patches(Space((3, 40, 41)), size=8, stride=4),
    }


def real_part() -> dict[str, object]:
    """Instances of the operator ``real_part``."""
    return {"tiny": RealPart(domain=Space((1, 3, 4), "complex"))}


def rfft() -> dict[str, object]:
    """Instances of the operator ``rfft``."""
    return {
        "tiny": RealFourierTransform(domain=Space((1, 3, 4))),
        "isometric": RealFourierTransform(domain=Space((2, 6, 5)), isometric=True),
        "signal": RealFourierTransform(domain=Space((7,)), spatial_dims=1),
        "3-D": RealFourierTransform(domain=Space((1, 3, 2, 4))),
    }


def spherical_harmonics() -> dict[str, object]:
    """Instances of the operator ``spherical_harmonics``."""
    return {
        "tiny": SphericalHarmonics(2),
        "complex, finer grid": SphericalHarmonics(3, channels=2, kind="complex", grid=(6, 9)),
        "large": SphericalHarmonics(24),
    }


def structured_random() -> dict[str, object]:
    """Instances of the operator ``structured_random``."""
    from ..operators import structured_random

    return {
        "tiny": structured_random(domain=Space((1, 3, 4)), measurements=7),
        "phases": structured_random(
            domain=Space((2, 3, 5), "complex"), transform="fft", diagonals="phases", half=True, seed=1
        ),
        "hadamard": structured_random(
            domain=Space((1, 4, 4)), transform="hadamard", layers=1, measurements=9, seed=2
        ),
        "all rows": structured_random(domain=Space((1, 5, 3)), transform="dct", layers=3),
    }


def symmetry() -> dict[str, object]:
    """Instances of the operator ``symmetry``."""
    return {
        "tiny": Symmetry(Space((1, 3, 4)), quarter_turns=3, flip=True),
        "shifted, complex": Symmetry(Space((2, 4, 5, 3), "complex"), shift=(1, -2, 5), quarter_turns=2),
        "signal": Symmetry(Space((1, 7)), shift=(3,), flip=True),
    }


def svd() -> dict[str, object]:
    """Instances of the operator ``svd``, in float64: isometries rounded to float32 are none in float64."""
    g = torch.Generator().manual_seed(0)

    def randn(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        return torch.randn(*shape, dtype=dtype, generator=g)

    plane = Space((1, 4, 6), "complex")
    return {
        "tiny": SVD.of(Matrix(randn(5, 3))),
        "of a convolution": SVD.of(Convolution(randn(1, 3, 2), Space((2, 4, 5)))),
        "of downsampling": SVD.of(Downsample(plane, kernel=randn(1, 3, 2))),
        "of a complex mask": SVD.of(Mask(torch.polar(randn(4, 6).sign().clamp_min(0), randn(4, 6)), plane)),
    }


def undecimated_wavelet() -> dict[str, object]:
    """Instances of the operator ``undecimated_wavelet``."""
    return {
        "tiny": UndecimatedWaveletTransform(domain=Space((1, 3, 4)), wavelet="haar", levels=2),
        "details, complex": UndecimatedWaveletTransform(
            domain=Space((2, 5, 6), "complex"), wavelet="db2", levels=1, approximation=False
        ),
        "signal": UndecimatedWaveletTransform(domain=Space((9,)), spatial_dims=1),
        "3-D": UndecimatedWaveletTransform(
            domain=Space((1, 3, 4, 5)), wavelet="db2", levels=1, spatial_dims=3
        ),
    }


def upsample() -> dict[str, object]:
    """Kernels by name and as tensors."""
    g = torch.Generator().manual_seed(0)
    return {
        "tiny": Upsample(domain=Space((1, 2, 3)), kernel=torch.randn(1, 3, 4, generator=g)),
        "bilinear, complex": Upsample(domain=Space((2, 5), "complex"), factor=3, kernel="bilinear"),
        "bicubic": Upsample(domain=Space((1, 5, 4))),
    }


def warp() -> dict[str, object]:
    """Every boundary, both interpolations, one to three dimensions; coordinates off the kinks."""
    g = torch.Generator().manual_seed(0)

    def near(*shape: int, reach: int) -> torch.Tensor:
        whole = torch.randint(-2, reach + 2, shape, generator=g)
        return whole + 0.25 + 0.5 * torch.rand(*shape, generator=g)

    return {
        "tiny": Warp(near(2, 3, 2, reach=4), Space((1, 4, 4))),
        "cubic, complex": Warp(
            near(2, 2, 2, reach=2),
            Space((2, 5, 4), "complex"),
            interpolation="cubic",
            boundary="circular",
        ),
        "3-D": Warp(near(3, 2, 3, 2, reach=3), Space((1, 3, 4, 3)), boundary="symmetric"),
        "signal": Warp(near(1, 6, reach=5), Space((2, 5)), interpolation="cubic", boundary="replicate"),
    }


def wavelet() -> dict[str, object]:
    """Instances of the operator ``wavelet``."""
    return {
        "haar, 5 x 6": WaveletTransform(domain=Space((1, 5, 6)), wavelet="haar", levels=2),
        "db2, complex, shifted": WaveletTransform(
            domain=Space((2, 7, 8), "complex"), wavelet="db2", levels=2, shift=(3, 5)
        ),
        "db4, 3-D": WaveletTransform(domain=Space((1, 8, 9, 12), "complex"), spatial_dims=3),
    }


def gaussian_kernel() -> dict[str, object]:
    """Instances of the generator ``gaussian_kernel``."""
    return {
        "tiny": GaussianKernel(5),
        "isotropic volume": GaussianKernel((3, 4, 5), isotropic=True, ndim=3),
    }


def resampling_kernel() -> dict[str, object]:
    """Instances of the generator ``resampling_kernel``."""
    return {"tiny": ResamplingKernel(2), "odd": ResamplingKernel(3, names=("box", "none", "sinc"), ndim=1)}
