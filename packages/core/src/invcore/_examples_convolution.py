"""Examples of convolution and resampling for the conformance kit: the first of each is tiny."""

from __future__ import annotations


def convolutions() -> dict[str, object]:
    """Every boundary, both methods, one to three dimensions, even and odd kernels."""
    import torch

    from .operators import Convolution, Space

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


def kernel_convolutions() -> dict[str, object]:
    """A kernel for each channel and one for all, real and complex images."""
    import torch

    from .operators import Convolution, Space

    g = torch.Generator().manual_seed(0)
    A = Convolution(kernel=torch.zeros(1, 3, 2), domain=Space((2, 5, 4)), boundary="reflect")
    B = Convolution(kernel=torch.zeros(2, 3), domain=Space((2, 6), "complex"), method="direct")
    return {
        "tiny": A.kernel_operator(torch.randn(2, 5, 4, generator=g)),
        "complex image, real kernel": B.kernel_operator(
            torch.randn(2, 6, dtype=torch.complex64, generator=g)
        ),
    }


def downsamplings() -> dict[str, object]:
    """Kernels by name and as tensors, even and odd factors."""
    import torch

    from .operators import Downsample, Space

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


def upsamplings() -> dict[str, object]:
    """Kernels by name and as tensors."""
    import torch

    from .operators import Space, Upsample

    g = torch.Generator().manual_seed(0)
    return {
        "tiny": Upsample(domain=Space((1, 2, 3)), kernel=torch.randn(1, 3, 4, generator=g)),
        "bilinear, complex": Upsample(domain=Space((2, 5), "complex"), factor=3, kernel="bilinear"),
        "bicubic": Upsample(domain=Space((1, 5, 4))),
    }
