"""Wavelet sparsity, made translation invariant by random shifts or by a transform that is not decimated."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from .._errors import ParameterError
from .._physics import Physics
from .._variation.dual import dual_prox
from .._weights import Weight, weight_of_scale
from ..fidelities import Fidelity
from ..operators import LinearOperator, Space, SpaceLike, UndecimatedWaveletTransform
from ..operators._wavelet import approximation_index, dwt, idwt, max_levels, soft_threshold
from ..spaces import per_sample
from ._base import Part, Prior
from ._l1 import L1, total


class WaveletL1(Prior):
    """g(x) = Σ |(W x)ᵢ| over the detail coefficients of a wavelet transform W, orthogonal or undecimated.

    With the orthogonal transform its proximal operator is W⁻¹ ∘ soft thresholding ∘ W. With ``random_shifts``
    the image is shifted by another random offset in each iteration [1]_, which removes the block artefacts of
    a transform that is not translation invariant, at no cost. ``weight="auto"`` takes the maximum-likelihood
    Laplace prior of the coefficients of a Tikhonov solution: λ = 1 / mean |W x|.

    With ``undecimated`` W is the Parseval frame `invcore.operators.UndecimatedWaveletTransform`, without its
    approximation: g is translation invariant, and its edges are periodic. The analysis prior then
    has no closed proximal operator; ``prox`` solves the dual problem by accelerated projected gradients [2]_,
    each sample until its duality gap is below ``rtol`` times the primal value, and warns
    (`ConvergenceWarning`) where ``max_steps`` come first. Solvers that split take the transform and `L1`
    apart (``split``) and need no inner iteration. ``weight="auto"`` is then λ = n/g(x), n real unknowns.

    Parameters
    ----------
    wavelet : str
        An orthogonal wavelet of PyWavelets.
    levels : int, optional
        Number of scales; as many as the size allows, at most four, by default.
    random_shifts : bool
        Shift the image at random in each iteration of a solver. Without meaning if ``undecimated``.
    seed : int
        Seed of the shifts.
    shift : tuple of int, optional
        A fixed shift; what `at` fills in.
    undecimated : bool
        Leave out the decimation, so that every shift counts.

    References
    ----------
    .. [1] M. Figueiredo and R. Nowak, "An EM algorithm for wavelet-based image restoration", IEEE Trans.
       Image Process. 12 (2003).
    .. [2] A. Beck and M. Teboulle, "Fast gradient-based algorithms for constrained total variation image
       denoising and deblurring problems", IEEE Trans. Image Process. 18 (2009).

    Examples
    --------
    >>> g = WaveletL1(wavelet="haar", levels=1, random_shifts=False)
    >>> g.value(torch.ones(1, 4, 4))
    tensor(0.)
    >>> g.prox(torch.ones(1, 4, 4), 10.0).mean().round(decimals=4)
    tensor(1.)
    >>> g = WaveletL1(wavelet="haar", levels=1, undecimated=True)
    >>> g.value(torch.eye(4)[None]) == g.value(torch.eye(4)[None].roll(1, -1))
    tensor(True)
    """

    degree: ClassVar[int] = 1

    wavelet: str = "db4"
    levels: int | None = None
    spatial_dims: int = 2
    random_shifts: bool = True
    seed: int = 0
    shift: tuple[int, ...] | None = None
    undecimated: bool = False
    rtol: float = 1e-4
    max_steps: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.seed < 2**31:
            raise ParameterError(f"WaveletL1: seed must be from 0 to 2**31 - 1, got {self.seed}")
        if self.undecimated and self.shift is not None:
            raise ParameterError("WaveletL1: the undecimated transform has every shift: leave out shift")

    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-self.spatial_dims, 0))

    def _levels(self, x: Tensor) -> int:
        if self.levels is not None:
            return self.levels
        return min(max_levels(x.shape[-self.spatial_dims :], self.wavelet), 4)

    def _details(self, x: Tensor) -> Tensor:
        """Coefficients with the coarsest approximation set to zero."""
        levels = self._levels(x)
        c = dwt(x, self.wavelet, levels, self._axes(), self.shift)
        kept = torch.ones(c.shape[-self.spatial_dims :], dtype=torch.bool, device=c.device)
        kept[approximation_index(kept.shape, levels, self._axes())] = False
        return torch.where(kept, c, 0)

    def _frame(self, space: Space) -> UndecimatedWaveletTransform:
        return UndecimatedWaveletTransform(
            domain=space,
            wavelet=self.wavelet,
            levels=self.levels,
            spatial_dims=self.spatial_dims,
            approximation=False,
        )

    def split(self, space: SpaceLike) -> tuple[LinearOperator, Prior]:
        """The undecimated transform and `L1`; the identity and this prior if the transform is orthogonal."""
        return (self._frame(self._item(None, space)), L1()) if self.undecimated else super().split(space)

    def _value(self, x: Tensor, space: Space) -> Tensor:
        if self.undecimated:
            W = self._frame(space)
            return total(W._apply(x).abs(), W.range)
        return total(self._details(x).abs(), space)

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        if self.undecimated:
            return self._dual(x, step, space)
        levels, axes = self._levels(x), self._axes()
        c = dwt(x, self.wavelet, levels, axes, self.shift)
        coarse = approximation_index(c.shape, levels, axes)
        shrunk = soft_threshold(c, per_sample(step, space))
        if torch.is_grad_enabled():
            kept = torch.zeros(c.shape[-self.spatial_dims :], dtype=torch.bool, device=c.device)
            kept[approximation_index(kept.shape, levels, axes)] = True
            shrunk = torch.where(kept, c, shrunk)
        else:
            shrunk[coarse] = c[coarse]
        return idwt(shrunk, self.wavelet, levels, axes, self.shift)

    def _dual(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        step = self._steps(step, x)
        # the mean costs nothing and stays; without it the gap is relative to what changes
        mean = x.mean(self._axes(), keepdim=True)
        parts = [Part(self._frame(space), L1())]
        z, gap, _ = dual_prox(x - mean, step, parts, rtol=self.rtol, max_steps=self.max_steps)
        self._warn("prox", gap)
        return z + mean

    @property
    def tolerance(self) -> float:
        return self.rtol if self.undecimated else 0.0

    @property
    def stochastic(self) -> bool:
        return self.random_shifts and not self.undecimated

    def at(self, k: int) -> Self:
        if not self.stochastic:
            return self
        period = 2 ** (4 if self.levels is None else self.levels)
        mixed = (
            self.seed * 0x9E3779B1 + k
        ) % 2**32  # torch's CPU generator looks at 32 bits of the seed only
        generator = torch.Generator().manual_seed(mixed)
        shift = torch.randint(0, period, (self.spatial_dims,), generator=generator)
        return dataclasses.replace(self, shift=tuple(shift.tolist()))

    def suggested_weight(self, y: Any, physics: Physics, fidelity: Fidelity | None = None) -> Weight:
        if self.undecimated:
            return super().suggested_weight(y, physics, fidelity)

        def scale(x: Tensor) -> Tensor:
            """Mean magnitude of the detail coefficients."""
            details = self._details(x).abs()
            item = details.shape[-self.spatial_dims - 1 :]
            coarse = details[approximation_index(details.shape, self._levels(x), self._axes())]
            count = item.numel() - coarse.shape[-self.spatial_dims - 1 :].numel()
            return total(details, self._item(x, physics.domain)) / max(count, 1)

        return weight_of_scale(y, physics, fidelity, scale)
