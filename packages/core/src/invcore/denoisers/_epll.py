"""Denoising by the expected patch log-likelihood."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor

from .._errors import ParameterError
from ..priors._epll import EPLL
from ..priors._gaussian_mixture import GaussianMixture
from ..spaces import space_of
from ._base import Denoiser


class EPLLDenoiser(Denoiser):
    """Expected patch log-likelihood: half-quadratic splitting with a mixture of normal densities for the patches.

    ``D(x, σ)`` is the ``prox`` of `invcore.priors.EPLL` at step σ², with white at ``peak``: seven times all overlapping patches are
    estimated in noise of variance σ²/β, β = 1, 2, ..., 64, by the Wiener filter of their most likely component, and averaged with
    the image. Channels, real and imaginary part are denoised one by one.

    Parameters
    ----------
    mixture : GaussianMixture, optional
        Of one's own images (`invcore.priors.fit_patches`); by default one of photographs, for patches of 8 x 8 pixels.
    patch : int
    peak : float
        The value of white.
    spatial_dims : int
        1, 2 or 3.

    References
    ----------
    D. Zoran and Y. Weiss, "From learning models of natural image patches to whole image restoration", ICCV (2011).

    Examples
    --------
    >>> import torch
    >>> bool((EPLLDenoiser()(torch.full((1, 9, 9), 0.5), 0.1) - 0.5).abs().max() < 1e-5)
    True
    """

    channels: ClassVar[int | None] = None
    sigma_range: ClassVar[tuple[float, float]] = (0.0, math.inf)

    mixture: GaussianMixture | None = None
    patch: int = 8
    peak: float = 1.0
    spatial_dims: int = 2

    def __post_init__(self) -> None:
        if self.spatial_dims not in (1, 2, 3):
            raise ParameterError(f"EPLLDenoiser: spatial_dims must be 1, 2 or 3, got {self.spatial_dims!r}.")
        self._prior()

    @property
    def value_range(self) -> tuple[float, float]:  # type: ignore[override]
        """From black, 0, to white, ``peak``."""
        return (0.0, self.peak)

    def _prior(self) -> EPLL:
        return EPLL(mixture=self.mixture, patch=self.patch, spatial_dims=self.spatial_dims, peak=self.peak)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        d = self.spatial_dims
        space = space_of(x, d + 1)
        step = sigma.reshape(x.shape[: x.ndim - d - 1]).square() if sigma.ndim else sigma.square()
        return self._prior().prox(x, step, space)
