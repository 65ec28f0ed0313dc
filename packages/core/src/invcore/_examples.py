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


def wavelet_denoisers() -> dict[str, object]:
    """Instances of the denoiser ``wavelet``."""
    from .denoisers import WaveletDenoiser

    return {
        "haar": WaveletDenoiser(wavelet="haar", levels=2),
        "averaged over shifts": WaveletDenoiser(threshold=2.0, wavelet="db2", spins=2),
    }


def supervised_losses() -> dict[str, object]:
    """Instances of the loss ``supervised``."""
    from .losses import Supervised
    from .metrics import PSNR

    return {"mse": Supervised(), "psnr": Supervised(metric=PSNR(data_range=1.0, complex="complex"))}
