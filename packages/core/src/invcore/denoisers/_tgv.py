"""Denoising with the total generalized variation."""

from __future__ import annotations

import math
import warnings
from typing import ClassVar

import torch
from torch import Tensor

from .._errors import ConvergenceWarning, ParameterError
from .._variation.tgv_dual import solve
from ._base import Denoiser
from ._windows import flat_batch


class TGVDenoiser(Denoiser):
    """Denoising with the second-order total generalized variation: piecewise affine images rather than piecewise constant ones.

    ``D(x) = argmin_z min_w k σ (Σ |∇z - w| + r Σ |E w|) + ‖z - x‖²/2`` with forward differences ∇, the symmetrized backward
    differences E of the vector field w, and Euclidean (Frobenius) norms at each pixel over all channels. Differences that
    would leave the image play no part, so that affine images are left as they are. Solved by a primal-dual
    iteration [2]_, each sample until its duality gap is below ``rtol`` times the primal value.

    Parameters
    ----------
    strength : float
        ``k``: more is smoother.
    ratio : float
        ``r``: the price of a change of slope; large values approach the total variation of affine residuals.
    rtol : float
        Relative duality gap at which the iterations end.
    max_steps : int
        Steps after which they end anyhow, with a `ConvergenceWarning`.
    spatial_dims : int
        1, 2 or 3.

    References
    ----------
    .. [1] K. Bredies, K. Kunisch, T. Pock, "Total generalized variation", SIAM J. Imaging Sci. 3 (2010).
    .. [2] A. Chambolle, T. Pock, "A first-order primal-dual algorithm for convex problems with applications to imaging",
       J. Math. Imaging Vis. 40 (2011).

    Examples
    --------
    >>> ramp = torch.arange(6.0)[None]
    >>> TGVDenoiser(spatial_dims=1)(ramp, 0.5).round(decimals=2)
    tensor([[0., 1., 2., 3., 4., 5.]])
    """

    channels: ClassVar[int | None] = None
    value_range: ClassVar[tuple[float, float] | None] = None
    sigma_range: ClassVar[tuple[float, float]] = (0.0, math.inf)

    strength: float = 0.75
    ratio: float = 2.0
    rtol: float = 1e-3
    max_steps: int = 3000
    spatial_dims: int = 2

    def __post_init__(self) -> None:
        if not (0 < self.strength < math.inf and 0 < self.ratio < math.inf):
            raise ParameterError(
                f"TGVDenoiser: strength and ratio must be positive, got {self.strength!r} and {self.ratio!r}."
            )
        if not self.rtol > 0 or self.max_steps < 1:
            raise ParameterError(
                f"TGVDenoiser: rtol must be positive and max_steps at least 1, got {self.rtol!r} and {self.max_steps!r}."
            )
        if self.spatial_dims not in (1, 2, 3):
            raise ParameterError(f"TGVDenoiser: spatial_dims must be 1, 2 or 3, got {self.spatial_dims!r}.")

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        if not x.numel():
            return x.clone()
        images, levels = flat_batch(x, sigma, self.spatial_dims)
        levels = levels.view(-1, *(1,) * (self.spatial_dims + 1))
        unit = self.strength * torch.where(levels > 0, levels, 1.0)  # the weight is one in these units
        z, gap = solve(
            images / unit, self.spatial_dims, ratio=self.ratio, rtol=self.rtol, max_steps=self.max_steps
        )
        worst = float(torch.where(levels.flatten() > 0, gap, 0).max())
        if worst > max(self.rtol, 100 * torch.finfo(gap.dtype).eps):
            warnings.warn(
                f"TGVDenoiser: relative duality gap {worst:.1e} after {self.max_steps} steps, wanted {self.rtol:.1e}. Raise "
                f"max_steps or rtol.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return torch.where(levels > 0, z * unit, images).view(x.shape)
