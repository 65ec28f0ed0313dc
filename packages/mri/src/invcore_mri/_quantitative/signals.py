"""Base class of signal models: from maps of tissue parameters to a series of images."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from invcore import DtypeError, LinearOperator, Operator, ParameterError, ShapeError, Space
from invcore.spaces import check

_LARGEST = 15.0  # of a logarithm: times from 0.3 μs to 38 days


class SignalModel(Operator, abstract=True):
    """Base class of operators from parameter maps to a series of images.

    The domain has one block a map, as `names` lists them: the complex magnetization M0, and real maps.
    Relaxation times enter by their natural logarithm (of seconds): any real number is a time, and a step
    means the same where times are short and where they are long. `coordinates` and `maps` convert.

    Notes
    -----
    Domain: ``(1, *spatial)`` for each map. Range: ``(1, frame, *spatial)``, complex.
    """

    names: ClassVar[tuple[str, ...]]
    varied: ClassVar[str] = "times"

    if TYPE_CHECKING:

        @property
        def shape(self) -> tuple[int, ...]:
            """Spatial dimensions."""

    def _check(self) -> None:
        name, t = type(self).__name__, self._settings
        if not t.is_floating_point():
            raise DtypeError(f"{name}: {self.varied} must be real and floating, got {t.dtype}")
        if t.ndim < 1 or t.shape[-1] < 2:
            raise ShapeError(f"{name}: {self.varied} must be (..., frame), two or more; got {tuple(t.shape)}")
        if not self.shape or any(n < 1 for n in self.shape):
            raise ShapeError(f"{name}: shape must be spatial dimensions, got {self.shape!r}")

    @property
    def domain(self) -> tuple[Space, ...]:
        return tuple(Space((1, *self.shape), "complex" if n == "M0" else "real") for n in self.names)

    @property
    def range(self) -> Space:
        return Space((1, self._settings.shape[-1], *self.shape), "complex")

    def forward(self, x: tuple[Tensor, ...]) -> Tensor:
        return self._signal(*(part.unsqueeze(-len(self.shape) - 1) for part in x))

    def linearize(self, x: Any) -> LinearOperator:
        """The Jacobian, which multiplies pixels by the derivative images: one for each map."""
        check(x, self.domain, f"Point at which {type(self).__name__} is linearized")
        slopes = []
        for i in range(len(x)):
            ones = tuple(torch.ones_like(p) if i == j else torch.zeros_like(p) for j, p in enumerate(x))
            slopes.append(torch.func.jvp(self.forward, (x,), (ones,))[1])
        return SignalSlopes(tuple(slopes), self.domain, self.range)

    def coordinates(self, **maps: Tensor) -> tuple[Tensor, ...]:
        """Return the element of the domain that has these maps.

        Parameters
        ----------
        **maps : Tensor, shape (..., 1, *spatial)
            By name: M0 complex or real, times in seconds, positive.

        Raises
        ------
        ParameterError, ShapeError
        """
        name = type(self).__name__
        if set(maps) != set(self.names):
            raise ParameterError(f"{name}: the maps are {', '.join(self.names)}; got {', '.join(maps)}")
        found = []
        for key, space in zip(self.names, self.domain):
            value = maps[key]
            if tuple(value.shape[-len(space.shape) :]) != space.shape:
                raise ShapeError(f"{name}: {key} must be (..., *{space.shape}), got {tuple(value.shape)}")
            if key.startswith("T"):
                if not bool((value > 0).all()):
                    raise ParameterError(f"{name}: {key} is a time in seconds and must be positive")
                value = value.log()
            found.append(value + 0j if key == "M0" and not value.is_complex() else value)
        return tuple(found)

    def maps(self, x: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Return the maps by name, times in seconds: the inverse of `coordinates`."""
        return {key: part.exp() if key.startswith("T") else part for key, part in zip(self.names, x)}

    def start(self, images: Tensor) -> tuple[Tensor, ...]:
        """Estimate the maps of each pixel by linear fits: where an iterative fit starts.

        Parameters
        ----------
        images : Tensor, shape (..., 1, frame, *spatial)
            Complex.

        Returns
        -------
        tuple of Tensor
            An element of the domain.

        Raises
        ------
        ShapeError
        """
        name, shape = type(self).__name__, self.range.shape
        if self._settings.ndim != 1:
            raise ShapeError(f"{name}: a start needs one protocol, got {tuple(self._settings.shape)}")
        if tuple(images.shape[-len(shape) :]) != shape or not images.is_complex():
            raise ShapeError(
                f"{name}: images must be complex (..., *{shape}), got {images.dtype} {tuple(images.shape)}"
            )
        return tuple(part.squeeze(-len(self.shape) - 1) for part in self._start(images))

    @property
    @abstractmethod
    def _settings(self) -> Tensor:
        """What differs from frame to frame, (..., frame)."""

    @abstractmethod
    def _signal(self, *x: Tensor) -> Tensor:
        """Images (..., 1, frame, *spatial) of coordinates (..., 1, 1, *spatial)."""

    @abstractmethod
    def _start(self, images: Tensor) -> tuple[Tensor, ...]:
        """Coordinates (..., 1, 1, *spatial)."""

    def _over_pixels(self, t: Tensor) -> Tensor:
        """(..., frame) to (..., 1, frame, 1, 1)."""
        return t.reshape(*t.shape[:-1], 1, t.shape[-1], *(1,) * len(self.shape))

    def _sum(self, images: Tensor) -> Tensor:
        """The sum over frames, (..., 1, 1, *spatial)."""
        return images.sum(-len(self.shape) - 1, keepdim=True)


class SignalSlopes(LinearOperator):
    """Σ_p slope_p v_p: the derivative of a signal model, pixel by pixel."""

    slopes: tuple[Tensor, ...]
    domain: tuple[Space, ...]
    range: Space
    positional: ClassVar[int | None] = 3

    def forward(self, x: tuple[Tensor, ...]) -> Tensor:
        axis = 1 - len(self.range.shape)
        total = self.slopes[0] * x[0].unsqueeze(axis)
        for slope, part in zip(self.slopes[1:], x[1:]):
            total = total + slope * part.unsqueeze(axis)
        return total

    def adjoint(self, y: Tensor) -> tuple[Tensor, ...]:
        axis = 1 - len(self.range.shape)
        found = [(slope.conj() * y).sum(axis) for slope in self.slopes]
        return tuple(v if s.kind == "complex" else v.real for v, s in zip(found, self.domain))


def decay(times: Tensor, log_time: Tensor) -> Tensor:
    """exp(-t / T) with T = exp(log_time)."""
    return torch.exp(-times * torch.exp(-log_time.clamp(-_LARGEST, _LARGEST)))


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b, zero where b is."""
    return torch.where(b != 0, a / torch.where(b != 0, b, 1), 0)
