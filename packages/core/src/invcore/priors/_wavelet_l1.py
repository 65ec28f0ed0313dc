"""Wavelet sparsity, made translation invariant by random shifts."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from .._errors import ParameterError
from ..operators import SpaceLike
from ..operators._space import per_sample
from ..operators._wavelet import approximation_index, dwt, idwt, max_levels, soft_threshold
from ._base import Prior
from ._l1 import laplace, total

if TYPE_CHECKING:
    from ..solvers import Problem


class WaveletL1(Prior):
    """g(x) = Σ |(W x)ᵢ| over the detail coefficients of an orthogonal wavelet transform W.

    Its proximal operator is W⁻¹ ∘ soft thresholding ∘ W. With ``random_shifts`` the image is shifted by another random
    offset in each iteration (Figueiredo and Nowak, 2003), which removes the block artefacts of a transform
    that is not translation invariant, at no cost. ``weight="auto"`` takes the maximum-likelihood Laplace prior
    of the coefficients of a Tikhonov solution: λ = 1 / mean |W x|.

    Parameters
    ----------
    wavelet : str
        An orthogonal wavelet of PyWavelets.
    levels : int, optional
        Number of scales; as many as the size allows, at most four, by default.
    dims : int
        Number of spatial dimensions (the last ones of the image), 1 to 3.
    random_shifts : bool
        Shift the image at random in each iteration of a solver.
    seed : int
        Seed of the shifts.
    shift : tuple of int, optional
        A fixed shift; what `at` fills in.

    References
    ----------
    M. Figueiredo and R. Nowak, "An EM algorithm for wavelet-based image restoration", IEEE Trans. Image Process. 12 (2003).

    Examples
    --------
    >>> g = WaveletL1(wavelet="haar", levels=1, random_shifts=False)
    >>> g.value(torch.ones(1, 4, 4))
    tensor(0.)
    >>> g.prox(torch.ones(1, 4, 4), 10.0).mean().round(decimals=4)
    tensor(1.)
    """

    wavelet: str = "db4"
    levels: int | None = None
    dims: int = 2
    random_shifts: bool = True
    seed: int = 0
    shift: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.dims not in (1, 2, 3):
            raise ParameterError(f"WaveletL1: dims must be 1, 2 or 3, got {self.dims}")
        if not 0 <= self.seed < 2**31:
            raise ParameterError(f"WaveletL1: seed must be from 0 to 2**31 - 1, got {self.seed}")

    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-self.dims, 0))

    def _levels(self, x: Tensor) -> int:
        return min(max_levels(x.shape[-self.dims :], self.wavelet), 4) if self.levels is None else self.levels

    def _details(self, x: Tensor) -> Tensor:
        """Coefficients with the coarsest approximation set to zero."""
        levels = self._levels(x)
        c = dwt(x, self.wavelet, levels, self._axes(), self.shift)
        kept = torch.ones(c.shape[-self.dims :], dtype=torch.bool, device=c.device)
        kept[approximation_index(kept.shape, levels, self._axes())] = False
        return torch.where(kept, c, 0)

    def value(self, x: Tensor, space: SpaceLike | None = None) -> Tensor:
        return total(self._details(x).abs(), space)

    def prox(self, x: Tensor, step: float | Tensor, space: SpaceLike | None = None) -> Tensor:
        levels, axes = self._levels(x), self._axes()
        c = dwt(x, self.wavelet, levels, axes, self.shift)
        coarse = approximation_index(c.shape, levels, axes)
        shrunk = soft_threshold(c, step if space is None else per_sample(step, space))
        if torch.is_grad_enabled():
            kept = torch.zeros(c.shape[-self.dims :], dtype=torch.bool, device=c.device)
            kept[approximation_index(kept.shape, levels, axes)] = True
            shrunk = torch.where(kept, c, shrunk)
        else:
            shrunk[coarse] = c[coarse]
        return idwt(shrunk, self.wavelet, levels, axes, self.shift)

    @property
    def stochastic(self) -> bool:
        return self.random_shifts

    def at(self, k: int) -> Self:
        if not self.random_shifts:
            return self
        period = 2 ** (4 if self.levels is None else self.levels)
        mixed = (
            self.seed * 0x9E3779B1 + k
        ) % 2**32  # torch's CPU generator looks at 32 bits of the seed only
        generator = torch.Generator().manual_seed(mixed)
        shift = torch.randint(0, period, (self.dims,), generator=generator)
        return dataclasses.replace(self, shift=tuple(shift.tolist()))

    def calibrated(self, problem: Problem) -> Problem:
        def scale(x: Tensor) -> Tensor:
            """Mean magnitude of the detail coefficients."""
            details = self._details(x).abs()
            item = details.shape[-self.dims - 1 :]
            coarse = details[approximation_index(details.shape, self._levels(x), self._axes())]
            count = item.numel() - coarse.shape[-self.dims - 1 :].numel()
            return total(details, problem.A.domain) / max(count, 1)

        return laplace(problem, scale)
