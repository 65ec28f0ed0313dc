"""Averaged sparsity (SARA): a penalty on the coefficients in several orthonormal wavelet bases at once."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from invcore import DtypeError, LinearOperator, ParameterError, Physics, Space
from invcore.fidelities import Fidelity
from invcore.operators import SpaceLike, WaveletTransform
from invcore.priors import Prior, Weight, ridge_solution
from invcore.spaces import broadcast_shapes, space_of

DICTIONARY = ("dirac", "db1", "db2", "db3", "db4", "db5", "db6", "db7", "db8")


class SaraFrame(LinearOperator):
    r"""Coefficients of an image in a concatenation of orthonormal bases, of pixels ("dirac") and wavelets,

    .. math:: Ψ^{\mathsf H} x = q^{-1/2} (Ψ_1^{\mathsf H} x, …, Ψ_q^{\mathsf H} x), \quad Ψ Ψ^{\mathsf H} = 1.

    This is a Parseval frame: the adjoint recovers the image. Edges are periodic.

    Parameters
    ----------
    domain : Space
        Images (channel, y, x), real or complex.
    bases : tuple of str
        ``"dirac"``, or orthogonal wavelets of PyWavelets.
    levels : int, optional
        Scales of each wavelet; by default as many as the size allows, at most four.

    Notes
    -----
    The range is ``(basis, channel, y, x)``.

    References
    ----------
    R. E. Carrillo, J. D. McEwen and Y. Wiaux, "Sparsity Averaging Reweighted Analysis (SARA): a novel
    algorithm for radio-interferometric imaging", MNRAS 426 (2012).

    Examples
    --------
    >>> frame = SaraFrame((1, 8, 8), bases=("dirac", "db1"))
    >>> x = torch.arange(64.0).reshape(1, 8, 8)
    >>> torch.allclose(frame.H(frame(x)), x, atol=1e-4)
    True
    """

    domain: Space
    bases: tuple[str, ...] = DICTIONARY
    levels: int | None = None

    def __post_init__(self) -> None:
        if len(self.domain.shape) < 2:
            raise ParameterError(f"SaraFrame needs images (channel, y, x), got {self.domain}")
        _check_bases("SaraFrame", self.bases, self.levels)

    @property
    def range(self) -> Space:
        return Space((len(self.bases), *self.domain.shape), self.domain.kind)

    def forward(self, x: Tensor) -> Tensor:
        scale = 1 / math.sqrt(len(self.bases))
        x = scale * x
        parts = [x if T is None else T(x) for T in self._transforms]
        return torch.stack(parts, -len(self.domain.shape) - 1)

    def adjoint(self, y: Tensor) -> Tensor:
        parts = y.unbind(-len(self.domain.shape) - 1)
        total = None
        for T, part in zip(self._transforms, parts, strict=True):
            image = part if T is None else T.H(part)
            total = image if total is None else total + image
        assert total is not None
        return total / math.sqrt(len(self.bases))

    def _gram(self, x: Tensor) -> Tensor:
        return x

    def norm_bound(self) -> Tensor:
        return torch.ones(())

    @property
    def _transforms(self) -> list[WaveletTransform | None]:
        found: list[WaveletTransform | None] = []
        for name in self.bases:
            if name == "dirac":
                found.append(None)
                continue
            levels = self.levels
            if levels is None:
                levels = min(4, WaveletTransform(domain=self.domain, wavelet=name).depth)
            found.append(WaveletTransform(domain=self.domain, wavelet=name, levels=levels))
        return found


class Sara(Prior):
    r"""Averaged sparsity [1]_: weighted sum of magnitudes in several bases at once, for nonnegative images,

    .. math:: g(x) = \sum_i w_i |(Ψ^{\mathsf H} x)_i| \text{ if } x ≥ 0, \quad ∞ \text{ else},

    with the frame Ψ of `SaraFrame`: pixels and the Daubechies wavelets 1 to 8. Point sources are sparse in
    the first basis, edges in the second, smooth structure in the last, and an image made of all of them in
    their average. `reweighted` gives the next of a sequence of problems in which large coefficients cost less
    and less, which approximates counting them [2]_.

    Splitting solvers (``chambolle_pock``, ``condat_vu``, ``admm``) handle the frame and the sum separately,
    including the sign, and are the efficient choice. ``prox`` solves the dual problem by accelerated
    projected gradients until the duality gap is below ``rtol`` times the primal value. ``weight="auto"`` is λ
    = n/g(x) for a Tikhonov solution x of n unknowns with its negative values set to zero.

    Parameters
    ----------
    bases : tuple of str
        ``"dirac"``, or orthogonal wavelets of PyWavelets.
    levels : int, optional
        Scales of each wavelet; by default as many as the size allows, at most four.
    weights : Tensor, shape (..., basis, channel, y, x), optional
        Weights w ≥ 0, of any shape that broadcasts against the coefficients; 1 by default.
    nonnegative : bool
        Forbid negative values. Images are then real, and ``"dirac"`` must be one of the bases.

    References
    ----------
    .. [1] R. E. Carrillo, J. D. McEwen and Y. Wiaux, "Sparsity Averaging Reweighted Analysis (SARA): a novel
       algorithm for radio-interferometric imaging", MNRAS 426 (2012).
    .. [2] E. J. Candès, M. B. Wakin and S. P. Boyd, "Enhancing sparsity by reweighted ℓ1 minimization", J.
       Fourier Anal. Appl. 14 (2008).

    Examples
    --------
    >>> g = Sara(bases=("dirac",))
    >>> g.prox(torch.tensor([[[3.0, 0.5], [-1.0, 2.0]]]), 1.0)
    tensor([[[2., 0.],
             [0., 1.]]])
    >>> g.value(torch.tensor([[[-1.0, 1.0]]]))
    tensor(inf)
    """

    power = 1
    bases: tuple[str, ...] = DICTIONARY
    levels: int | None = None
    weights: Tensor | None = None
    nonnegative: bool = True
    rtol: float = 1e-4
    max_steps: int = 1000
    params = ("weights",)
    maps = ("weights",)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_bases("Sara", self.bases, self.levels)
        if self.nonnegative and "dirac" not in self.bases:
            raise ParameterError(
                "Sara: the sign is seen in the basis 'dirac': add it, or pass nonnegative=False"
            )
        if self.weights is not None and not bool((self.weights >= 0).all()):
            raise ParameterError("Sara: weights must not be negative")

    def frame(self, space: SpaceLike) -> SaraFrame:
        """Return the frame for an image space."""
        if not isinstance(space, Space):
            raise ParameterError("Sara acts on single images; the operator's domain is a tuple of blocks")
        if self.nonnegative and space.kind == "complex":
            raise DtypeError("Sara: complex images have no sign: pass nonnegative=False")
        return SaraFrame(domain=space, bases=self.bases, levels=self.levels)

    def split(self, space: SpaceLike) -> tuple[LinearOperator, Prior]:
        """Return the frame, and the prior as a function of its coefficients (`Coefficients`)."""
        first = self.bases.index("dirac") if self.nonnegative else None
        return self.frame(space), Coefficients(weights=self.weights, nonnegative=first)

    def _fit(self, space: Any, batch: tuple[int, ...]) -> None:
        super()._fit(self.frame(space).range, batch)

    def _value(self, x: Tensor, space: Space) -> Tensor:
        frame = self.frame(space)
        value = Coefficients(weights=self.weights).value(frame._apply(x), frame.range)
        if not self.nonnegative:
            return value
        negative = (x < 0).sum(tuple(range(-len(frame.domain.shape), 0))) > 0
        return torch.where(negative, torch.inf, value)

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        frame = self.frame(space)
        z, gap = self._dual(x, self._steps(step, x), frame)
        self._warn("prox", gap)
        return z

    def suggested_weight(self, y: Any, physics: Physics, fidelity: Fidelity | None = None) -> Weight:
        x, factor = ridge_solution(y, physics, fidelity)
        space = physics.domain
        assert isinstance(space, Space)
        start = x.clamp_min(0) if self.nonnegative else x
        size = dataclasses.replace(self, nonnegative=False).value(start, space)
        return Weight(factor * space.real_size / torch.where(size > 0, size, 1), start)

    def reweighted(self, x: Tensor, floor: float | Tensor) -> Sara:
        """Return the prior with weights δ/(δ + |Ψᴴx|), so that small coefficients of ``x`` cost more.

        Parameters
        ----------
        x : Tensor, shape (batch..., channel, y, x)
            The previous solution.
        floor : float or Tensor, shape (batch...)
            Magnitude δ > 0 of coefficients that are noise.
        """
        space = space_of(x, 3)
        size = self.frame(space)(x).abs()
        delta = torch.as_tensor(floor, dtype=size.dtype, device=size.device)
        if not bool((delta > 0).all()):
            raise ParameterError(f"Sara.reweighted: floor must be positive, got {float(delta.min()):g}")
        delta = delta.reshape(*delta.shape, 1, 1, 1, 1)
        return dataclasses.replace(self, weights=delta / (delta + size))

    def _dual(self, v: Tensor, t: Tensor, frame: SaraFrame) -> tuple[Tensor, Tensor]:
        """The proximal operator and its relative duality gap, (batch...)."""
        outer = Coefficients(weights=self.weights)
        image, ndim = frame.domain, len(frame.domain.shape)
        batch = broadcast_shapes(v.shape[: v.ndim - ndim], t.shape)
        v, t = v.expand(*batch, *image.shape), t.expand(batch)
        axes = tuple(range(-ndim, 0))
        eps = torch.finfo(v.dtype).eps
        rounding = 64 * eps * (v.detach().abs().amax(axes, keepdim=True) if v.numel() else 0)

        def primal(p: Tensor) -> Tensor:
            x = v - frame._apply_adjoint(p)
            x = torch.where(x.abs() > rounding, x, 0)  # the rest is rounding of the difference
            return x.clamp_min(0) if self.nonnegative else x

        p = q = frame._apply(v) * 0
        momentum, best = torch.zeros_like(t), torch.full_like(t, torch.inf)
        done, gap = torch.zeros_like(t, dtype=torch.bool), torch.full_like(t, torch.inf)
        result = primal(p)
        for k in range(1, self.max_steps + 1):
            new = outer.prox_conjugate(q + frame._apply(primal(q)), 1.0, frame.range, weight=t)
            if k % 10 == 0 or k == self.max_steps:
                x = primal(new)
                with torch.no_grad():
                    Kx = frame._apply(x)
                    price = t * outer.value(Kx, frame.range)
                    slack = outer.magnitudes(Kx) * _trailing(t, ndim + 1) - (Kx.conj() * new).real
                    slack = slack.clamp_min(0).sum((-ndim - 1, *axes))
                    w = v - frame._apply_adjoint(new)
                    cost = _power(w, ndim) / 2 - _power(w - x, ndim) / 2
                    total = price + _power(x - v, ndim) / 2
                    gap = torch.where(done, gap, slack / torch.where(total > 0, total, 1))
                    momentum = torch.where(cost > best, 0.0, momentum)
                    best = cost
                result = torch.where(_trailing(done, ndim), result, x)
                done = done | (gap <= max(self.rtol, eps))
                if bool(done.all()):
                    break
            momentum = momentum + 1
            q = new + _trailing(momentum / (momentum + 3), ndim + 1) * (new - p)
            p = new
        return torch.where(_trailing(t > 0, ndim), result, primal(frame._apply(v) * 0)), gap


class Coefficients(Prior):
    """`Sara` of coefficients: Σ wᵢ|cᵢ|, infinite if the plane ``nonnegative`` has negative entries."""

    power = 1
    weights: Tensor | None = None
    nonnegative: int | None = None
    params = ("weights",)
    maps = ("weights",)

    def _value(self, x: Tensor, space: Space) -> Tensor:
        ndim = len(space.shape)
        value = self.magnitudes(x).sum(tuple(range(-ndim, 0)))
        if self.nonnegative is None:
            return value
        negative = (x.select(-ndim, self.nonnegative) < 0).sum(tuple(range(1 - ndim, 0))) > 0
        return torch.where(negative, torch.inf, value)

    def magnitudes(self, x: Tensor) -> Tensor:
        """wᵢ|xᵢ|."""
        return x.abs() if self.weights is None else self.weights.to(x.real) * x.abs()

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        return x - self._clipped(x, step, space)

    def _prox_conjugate(
        self, u: Tensor, step: float | Tensor, space: Space, weight: float | Tensor
    ) -> Tensor:
        """Project on |uᵢ| ≤ weight wᵢ, or on uᵢ ≤ weight wᵢ in the nonnegative plane."""
        return self._clipped(u, weight, space)

    def _conjugate(self, u: Tensor, space: Space, weight: float | Tensor) -> Tensor:
        """Return 0 if u meets the bounds of `prox_conjugate` up to rounding, else infinity."""
        ndim = len(space.shape)
        excess = (u - self._clipped(u, weight, space)).abs() > 100 * torch.finfo(u.dtype).eps * u.abs()
        outside = excess.sum(tuple(range(-ndim, 0))) > 0
        return torch.where(outside, torch.inf, 0.0).to(u.real.dtype)

    def _clipped(self, u: Tensor, limit: float | Tensor, space: Space) -> Tensor:
        """Clip magnitudes to ``limit`` w; in the nonnegative plane only from above."""
        ndim = len(space.shape)
        bound = torch.as_tensor(limit, dtype=u.real.dtype, device=u.device)
        bound = _trailing(bound, ndim) if bound.ndim else bound
        if self.weights is not None:
            bound = bound * self.weights.to(u.real)
        if u.is_complex():
            size = u.abs()
            return torch.where(size > bound, u * (bound / torch.where(size > 0, size, 1)), u)
        if self.nonnegative is None:
            return torch.maximum(torch.minimum(u, bound), -bound)
        signed = torch.zeros((u.shape[-ndim], *(1,) * (ndim - 1)), dtype=torch.bool, device=u.device)
        signed[self.nonnegative] = True
        return torch.maximum(torch.minimum(u, bound), torch.where(signed, -torch.inf, -bound))


def _check_bases(name: str, bases: tuple[str, ...], levels: int | None) -> None:
    if not isinstance(bases, tuple) or not bases or len(set(bases)) != len(bases):
        raise ParameterError(f"{name}: bases must be a tuple of different names, got {bases!r}")
    for basis in bases:
        if basis != "dirac":
            WaveletTransform(domain=Space((1, 2, 2)), wavelet=basis)  # raises where there is none
    if levels is not None and (not isinstance(levels, int) or levels < 1):
        raise ParameterError(f"{name}: levels must be None or an integer >= 1, got {levels!r}")


def _trailing(t: Tensor, ndim: int) -> Tensor:
    return t.reshape(*t.shape, *(1,) * ndim)


def _power(x: Tensor, ndim: int) -> Tensor:
    return (x.conj() * x).real.sum(tuple(range(-ndim, 0)))
