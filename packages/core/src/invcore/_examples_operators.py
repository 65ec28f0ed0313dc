"""Examples of core's operators for the conformance kit: the first of each is tiny."""

from __future__ import annotations


def differences() -> dict[str, object]:
    """Instances of the operator ``differences``."""
    from .operators import Differences, Space

    return {
        "tiny": Differences(domain=Space((1, 3, 4))),
        "periodic, complex": Differences(domain=Space((2, 5, 6), "complex"), boundary="periodic"),
        "zero, 3-D, spacing": Differences(
            domain=Space((1, 3, 5, 4)), boundary="zero", spacing=(2.0, 1.0, 0.5)
        ),
        "signal": Differences(domain=Space((7,), "complex"), spatial_dims=1),
    }


def fourier_transforms() -> dict[str, object]:
    """Instances of the operator ``fft``."""
    from .operators import FourierTransform, Space

    return {
        "tiny": FourierTransform(domain=Space((1, 3, 4), "complex")),
        "centered": FourierTransform(domain=Space((2, 5, 6), "complex"), centered=True),
        "centered, real": FourierTransform(domain=Space((1, 4, 5)), centered=True),
        "3-D": FourierTransform(domain=Space((3, 4, 5), "complex"), spatial_dims=3),
    }


def real_fourier_transforms() -> dict[str, object]:
    """Instances of the operator ``rfft``."""
    from .operators import RealFourierTransform, Space

    return {
        "tiny": RealFourierTransform(domain=Space((1, 3, 4))),
        "isometric": RealFourierTransform(domain=Space((2, 6, 5)), isometric=True),
        "signal": RealFourierTransform(domain=Space((7,)), spatial_dims=1),
        "3-D": RealFourierTransform(domain=Space((1, 3, 2, 4))),
    }


def cosine_transforms() -> dict[str, object]:
    """Instances of the operator ``dct``."""
    from .operators import CosineTransform, Space

    return {
        "tiny": CosineTransform(domain=Space((1, 3, 4))),
        "complex": CosineTransform(domain=Space((2, 5, 6), "complex")),
        "type I, 3-D": CosineTransform(domain=Space((1, 3, 2, 5)), type=1),
    }


def sine_transforms() -> dict[str, object]:
    """Instances of the operator ``dst``."""
    from .operators import SineTransform, Space

    return {
        "tiny": SineTransform(domain=Space((1, 3, 4))),
        "complex": SineTransform(domain=Space((2, 5, 6), "complex")),
        "type II, 3-D": SineTransform(domain=Space((1, 3, 2, 5)), type=2),
    }


def hadamard_transforms() -> dict[str, object]:
    """Instances of the operator ``hadamard``."""
    from .operators import HadamardTransform, Space

    return {
        "tiny": HadamardTransform(domain=Space((1, 2, 8))),
        "sequency, complex": HadamardTransform(domain=Space((2, 4, 8), "complex"), order="sequency"),
        "dyadic, signal": HadamardTransform(domain=Space((64,)), spatial_dims=1, order="dyadic"),
    }


def crops() -> dict[str, object]:
    """Instances of the operator ``crop``."""
    from .operators import Crop, Space

    return {
        "tiny": Crop(domain=Space((1, 4, 5)), size=(3, 2)),
        "complex, offset": Crop(domain=Space((2, 7, 6), "complex"), size=(4, 6), offset=(3, 0)),
    }


def pads() -> dict[str, object]:
    """Instances of the operator ``pad``."""
    from .operators import Pad, Space

    return {
        "tiny": Pad(domain=Space((1, 3, 2)), padding=((1, 2), (0, 3))),
        "circular": Pad(domain=Space((2, 3, 4), "complex"), padding=((1, 4), (5, 2)), mode="circular"),
        "reflect": Pad(domain=Space((1, 3, 4)), padding=((2, 5), (1, 0)), mode="reflect"),
        "symmetric": Pad(domain=Space((1, 3, 4)), padding=((3, 2), (9, 1)), mode="symmetric"),
        "replicate, 3-D": Pad(domain=Space((1, 2, 3, 2)), padding=((1, 2), (2, 0), (1, 1)), mode="replicate"),
    }


def real_parts() -> dict[str, object]:
    """Instances of the operator ``real_part``."""
    from .operators import RealPart, Space

    return {"tiny": RealPart(domain=Space((1, 3, 4), "complex"))}


def as_complexes() -> dict[str, object]:
    """Instances of the operator ``as_complex``."""
    from .operators import AsComplex, Space

    return {"tiny": AsComplex(domain=Space((1, 3, 4)))}


def channel_matrices() -> dict[str, object]:
    """Instances of the operator ``channel_matrix``."""
    import torch

    from .operators import ChannelMatrix, Space

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


def decolorizers() -> dict[str, object]:
    """Instances of the operator ``decolorize``."""
    from .operators import Space, decolorize

    return {
        "tiny": decolorize(domain=Space((3, 2, 3))),
        "flat": decolorize(domain=Space((5, 3, 2), "complex"), weights="flat"),
    }


def demosaics() -> dict[str, object]:
    """Instances of the operator ``demosaic``."""
    from .operators import Demosaic, Space

    return {
        "tiny": Demosaic(domain=Space((3, 3, 4))),
        "gbrg": Demosaic(domain=Space((3, 5, 3), "complex"), pattern="gbrg"),
    }


def compressed_sensings() -> dict[str, object]:
    """Instances of the operator ``compressed_sensing``."""
    from .operators import Space, compressed_sensing

    return {
        "tiny": compressed_sensing(domain=Space((1, 3, 4)), measurements=7),
        "complex": compressed_sensing(domain=Space((2, 3, 3), "complex"), measurements=20, seed=1),
        "channelwise": compressed_sensing(domain=Space((2, 5, 3)), measurements=6, channelwise=True, seed=2),
    }


def structured_randoms() -> dict[str, object]:
    """Instances of the operator ``structured_random``."""
    from .operators import Space, structured_random

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


def undecimated_wavelets() -> dict[str, object]:
    """Instances of the operator ``undecimated_wavelet``."""
    from .operators import Space, UndecimatedWaveletTransform

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
