"""Image quality metrics: ``metric(x_hat, x)`` gives one value for each sample of the batch.

Those with ``no_reference = True`` judge an image on its own: ``metric(x_hat)``. Functions compare what
is not an image: lists of sources, distributions.
"""

from ._base import Comparison as Comparison
from ._base import Judgment as Judgment
from ._base import Metric as Metric
from ._base import NoReferenceMetric as NoReferenceMetric
from ._brisque import BRISQUE as BRISQUE
from ._distances import L1L2 as L1L2
from ._distances import SNR as SNR
from ._distances import CosineSimilarity as CosineSimilarity
from ._distances import LpNorm as LpNorm
from ._distributions import bures_wasserstein as bures_wasserstein
from ._distributions import sliced_wasserstein as sliced_wasserstein
from ._gradient_similarity import GMSD as GMSD
from ._haarpsi import HaarPSI as HaarPSI
from ._lpips import LPIPS as LPIPS
from ._niqe import NIQE as NIQE
from ._pixelwise import MAE as MAE
from ._pixelwise import MSE as MSE
from ._pixelwise import NMSE as NMSE
from ._pixelwise import NRMSE as NRMSE
from ._pixelwise import PSNR as PSNR
from ._psf import PSFError as PSFError
from ._sharpness import BlurStrength as BlurStrength
from ._sharpness import SharpnessIndex as SharpnessIndex
from ._spectral import ERGAS as ERGAS
from ._spectral import QNR as QNR
from ._spectral import SpectralAngle as SpectralAngle
from ._spikes import Hausdorff as Hausdorff
from ._spikes import Matching as Matching
from ._spikes import SpikeMatching as SpikeMatching
from ._spikes import match_spikes as match_spikes
from ._ssim import MSSSIM as MSSSIM
from ._ssim import SSIM as SSIM

__all__ = [
    "BRISQUE",
    "ERGAS",
    "GMSD",
    "L1L2",
    "LPIPS",
    "MAE",
    "MSE",
    "MSSSIM",
    "NIQE",
    "NMSE",
    "NRMSE",
    "PSNR",
    "QNR",
    "SNR",
    "SSIM",
    "BlurStrength",
    "Comparison",
    "CosineSimilarity",
    "HaarPSI",
    "Hausdorff",
    "Judgment",
    "LpNorm",
    "Matching",
    "Metric",
    "NoReferenceMetric",
    "PSFError",
    "SharpnessIndex",
    "SpectralAngle",
    "SpikeMatching",
    "bures_wasserstein",
    "match_spikes",
    "sliced_wasserstein",
]
