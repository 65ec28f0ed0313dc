"""Instances of core's metrics for the conformance kit: the first of each is tiny."""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F

from ..metrics import (
    BRISQUE,
    ERGAS,
    GMSD,
    L1L2,
    LPIPS,
    MAE,
    MSE,
    MSSSIM,
    NIQE,
    NMSE,
    NRMSE,
    PSNR,
    QNR,
    SNR,
    SSIM,
    BlurStrength,
    CosineSimilarity,
    HaarPSI,
    Hausdorff,
    LpNorm,
    PSFError,
    SharpnessIndex,
    SpectralAngle,
    SpikeMatching,
)
from ..testing._metrics import _blurred, natural_image


def blur_strength() -> dict[str, object]:
    """Instances of the metric ``blur_strength``."""
    return {"images": BlurStrength(), "volumes": BlurStrength(size=5, spatial_dims=3)}


def brisque() -> dict[str, object]:
    """Instances of the metric ``brisque``, fitted to the blur of images like those of the kit."""
    sigmas = torch.linspace(0, 4, 9)
    leaves = [natural_image((1, 64, 64), seed) for seed in range(12)]
    images = torch.stack([_blurred(x, 2, float(sigma)) for x in leaves for sigma in sigmas])
    features = BRISQUE(data_range=1.0).features(images)
    return {"blur": BRISQUE.fit(features, sigmas.repeat(len(leaves)), data_range=1.0, centers=40)}


def cosine() -> dict[str, object]:
    """Instances of the metric ``cosine``."""
    return {"real": CosineSimilarity(), "complex": CosineSimilarity(complex="complex")}


def ergas() -> dict[str, object]:
    """Instances of the metric ``ergas``."""
    return {"four": ERGAS(factor=4.0), "complex": ERGAS(factor=2.0, complex="complex")}


def gmsd() -> dict[str, object]:
    """Instances of the metric ``gmsd``."""
    return {"as published": GMSD(data_range=1.0), "finest scale": GMSD(data_range="max", subsample=False)}


def haarpsi() -> dict[str, object]:
    """Instances of the metric ``haarpsi``."""
    return {
        "photographs": HaarPSI(data_range=1.0),
        "medical": HaarPSI(data_range="max", c=5.0, alpha=4.9, complex="magnitude"),
    }


def hausdorff() -> dict[str, object]:
    """Instances of the metric ``hausdorff``."""
    return {"tiny": Hausdorff()}


def l1l2() -> dict[str, object]:
    """Instances of the metric ``l1l2``."""
    return {"half": L1L2(), "mostly squared, complex": L1L2(alpha=0.1, complex="complex")}


def lp_norm() -> dict[str, object]:
    """Instances of the metric ``lp_norm``."""
    return {
        "p = 3": LpNorm(p=3.0, complex="complex"),
        "largest": LpNorm(p=float("inf")),
        "signs": LpNorm(p=1.0, onesided=True),
    }


def lpips() -> dict[str, object]:
    """Instances of the metric ``lpips``."""
    return {"alex": LPIPS(data_range=1.0)}


def mae() -> dict[str, object]:
    """Instances of the metric ``mae``."""
    return {"real": MAE(), "complex": MAE(complex="complex")}


def ms_ssim() -> dict[str, object]:
    """Instances of the metric ``ms_ssim``."""
    return {
        "two scales": MSSSIM(data_range=1.0, weights=(0.4, 0.6)),
        "volumes": MSSSIM(
            data_range="max", weights=(0.4, 0.6), sigma=0.7, complex="magnitude", spatial_dims=3
        ),
    }


def mse() -> dict[str, object]:
    """Instances of the metric ``mse``."""
    return {"real": MSE(), "complex": MSE(complex="complex")}


def niqe() -> dict[str, object]:
    """Instances of the metric ``niqe``, with a model of images like those that the conformance kit shows."""
    leaves = [natural_image((1, 64, 64), seed) for seed in range(16)]
    fitted = NIQE.fit(leaves, data_range=1.0, patch_size=32, stride=16)
    return {
        "dead leaves": fitted,
        "magnitudes": dataclasses.replace(fitted, complex="magnitude"),
    }


def nmse() -> dict[str, object]:
    """Instances of the metric ``nmse``."""
    return {"real": NMSE(), "complex, fitted": NMSE(complex="complex", fit="scalar")}


def nrmse() -> dict[str, object]:
    """Instances of the metric ``nrmse``."""
    return {"real": NRMSE(), "magnitude, fitted": NRMSE(complex="magnitude", fit="scalar")}


def psnr() -> dict[str, object]:
    """Instances of the metric ``psnr``."""
    return {
        "given range": PSNR(data_range=1.0),
        "range of the reference": PSNR(data_range="max", complex="magnitude"),
    }


def psf_error() -> dict[str, object]:
    """Instances of the metric ``psf_error``."""
    return {"planes": PSFError(), "volumes": PSFError(spatial_dims=3, normalize=False)}


def qnr() -> dict[str, object]:
    """Instances of the metric ``qnr``, with measurements of the image that the conformance kit shows."""
    x = natural_image((3, 96, 96))
    pan = x.mean(0, keepdim=True)
    return {
        "factor 2": QNR(multispectral=F.avg_pool2d(x, 2), panchromatic=pan),
        "factor 3": QNR(multispectral=F.avg_pool2d(x, 3), panchromatic=pan, p=2.0, q=2.0, size=8),
    }


def sam() -> dict[str, object]:
    """Instances of the metric ``sam``."""
    return {"real": SpectralAngle(), "complex": SpectralAngle(complex="complex")}


def sharpness() -> dict[str, object]:
    """Instances of the metric ``sharpness``."""
    return {"periodic": SharpnessIndex(), "raw": SharpnessIndex(periodic=False, complex="magnitude")}


def spike_matching() -> dict[str, object]:
    """Instances of the metric ``spike_matching``."""
    return {"jaccard": SpikeMatching(tolerance=0.1)}


def snr() -> dict[str, object]:
    """Instances of the metric ``snr``."""
    return {"real": SNR(), "complex, cropped": SNR(complex="complex", crop=2)}


def ssim() -> dict[str, object]:
    """Instances of the metric ``ssim``."""
    return {
        "uniform": SSIM(data_range=1.0, window="uniform", size=3),
        "gaussian": SSIM(data_range="max", complex="magnitude"),
    }
