"""Examples of core's components for the conformance kit: the first of each is tiny."""

from __future__ import annotations


def wavelet_transforms() -> dict[str, object]:
    """Instances of the operator ``wavelet``."""
    from .operators import Space, WaveletTransform

    return {
        "haar, 5 x 6": WaveletTransform(domain=Space((1, 5, 6)), wavelet="haar", levels=2),
        "db2, complex, shifted": WaveletTransform(
            domain=Space((2, 7, 8), "complex"), wavelet="db2", levels=2, shift=(3, 5)
        ),
        "db4, 3-D": WaveletTransform(domain=Space((1, 8, 9, 12), "complex"), spatial_dims=3),
    }


def mae_metrics() -> dict[str, object]:
    """Instances of the metric ``mae``."""
    from .metrics import MAE

    return {"real": MAE(), "complex": MAE(complex="complex")}


def mse_metrics() -> dict[str, object]:
    """Instances of the metric ``mse``."""
    from .metrics import MSE

    return {"real": MSE(), "complex": MSE(complex="complex")}


def nmse_metrics() -> dict[str, object]:
    """Instances of the metric ``nmse``."""
    from .metrics import NMSE

    return {"real": NMSE(), "complex, fitted": NMSE(complex="complex", fit="scalar")}


def nrmse_metrics() -> dict[str, object]:
    """Instances of the metric ``nrmse``."""
    from .metrics import NRMSE

    return {"real": NRMSE(), "magnitude, fitted": NRMSE(complex="magnitude", fit="scalar")}


def psnr_metrics() -> dict[str, object]:
    """Instances of the metric ``psnr``."""
    from .metrics import PSNR

    return {
        "given range": PSNR(data_range=1.0),
        "range of the reference": PSNR(data_range="max", complex="magnitude"),
    }


def ssim_metrics() -> dict[str, object]:
    """Instances of the metric ``ssim``."""
    from .metrics import SSIM

    return {
        "uniform": SSIM(data_range=1.0, window="uniform", size=3),
        "gaussian": SSIM(data_range="max", complex="magnitude"),
    }


def supervised_losses() -> dict[str, object]:
    """Instances of the loss ``supervised``."""
    from .losses import Supervised
    from .metrics import PSNR

    return {"mse": Supervised(), "psnr": Supervised(metric=PSNR(data_range=1.0, complex="complex"))}


def identities() -> dict[str, object]:
    """Identity on a real image and on a pair of blocks."""
    from .operators import Identity, Space

    pair = (Space((1, 3)), Space((2,), "complex"))
    return {"tiny": Identity(domain=Space((1, 3, 2))), "blocks": Identity(domain=pair)}


def masks() -> dict[str, object]:
    """Real and complex masks, odd sizes."""
    import torch

    from .operators import Mask, Space

    g = torch.Generator().manual_seed(0)
    return {
        "tiny": Mask(mask=torch.rand(1, 3, 2, generator=g) + 0.5, domain=Space((1, 3, 2))),
        "complex": Mask(
            mask=torch.randn(1, 3, 5, dtype=torch.complex64, generator=g), domain=Space((1, 3, 5), "complex")
        ),
        "broadcast": Mask(mask=torch.rand(7, 1, generator=g) + 0.5, domain=Space((2, 7, 5), "complex")),
    }


def matrices() -> dict[str, object]:
    """Wide real and tall complex matrices."""
    import torch

    from .operators import Matrix

    g = torch.Generator().manual_seed(0)
    return {
        "tiny": Matrix(matrix=torch.randn(3, 5, generator=g)),
        "complex": Matrix(matrix=torch.randn(7, 4, dtype=torch.complex64, generator=g)),
    }


def no_noises() -> dict[str, object]:
    """No noise."""
    from .noises import NoNoise

    return {"tiny": NoNoise()}


def gaussian_noises() -> dict[str, object]:
    """One level, and one level per sample."""
    import torch

    from .noises import GaussianNoise

    return {"tiny": GaussianNoise(sigma=0.3), "tensor": GaussianNoise(sigma=torch.tensor(2.0))}


def least_squares_fidelities() -> dict[str, object]:
    """Unit and other precision."""
    from .fidelities import LeastSquares

    return {"tiny": LeastSquares(), "precise": LeastSquares(sigma=0.2)}


def l1_priors() -> dict[str, object]:
    """The ℓ1 norm."""
    from .priors import L1

    return {"tiny": L1()}


def tikhonov_priors() -> dict[str, object]:
    """The squared norm."""
    from .priors import Tikhonov

    return {"tiny": Tikhonov()}


def wavelet_priors() -> dict[str, object]:
    """A fixed transform, random shifts, and all shifts."""
    from .priors import WaveletL1

    return {
        "tiny": WaveletL1(wavelet="haar", levels=1, random_shifts=False),
        "shifts": WaveletL1(wavelet="db2", levels=2),
        "undecimated": WaveletL1(wavelet="haar", levels=1, undecimated=True, rtol=1e-13, max_steps=5000),
    }


def conjugate_gradients() -> dict[str, object]:
    """Automatic and given weight."""
    from .solvers import ConjugateGradient

    return {"tiny": ConjugateGradient(weight=0.1, rtol=1e-6), "auto": ConjugateGradient()}


def fistas() -> dict[str, object]:
    """With a prior, without, and with automatic weight."""
    from .priors import L1
    from .solvers import FISTA

    return {
        "tiny": FISTA(prior=L1(), weight=0.1, rtol=1e-6, max_steps=2000),
        "smooth": FISTA(rtol=1e-6, max_steps=2000),
        "auto": FISTA(prior=L1(), max_steps=2000),
    }
