"""Values known up to a period: the modulo sensor, and phase unwrapping."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError, Space
from invcore.fidelities import Fidelity
from invcore.operators import CosineTransform, Operator, SpaceLike
from invcore.spaces import as_space, per_sample, space_of


class Modulo(Operator):
    r"""Values up to a multiple of a period: a wrapped phase, or a sensor that starts again when it is full.

    .. math:: y = x - P\, \mathrm{round}(x / P) \in [-P/2, P/2] \quad\text{or}\quad
              y = x - P \lfloor x / P \rfloor \in [0, P)

    Its derivative is 1 wherever it is continuous. `Itoh` is the data term that goes with it, `unwrap` the
    least-squares inverse.

    Parameters
    ----------
    domain : Space
        Real.
    period : float
        P; 2π for phases.
    interval : {"centered", "positive"}

    Raises
    ------
    ParameterError, ShapeError

    References
    ----------
    .. [1] A. Bhandari, F. Krahmer, R. Raskar, "On unlimited sampling and reconstruction", IEEE Trans. Signal
       Process. 69 (2020).

    Examples
    --------
    >>> Modulo((1, 3), period=1.0)(torch.tensor([[0.2, 0.8, 2.3]])).round(decimals=4)
    tensor([[ 0.2000, -0.2000,  0.3000]])
    """

    domain: Space
    period: float = 2 * math.pi
    interval: Literal["centered", "positive"] = "centered"

    def __post_init__(self) -> None:
        check_period("Modulo", self.period)
        if self.domain.kind != "real":
            raise ShapeError(f"Modulo: the image must be real, got {self.domain}")
        if self.interval not in ("centered", "positive"):
            raise ParameterError(f"Modulo: interval must be 'centered' or 'positive', got {self.interval!r}")

    @property
    def range(self) -> Space:
        return self.domain

    def forward(self, x: Tensor) -> Tensor:
        turns = x / self.period
        return x - self.period * (turns.round() if self.interval == "centered" else turns.floor())


class Itoh(Fidelity):
    r"""Data known up to a period, by the differences between neighbors.

    .. math:: f(u; y) = \frac{1}{2σ^2} \|D u - W(D y)\|^2, \qquad W(t) = t - P\, \mathrm{round}(t/P)

    D takes the differences along the last two axes. Where neighbors of the true image differ by less than
    half a period, W(D y) are its differences (Itoh's condition) and f does not see the wraps. f is blind to
    a constant. The proximal operator solves (I + s DᵀD) z = u + s Dᵀ W(D y) by the discrete cosine transform.

    Parameters
    ----------
    period : float
        P.
    sigma : float
        Standard deviation of the noise of a difference.

    References
    ----------
    .. [1] K. Itoh, "Analysis of the phase unwrapping algorithm", Appl. Opt. 21 (1982).
    .. [2] D. C. Ghiglia and L. A. Romero, "Robust two-dimensional weighted and unweighted phase unwrapping
       that uses fast transforms and iterative methods", J. Opt. Soc. Am. A 11 (1994).

    Examples
    --------
    >>> x = torch.tensor([[[0.0, 2.0, 4.0, 6.0]]])
    >>> wrapped = Modulo((1, 1, 4))(x)
    >>> f = Itoh()
    >>> f.value(x, wrapped).abs() < 1e-10, f.value(wrapped, wrapped) > 1
    (tensor(True), tensor(True))
    """

    factor = ("sigma", -2)
    period: float = 2 * math.pi
    sigma: float = 1.0

    def __post_init__(self) -> None:
        check_period("Itoh", self.period)
        if not 0 < self.sigma < math.inf:
            raise ParameterError(f"Itoh: sigma must be finite and positive, got {self.sigma!r}")

    def value(self, u: Tensor, y: Tensor, space: SpaceLike | None = None) -> Tensor:
        item = _images(u, space)
        dims = tuple(range(-len(item.shape), 0))
        rows, columns = ((d - e).square().sum(dims) for d, e in zip(_differences(u), self._wrapped(y)))
        return (rows + columns) / (2 * self.sigma**2)

    def grad(self, u: Tensor, y: Tensor, space: SpaceLike | None = None) -> Tensor:
        _images(u, space)
        rows, columns = (d - e for d, e in zip(_differences(u), self._wrapped(y)))
        return _divergence(rows, columns) / self.sigma**2

    def prox(self, u: Tensor, y: Tensor, step: float | Tensor, space: SpaceLike | None = None) -> Tensor:
        item = _images(u, space)
        s = per_sample(step, item) / self.sigma**2
        C = CosineTransform(Space((1, *u.shape[-2:])))
        center = (u + s * _divergence(*self._wrapped(y))).unsqueeze(-3)
        scale = (1 + s * _eigenvalues(u)).unsqueeze(-3)
        return C.H(C(center) / scale).squeeze(-3)

    def lipschitz(self) -> float:
        return 8 / self.sigma**2

    def _wrapped(self, y: Tensor) -> tuple[Tensor, Tensor]:
        rows, columns = (d - self.period * (d / self.period).round() for d in _differences(y))
        return rows, columns


def unwrap(y: Tensor, *, period: float = 2 * math.pi) -> Tensor:
    """Return the image whose differences are nearest to the wrapped ones of ``y``, congruent to it.

    The minimizer of `Itoh`, by one discrete cosine transform and its inverse; then each pixel is moved to the
    nearest value that ``y`` allows. Exact, up to a multiple of the period, where Itoh's condition holds.

    Parameters
    ----------
    y : Tensor, shape (..., y, x)
        Real.
    period : float

    Returns
    -------
    Tensor, shape (..., y, x)
        Its mean turn is that of the least-squares solution with mean zero.

    Raises
    ------
    ShapeError, ParameterError

    References
    ----------
    D. C. Ghiglia and L. A. Romero, J. Opt. Soc. Am. A 11 (1994).

    Examples
    --------
    >>> ramp = torch.arange(0.0, 20.0, 2.0).expand(3, 10)
    >>> found = unwrap(torch.remainder(ramp, 2 * math.pi))
    >>> bool((found.diff() - 2).abs().max() < 1e-4)
    True
    """
    check_period("unwrap", period)
    if y.ndim < 2 or not y.is_floating_point() or 0 in y.shape[-2:]:
        raise ShapeError(f"unwrap takes a real image (..., y, x), got {y.dtype} {tuple(y.shape)}")
    images = y.reshape(-1, *y.shape[-2:])
    C = CosineTransform(Space(tuple(images.shape)))
    spread = _eigenvalues(images)
    spread[..., 0, 0] = 1
    seen = C(_divergence(*Itoh(period=period)._wrapped(images))) / spread
    seen = torch.cat((torch.zeros_like(seen.flatten(1)[:, :1]), seen.flatten(1)[:, 1:]), 1).view_as(seen)
    smooth = C.H(seen)
    offset = torch.angle(torch.exp(2j * torch.pi * (images - smooth) / period).mean((-2, -1), keepdim=True))
    smooth = smooth + offset * period / (2 * torch.pi)
    return (images + period * ((smooth - images) / period).round()).view_as(y)


def check_period(owner: str, period: float) -> None:
    """Raise a `ParameterError` unless a period is finite and positive."""
    if not 0 < period < math.inf:
        raise ParameterError(f"{owner}: period must be finite and positive, got {period!r}")


def _images(u: Tensor, space: SpaceLike | None) -> Space:
    item = space_of(u) if space is None else as_space(space)
    if not isinstance(item, Space) or len(item.shape) < 2 or item.kind != "real":
        raise ShapeError(f"Itoh is for real images (..., y, x), got {item}")
    return item


def _differences(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.diff(dim=-2), x.diff(dim=-1)


def _divergence(rows: Tensor, columns: Tensor) -> Tensor:
    """The adjoint of `_differences`."""
    pad = torch.nn.functional.pad
    return pad(rows, (0, 0, 1, 0)) - pad(rows, (0, 0, 0, 1)) + pad(columns, (1, 0)) - pad(columns, (0, 1))


def _eigenvalues(like: Tensor) -> Tensor:
    """Those of DᵀD in the basis of the cosine transform."""
    rows, columns = (
        2 - 2 * torch.cos(torch.pi / n * torch.arange(n, dtype=like.dtype, device=like.device))
        for n in like.shape[-2:]
    )
    return rows[:, None] + columns
