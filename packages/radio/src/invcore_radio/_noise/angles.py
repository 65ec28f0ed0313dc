"""Noise and likelihoods of angles, such as closure phases."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from invcore import DtypeError, ParameterError, ShapeError
from invcore.fidelities import Fidelity
from invcore.noises import EntryNoise
from invcore.operators import Space, SpaceLike
from invcore.spaces import per_sample

from .covariance import BlockCovariance


def wrapped(angle: Tensor) -> Tensor:
    """Wrap angles to [-π, π] by a multiple of 2π.

    Examples
    --------
    >>> wrapped(torch.tensor([0.5, 4.0]))
    tensor([ 0.5000, -2.2832])
    """
    return angle - 2 * math.pi * (angle.detach() / (2 * math.pi)).round()


class PhaseLikelihood(Fidelity):
    """Likelihood of angles with independent errors, f(u; y) = Σᵢ (1 - cos(uᵢ - yᵢ))/σᵢ².

    It is half of |exp(iu) - exp(iy)|²/σ², the likelihood of the von Mises distribution of concentration 1/σ².
    It is smooth in u although angles jump by 2π, equals half of χ² for errors σ ≪ 1, and is not convex. The
    proximal operator is the global minimizer: between u and the nearest multiple of 2π from y there is
    exactly one minimum.

    Parameters
    ----------
    sigma : Tensor, shape (batch..., *space.shape)
        Standard deviations > 0, in radians, of any shape that broadcasts against the data.

    Raises
    ------
    ParameterError, DtypeError
        If a standard deviation is not > 0, or the data are complex or several blocks.

    References
    ----------
    A. A. Chael et al., "Interferometric imaging directly with closure phases and closure amplitudes", ApJ 857
    (2018) 23, Eq. 23; K. V. Mardia, P. E. Jupp, Directional Statistics (2000).

    Examples
    --------
    >>> f = PhaseLikelihood(sigma=torch.tensor([0.1]))
    >>> f.value(torch.tensor([3.1]), torch.tensor([-3.1])).round(decimals=2)  # 0.083 rad apart
    tensor(0.3500)
    """

    chi_square = True
    sigma: Tensor
    params = ("sigma",)
    maps = ("sigma",)
    convex: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_sigma(self)

    def value(self, u: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        _need_angles(self, u, y)
        return _total((1 - torch.cos(u - y)) / self._variance(u), space)

    def grad(self, u: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        _need_angles(self, u, y)
        return torch.sin(u - y) / self._variance(u)

    def prox(self, u: Any, y: Any, step: float | Tensor, space: SpaceLike | None = None) -> Tensor:
        """argmin over z of f(z; y) + ‖z - u‖²/(2 step).

        For t = step/σ² it is the root of d + t sin d = u - y nearest to a multiple of 2π.
        """
        _need_angles(self, u, y)
        t = per_sample(step, space) / self._variance(u)
        w = wrapped(u - y)
        side = torch.where(w < 0, -1.0, 1.0).to(u.dtype)
        return u - w + side * _between(t.expand_as(w), w.abs())

    def expected(self, count: int | None = None) -> Tensor:
        """Return the mean of `value` at the truth for normal errors, Σ (1 - exp(-σ²/2))/σ².

        It is half the number of data if σ ≪ 1. ``count`` is the number of data, if σ is a single value for
        all.
        """
        each = -torch.expm1(-self.sigma.square() / 2) / self.sigma.square()
        return each.sum() if count is None else each.mean() * count

    def lipschitz(self) -> Tensor:
        """Return the largest 1/σ², over all samples."""
        return self.sigma.min() ** -2 if self.sigma.numel() else torch.zeros(())

    def _variance(self, u: Tensor) -> Tensor:
        return self.sigma.to(u.dtype).square()


def _between(t: Tensor, w: Tensor) -> Tensor:
    """Solve d + t sin d = w for the smallest d >= 0, with 0 <= w <= π; differentiable implicitly."""
    with torch.no_grad():
        low, high = torch.zeros_like(w), w.clone()
        d = w / (1 + t)
        for _ in range(80):
            g = d + t * torch.sin(d) - w
            low, high = torch.where(g < 0, d, low), torch.where(g < 0, high, d)
            slope = 1 + t * torch.cos(d)
            new = d - g / torch.where(slope > 0, slope, 1)
            new = torch.where((slope > 0) & (new >= low) & (new <= high), new, (low + high) / 2)
            if bool(((new - d).abs() <= 2 * torch.finfo(d.dtype).eps * new).all()):
                break
            d = new
    slope = (1 + t * torch.cos(d)).detach()
    return d - (d + t * torch.sin(d) - w) / torch.where(slope > 0, slope, 1)


class PhaseNoise(EntryNoise):
    """Gaussian errors of angles, y ↦ y + σn wrapped to [-π, π].

    The likelihood is `PhaseLikelihood`, which agrees with this noise for σ ≪ 1 rad and is smooth where angles
    jump.

    Parameters
    ----------
    sigma : Tensor, shape (batch..., *space.shape)
        Standard deviations > 0, in radians; trailing dimensions are those of the data, or 1.

    Raises
    ------
    ParameterError, ShapeError, DtypeError
        If a standard deviation is not > 0, the map does not fit the data, or the data are complex.

    References
    ----------
    K. V. Mardia, P. E. Jupp, Directional Statistics (2000), Section 3.5: the wrapped normal distribution.

    Examples
    --------
    >>> noise = PhaseNoise(sigma=torch.tensor([0.5]))
    >>> y = noise(torch.full((20000, 1), 3.1), space=Space((1,)), generator=torch.Generator().manual_seed(0))
    >>> bool(y.abs().max() <= 3.1416), round(float((y - 3.1).cos().mean()), 2)  # exp(-0.5²/2)
    (True, 0.88)
    """

    sigma: Tensor
    params = ("sigma",)
    maps = ("sigma",)

    def __post_init__(self) -> None:
        _check_sigma(self)

    def parameter_batch(self, space: SpaceLike) -> torch.Size:
        return self.sigma.shape[: self.sigma.ndim - self._dims(space)]

    def of_item(self, index: int, batch: torch.Size, space: SpaceLike) -> Self:
        trailing = self.sigma.shape[self.sigma.ndim - self._dims(space) :]
        return type(self)(sigma=self.sigma.expand(*batch, *trailing).reshape(-1, *trailing)[index])

    def _dims(self, space: SpaceLike) -> int:
        shape = space.shape if isinstance(space, Space) else None
        trailing = (
            tuple(self.sigma.shape[max(self.sigma.ndim - len(shape), 0) :]) if shape is not None else ()
        )
        if (
            shape is None
            or len(trailing) != len(shape)
            or any(a not in (1, b) for a, b in zip(trailing, shape))
        ):
            raise ShapeError(
                f"PhaseNoise: sigma of shape {tuple(self.sigma.shape)} does not fit data in {space}; give "
                "one value for each datum"
            )
        return len(shape)

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        _need_angles(self, y)
        n = torch.empty(y.shape, dtype=y.dtype, device=generator.device).normal_(generator=generator)
        return wrapped(y + self.sigma.to(y.dtype) * n.to(y.device))

    def likelihood(self) -> PhaseLikelihood:
        return PhaseLikelihood(sigma=self.sigma)


class CorrelatedPhaseLikelihood(Fidelity):
    """Likelihood of angles with correlated errors, f(u; y) = ½ Re(dᴴ Σ⁻¹ d) with dᵢ = exp(i(uᵢ - yᵢ)) - 1.

    For u near y, d ≈ i(u - y), and f is half of χ² with the covariance Σ. It is smooth where angles jump by
    2π, never negative, equal to `PhaseLikelihood` for a diagonal Σ, and not convex. The proximal operator is
    the better of the two stationary points reached by descent from u and from the nearest multiple of 2π from
    y.

    Parameters
    ----------
    covariance : BlockCovariance
        Covariance Σ of the flattened data, in radians².

    Raises
    ------
    ShapeError, DtypeError
        If the data do not have as many entries as Σ, or are complex.

    References
    ----------
    L. Blackburn et al., "Closure statistics in interferometric data", ApJ 894 (2020) 31, for Σ.

    Examples
    --------
    >>> pair = torch.tensor([[[0.02, 0.01], [0.01, 0.02]]])
    >>> f = CorrelatedPhaseLikelihood(BlockCovariance(index=torch.tensor([[0, 1]]), matrix=pair))
    >>> f.value(torch.tensor([3.1, 0.0]), torch.tensor([-3.1, 0.1])).round(decimals=2)
    tensor(0.2900)
    """

    chi_square = True
    covariance: BlockCovariance
    convex: ClassVar[bool] = False

    def value(self, u: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        return self._values(self._difference(u, y, space)).sum(-1)

    def grad(self, u: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        return self.covariance._flat(self._slope(self._difference(u, y, space))).reshape(u.shape)

    def _difference(self, u: Any, y: Any, space: SpaceLike | None) -> Tensor:
        """u - y in blocks, (batch..., block, k)."""
        _need_angles(self, u, y)
        r = u - y
        return self.covariance._blocks(
            r.flatten(-len(space.shape)) if isinstance(space, Space) else r.reshape(-1)
        )

    def _weights(self, d: Tensor) -> Tensor:
        return self.covariance._inverse.to(d.dtype)

    def _values(self, d: Tensor) -> Tensor:
        """½ Re dᴴ Σ⁻¹ d, block by block."""
        c, s, w = torch.cos(d) - 1, torch.sin(d), self._weights(d)
        return 0.5 * (
            torch.einsum("...i,...ij,...j->...", c, w, c) + torch.einsum("...i,...ij,...j->...", s, w, s)
        )

    def _slope(self, d: Tensor) -> Tensor:
        c, s, w = torch.cos(d) - 1, torch.sin(d), self._weights(d)
        return torch.cos(d) * (w @ s.unsqueeze(-1)).squeeze(-1) - s * (w @ c.unsqueeze(-1)).squeeze(-1)

    def prox(self, u: Any, y: Any, step: float | Tensor, space: SpaceLike | None = None) -> Tensor:
        """Find a local minimizer of f(z; y) + ‖z - u‖²/(2 step), the better of descents from u and from y."""
        w = self._difference(u, y, space)
        t = torch.as_tensor(step, dtype=w.dtype, device=w.device)
        t = t.reshape(*t.shape, 1) if t.ndim else t
        turn = w - wrapped(w)
        found = [self._descent(start, w, t) for start in (w, turn)]
        values = [self._penalized(d, w, t) for d in found]
        best = torch.where((values[1] < values[0]).unsqueeze(-1), found[1], found[0])
        return u + self.covariance._flat(best - w).reshape(u.shape)

    def _penalized(self, d: Tensor, w: Tensor, t: Tensor) -> Tensor:
        return self._values(d) + (d - w).square().sum(-1) / (2 * t)

    def _descent(self, d: Tensor, w: Tensor, t: Tensor) -> Tensor:
        """Newton's method with the positive part of the curvature and a step size per block."""
        weights = self._weights(d)
        inverse = (1 / t).unsqueeze(-1)
        for _ in range(200):
            g = self._slope(d) + (d - w) * inverse
            c, s = torch.cos(d) - 1, torch.sin(d)
            own = -torch.cos(d) * (weights @ c.unsqueeze(-1)).squeeze(-1) - s * (
                weights @ s.unsqueeze(-1)
            ).squeeze(-1)
            bend = weights * torch.cos(d.unsqueeze(-1) - d.unsqueeze(-2))
            bend = bend + torch.diag_embed(own.clamp_min(0) + inverse)
            move = -torch.linalg.solve(bend, g)
            size, slope, value = torch.ones_like(t + d[..., 0]), (g * move).sum(-1), self._penalized(d, w, t)
            for _ in range(40):
                worse = self._penalized(d + size.unsqueeze(-1) * move, w, t) > value + 1e-4 * size * slope
                if not bool(worse.any()):
                    break
                size = torch.where(worse, size / 2, size)
            else:
                size = torch.where(worse, 0.0, size)
            d = d + size.unsqueeze(-1) * move
            if bool((move.abs() <= 1e-12 * (1 + d.abs())).all()) or not bool((size > 0).any()):
                break
        return d

    def expected(self) -> Tensor:
        """Return the mean of `value` at the truth for normal errors of covariance Σ, ½ tr(Σ⁻¹ E ddᴴ).

        It is half the number of data if Σ ≪ 1.
        """
        full = self.covariance._padded
        var = torch.diagonal(full, dim1=-2, dim2=-1)
        joint = torch.exp(full - (var.unsqueeze(-1) + var.unsqueeze(-2)) / 2)
        single = torch.exp(-var / 2)
        moments = joint - single.unsqueeze(-1) - single.unsqueeze(-2) + 1
        return 0.5 * (self.covariance._inverse * moments).sum()


