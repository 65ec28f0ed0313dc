"""Image quality metrics: ``metric(x_hat, x)`` gives one value for each sample of the batch."""

from ._base import Metric as Metric
from ._pixelwise import MAE as MAE
from ._pixelwise import MSE as MSE
from ._pixelwise import NMSE as NMSE
from ._pixelwise import NRMSE as NRMSE
from ._pixelwise import PSNR as PSNR
from ._ssim import SSIM as SSIM

__all__ = ["MAE", "MSE", "NMSE", "NRMSE", "PSNR", "SSIM", "Metric"]
