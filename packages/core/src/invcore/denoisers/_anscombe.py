"""Variance stabilization: Poisson-Gaussian noise for denoisers of Gaussian noise."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from .._errors import ParameterError
from ._base import Denoiser
from ._windows import require_real
from ._wrappers import Wrapper

_LEAST = 2 * math.sqrt(3 / 8)
"""The transform of zero without Gaussian noise."""


def anscombe_transform(x: Tensor, gain: float | Tensor, sigma: float | Tensor = 0.0) -> Tensor:
    """Generalized Anscombe transform (2/a) √max(a x + 3a²/8 + σ², 0) of x = a Poisson(z/a) + N(0, σ²).

    The noise of the result has a standard deviation near one where ``z / a`` is above about four.

    Parameters
    ----------
    x : Tensor
    gain : float or Tensor
        ``a``: the value of one count. Broadcasts against ``x``.
    sigma : float or Tensor
        Standard deviation of the Gaussian part.

    References
    ----------
    J.-L. Starck, F. Murtagh, A. Bijaoui, *Image Processing and Data Analysis* (1998), chapter 2.

    Examples
    --------
    >>> anscombe_transform(torch.tensor([0.0, 10.0]), 1.0)
    tensor([1.2247, 6.4420])
    """
    shifted = x / gain + 3 / 8 + (torch.as_tensor(sigma, dtype=x.dtype, device=x.device) / gain) ** 2
    positive = shifted > 0  # no infinite derivative below the range of the square root
    found = torch.where(positive, 2 * torch.where(positive, shifted, 1.0).sqrt(), 0.0)
    return torch.where(shifted.isnan(), shifted, found)


def inverse_anscombe_transform(
    t: Tensor,
    gain: float | Tensor,
    sigma: float | Tensor = 0.0,
    *,
    inverse: Literal["exact", "asymptotic", "algebraic"] = "exact",
) -> Tensor:
    """The clean image whose noisy versions have transforms with the mean ``t``.

    A denoiser estimates the mean of what it is given, and the mean of a transform is not the transform of the
    mean: the algebraic inverse is biased where counts are few. ``"exact"`` is the closed form

        ``z / a = t²/4 + sqrt(3/2) / (4 t) - 11 / (8 t²) + 5 sqrt(3/2) / (8 t³) - 1/8 - (σ/a)²``

    of the exact unbiased inverse [1]_, [2]_; ``"asymptotic"`` keeps the terms ``t²/4 - 1/8 - (σ/a)²``, and
    ``"algebraic"`` solves the transform for ``x``. Negative results become zero.

    Parameters
    ----------
    t : Tensor
    gain : float or Tensor
    sigma : float or Tensor
    inverse : "exact", "asymptotic" or "algebraic"

    References
    ----------
    .. [1] M. Mäkitalo, A. Foi, "A closed-form approximation of the exact unbiased inverse of the Anscombe
       variance-stabilizing transformation", IEEE Trans. Image Process. 20 (2011).
    .. [2] M. Mäkitalo, A. Foi, "Optimal inversion of the generalized Anscombe transformation for
       Poisson-Gaussian noise", IEEE Trans. Image Process. 22 (2013).

    Examples
    --------
    >>> t = anscombe_transform(torch.tensor([0.0, 10.0]), 1.0)
    >>> inverse_anscombe_transform(t, 1.0, inverse="algebraic").round(decimals=4)
    tensor([ 0., 10.])
    """
    read = (torch.as_tensor(sigma, dtype=t.dtype, device=t.device) / gain) ** 2
    if inverse == "exact":
        t = t.clamp_min(_LEAST)
        root = math.sqrt(3 / 2)
        counts = t**2 / 4 + root / (4 * t) - 11 / (8 * t**2) + 5 * root / (8 * t**3) - 1 / 8 - read
    elif inverse == "asymptotic":
        counts = t**2 / 4 - 1 / 8 - read
    elif inverse == "algebraic":
        counts = t**2 / 4 - 3 / 8 - read
    else:
        raise ParameterError(
            f"inverse_anscombe_transform: inverse must be 'exact', 'asymptotic' or 'algebraic', "
            f"got {inverse!r}."
        )
    return gain * counts.clamp_min(0)


class Anscombe(Wrapper):
    """Removes Poisson-Gaussian noise ``x = a Poisson(z / a) + N(0, σ²)`` with a denoiser of Gaussian noise.

    The generalized Anscombe transform brings the noise to a standard deviation near one, the denoiser removes
    it, and the exact unbiased inverse returns to the original scale: see `anscombe_transform` and
    `inverse_anscombe_transform`. ``sigma`` of a call is the level of the Gaussian part only: with ``sigma =
    0`` the Poisson noise is still removed. Real images.

    Parameters
    ----------
    denoiser : Denoiser
        If it has a range of values, the transforms of 0 and ``peak`` are mapped to that range.
    gain : float or Tensor, shape (batch...)
        ``a``, the value of one count; one for all samples or one per sample. A parameter.
    peak : float
        Largest value of clean images.
    inverse : "exact", "asymptotic" or "algebraic"

    Examples
    --------
    >>> from invcore.denoisers import WaveletDenoiser
    >>> counts = torch.poisson(torch.full((1, 32, 32), 5.0), generator=torch.Generator().manual_seed(0))
    >>> D = Anscombe(WaveletDenoiser(wavelet="haar", levels=5), gain=1.0, peak=5.0)
    >>> bool((D(counts, 0.0) - 5).square().mean().sqrt() < 0.5)
    True
    """

    sigma_range: ClassVar[tuple[float, float]] = (0.0, math.inf)
    identity_at_zero: ClassVar[bool] = False
    params: ClassVar[tuple[str, ...]] = ("gain",)

    denoiser: Denoiser
    gain: float | Tensor = 1.0
    peak: float = 1.0
    inverse: Literal["exact", "asymptotic", "algebraic"] = "exact"

    def __post_init__(self) -> None:
        if not isinstance(self.gain, Tensor) and not 0 < self.gain < math.inf:
            raise ParameterError(f"Anscombe: gain must be positive and finite, got {self.gain!r}.")
        if not 0 < self.peak < math.inf:
            raise ParameterError(f"Anscombe: peak must be positive and finite, got {self.peak!r}.")
        if self.inverse not in ("exact", "asymptotic", "algebraic"):
            raise ParameterError(
                f"Anscombe: inverse must be 'exact', 'asymptotic' or 'algebraic', got {self.inverse!r}."
            )

    @property
    def value_range(self) -> tuple[float, float]:  # type: ignore[override]
        """Clean images lie between 0 and the peak."""
        return 0.0, float(self.peak)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        require_real(self, x)
        gain = torch.as_tensor(self.gain, dtype=x.dtype, device=x.device)
        if gain.ndim:
            gain = gain.reshape(*gain.shape, *(1,) * (self.spatial_dims + 1))
        t = anscombe_transform(x, gain, sigma)
        low, scale = torch.zeros_like(sigma), torch.ones_like(sigma)
        if self.denoiser.value_range is not None:
            bottom, top = self.denoiser.value_range
            ends = [anscombe_transform(torch.full_like(sigma, v), gain, sigma) for v in (0.0, self.peak)]
            scale = (top - bottom) / (ends[1] - ends[0])
            low = ends[0] - bottom / scale
        level = scale.expand(*x.shape[: x.ndim - self.spatial_dims - 1], *(1,) * (self.spatial_dims + 1))
        clean = self.denoiser((t - low) * scale, level.flatten(x.ndim - self.spatial_dims - 1)[..., 0])
        return inverse_anscombe_transform(clean / scale + low, gain, sigma, inverse=self.inverse)
