"""The two images of a pansharpening satellite."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from ..spaces import Space
from ._algebra import stack
from ._base import LinearOperator
from ._channels import decolorize
from ._resampling import Downsample, Filter


def pansharpen(
    *,
    domain: Space,
    factor: int = 4,
    weights: Literal["rec601", "rec709", "flat"] | tuple[float, ...] = "flat",
    kernel: Filter | Tensor = "gaussian",
) -> LinearOperator:
    """A coarse image of all bands beside a sharp one of their weighted sum: a stack of two operators.

    The data are ``(multispectral, panchromatic)``; `invcore.noises.BlockNoise` gives each its own noise,
    `invcore.models.Brovey` is the classical fusion, and `invcore.metrics.QNR` judges one without a reference.

    Parameters
    ----------
    domain : Space
        ``(band, y, x)``, each axis a multiple of ``factor``.
    factor : int
        Ratio of the pixel sizes.
    weights : {"rec601", "rec709", "flat"} or tuple of float
        Response of the panchromatic sensor to each band, as of `decolorize`.
    kernel : str or Tensor
        Of `Downsample`: the transfer function of the multispectral sensor.

    Returns
    -------
    LinearOperator
        ``stack([Downsample(...), decolorize(...)])``.

    Raises
    ------
    ShapeError, ParameterError

    References
    ----------
    G. Vivone et al., "A critical comparison among pansharpening algorithms", IEEE Trans. Geosci. Remote Sens.
    53 (2015).

    Examples
    --------
    >>> import torch
    >>> A = pansharpen(domain=Space((4, 8, 8)), factor=4)
    >>> [tuple(y.shape) for y in A(torch.ones(4, 8, 8))]
    [(4, 2, 2), (1, 8, 8)]
    """
    coarse = Downsample(domain, factor=factor, kernel=kernel)
    return stack([coarse, decolorize(domain=domain, weights=weights)])  # type: ignore[return-value]