class CorrelatedPhaseNoise(EntryNoise):
    """Correlated Gaussian errors of angles, y ↦ y + n wrapped to [-π, π], with n of covariance Σ.

    Parameters
    ----------
    covariance : BlockCovariance
        Covariance Σ of the flattened data, in radians².

    Raises
    ------
    ShapeError, DtypeError
        If the data do not have as many entries as Σ, or are complex.

    References
    ----------
    L. Blackburn et al., "Closure statistics in interferometric data", ApJ 894 (2020) 31.

    Examples
    --------
    >>> pair = torch.tensor([[[0.02, 0.01], [0.01, 0.02]]])
    >>> noise = CorrelatedPhaseNoise(BlockCovariance(index=torch.tensor([[0, 1]]), matrix=pair))
    >>> y = noise(torch.zeros(5000, 2), space=Space((2,)), generator=torch.Generator().manual_seed(0))
    >>> (y.T @ y / 5000).round(decimals=2)
    tensor([[0.0200, 0.0100],
            [0.0100, 0.0200]])
    """

    covariance: BlockCovariance

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        _need_angles(self, y)
        n = torch.empty(y.numel(), dtype=y.dtype, device=generator.device).normal_(generator=generator)
        return wrapped(y + self.covariance.color(n.to(y.device)).reshape(y.shape))

    def likelihood(self) -> CorrelatedPhaseLikelihood:
        return CorrelatedPhaseLikelihood(covariance=self.covariance)


def _check_sigma(holder: Any) -> None:
    sigma = holder.sigma
    if not isinstance(sigma, Tensor) or not sigma.is_floating_point():
        raise DtypeError(f"{type(holder).__name__}: sigma must be a real tensor, got {type(sigma).__name__}")
    wrong = sigma.detach()[~(sigma.detach() > 0)]
    if wrong.numel():
        raise ParameterError(
            f"{type(holder).__name__}: sigma must be a number > 0, got {float(wrong[0]):.4g}"
        )


def _need_angles(holder: Any, *tensors: Any) -> None:
    for t in tensors:
        if not isinstance(t, Tensor) or not t.is_floating_point():
            got = t.dtype if isinstance(t, Tensor) else f"{type(t).__name__} (several blocks: use BlockNoise)"
            raise DtypeError(f"{type(holder).__name__} is a model of real data, angles in radians; got {got}")


def _total(x: Tensor, space: SpaceLike | None) -> Tensor:
    if not isinstance(space, Space):
        return x.sum()
    return x.sum(dim=tuple(range(-len(space.shape), 0))) if space.shape else x
