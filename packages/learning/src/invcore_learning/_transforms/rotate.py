"""Rotations in the plane: exact by quarter turns, else by interpolation or by three shears."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

import invcore

from .base import Transform
from .warp import centered, warp

_QUARTER = math.pi / 2


class Rotate(Transform):
    """Rotations of the last two dimensions about the center of the image.

    Quarter turns permute pixels (they need square images where they are odd); other angles are quarter turns
    and a rotation of at most π/4.

    Parameters
    ----------
    step : float
        Angles are multiples of it, in radians; 0 for any angle.
    limit : float
        Largest angle, in radians.
    method : {"interpolation", "shear"}
        ``"shear"``: three shears by Fourier transforms [1]_, which are undone exactly, and wrap at the edges;
        ``"interpolation"``: cubic, zero outside.

    Raises
    ------
    ShapeError
        For an odd quarter turn of an image that is not square.

    References
    ----------
    .. [1] M. Unser, P. Thévenaz, L. Yaroslavsky, Convolution-based interpolation for fast, high-quality
       rotation of images, IEEE Trans. Image Process. 4 (1995).

    Examples
    --------
    >>> x = torch.arange(4.0).reshape(1, 2, 2)
    >>> Rotate().apply(x, torch.tensor([math.pi / 2]))
    tensor([[[1., 3.],
             [0., 2.]]])
    """

    step: float = _QUARTER
    limit: float = math.pi
    method: Literal["interpolation", "shear"] = "interpolation"

    def __post_init__(self) -> None:
        if not (self.step >= 0 and self.limit >= 0):
            raise invcore.ParameterError(
                f"Rotate: step and limit must be >= 0, got {self.step!r} and {self.limit!r}"
            )
        if self.method not in ("interpolation", "shear"):
            raise invcore.ParameterError(
                f"Rotate: method must be 'interpolation' or 'shear', got {self.method!r}"
            )
        if self.spatial_dims < 2:
            raise invcore.ParameterError("Rotate: expected two spatial dimensions or more")

    @property
    def exact(self) -> bool:  # type: ignore[override]
        """True for quarter turns and shears."""
        turns = self.step / _QUARTER
        return self.method == "shear" or (turns > 0 and abs(turns - round(turns)) < 1e-9)

    def _angles(self) -> Tensor:
        count = math.floor(self.limit / self.step + 1e-9)
        angles = self.step * torch.arange(-count, count + 1, dtype=torch.float64)
        return angles[1:] if abs(2 * count * self.step - 2 * math.pi) < 1e-9 else angles

    def _draw(self, generator: torch.Generator) -> Tensor:
        if not self.step:
            return self.limit * (2 * torch.rand(1, dtype=torch.float64, generator=generator) - 1)
        angles = self._angles()
        return angles[torch.randint(len(angles), (1,), generator=generator)]

    def _apply(self, x: Tensor, g: Tensor) -> Tensor:
        turns = (g[:, 0] / _QUARTER).round()
        rest = g[:, 0] - turns * _QUARTER
        x = _turned(x, turns.long().cpu() % 4)
        return self._rotated(x, rest) if bool((rest.abs() > 1e-9).any()) else x

    def _undo(self, x: Tensor, g: Tensor) -> Tensor:
        turns = (g[:, 0] / _QUARTER).round()
        rest = g[:, 0] - turns * _QUARTER
        x = self._rotated(x, -rest) if bool((rest.abs() > 1e-9).any()) else x
        return _turned(x, -turns.long().cpu() % 4)

    def _rotated(self, x: Tensor, angle: Tensor) -> Tensor:
        angle = angle.to(x.device)
        if self.method == "shear":
            half = torch.tan(angle / 2)
            return _sheared(_sheared(_sheared(x, -1, half), -2, -torch.sin(angle)), -1, half)
        v, u = centered(x)
        c, s = (f(angle).reshape(-1, 1, 1) for f in (torch.cos, torch.sin))
        return warp(x, c * v + s * u, c * u - s * v)

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        """The sum of the angles."""
        return a + b

    def elements(self, shape: tuple[int, ...]) -> Tensor:
        """All angles, if they are a group."""
        if not self.step or abs(len(self._angles()) * self.step - 2 * math.pi) > 1e-9:
            raise invcore.ParameterError("Rotate: only multiples of 2π/n up to π are a finite group")
        return self._angles()[:, None]


def _turned(x: Tensor, turns: Tensor) -> Tensor:
    """Quarter turns from the x axis to the y axis upwards, one number per image."""
    if bool((turns % 2 == 1).any()) and x.shape[-1] != x.shape[-2]:
        raise invcore.ShapeError(
            f"Rotate: quarter turns need square images, got {tuple(x.shape[-2:])}: Rotate(step=math.pi)"
        )
    where = turns.to(x.device).reshape(-1, *(1,) * (x.ndim - 1))
    out = x
    for k in set(turns.tolist()) - {0}:
        out = torch.where(where == k, torch.rot90(x, k, (-2, -1)), out)
    return out


def _sheared(x: Tensor, dim: int, slope: Tensor) -> Tensor:
    """Shift each line along ``dim`` by slope times its distance from the center, but for Nyquist."""
    n, other = x.shape[dim], -3 - dim
    m = x.shape[other]
    across = torch.arange(m, dtype=torch.float64, device=x.device) - (m - 1) / 2
    f = torch.fft.fftfreq(n, dtype=torch.float64, device=x.device)
    if n % 2 == 0:
        f[n // 2] = 0
    phase = -2 * math.pi * slope.reshape(-1, 1, 1) * across[:, None] * f
    if dim == -2:
        phase = phase.mT
    phase = phase.reshape(len(x), *(1,) * (x.ndim - 3), *phase.shape[-2:])
    spectrum = torch.fft.fft(x, dim=dim)
    out = torch.fft.ifft(spectrum * torch.polar(torch.ones_like(phase), phase).to(spectrum.dtype), dim=dim)
    return out if x.is_complex() else out.real
