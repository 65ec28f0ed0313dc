"""Transforms that interpolate: scalings, homographies, diffeomorphisms."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

import invcore
from invcore import Space
from invcore.operators import Warp

from .base import Transform


def centered(x: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates (y, x) of the pixels from the center, in units of half the longer side."""
    h, w = x.shape[-2:]
    unit = max(h, w) / 2
    v, u = ((torch.arange(n, dtype=torch.float64, device=x.device) - (n - 1) / 2) / unit for n in (h, w))
    return v[:, None].expand(h, w), u.expand(h, w)


def warp(x: Tensor, v: Tensor, u: Tensor) -> Tensor:
    """Values of images (n, ..., y, x) at centered coordinates (n, y, x): cubic, zero outside."""
    h, w = x.shape[-2:]
    unit = max(h, w) / 2
    flat = x.reshape(len(x), -1, h, w)
    at = torch.stack([unit * v + (h - 1) / 2, unit * u + (w - 1) / 2], 1).to(x.real.dtype)
    domain = Space(tuple(flat.shape[1:]), "complex" if x.is_complex() else "real")
    out: Tensor = Warp(at, domain, interpolation="cubic")(flat)
    return out.reshape(x.shape)


class Scale(Transform):
    """Scalings of the last two dimensions about a random point.

    Parameters
    ----------
    low, high : float
        Limits of the factor, drawn uniformly in its logarithm.
    center : float
        The fixed point is drawn up to this part of half the longer side from the center.

    References
    ----------
    J. Scanvic, M. Davies, P. Abry, J. Tachella, Scale-equivariant imaging: self-supervised learning for image
    super-resolution and deblurring (2023), arXiv:2312.11232.

    Examples
    --------
    >>> x = torch.ones(1, 9, 9)
    >>> Scale().apply(x, torch.tensor([math.log(0.5), 0.0, 0.0])).sum().round()  # of 81 pixels
    tensor(25.)
    """

    exact: ClassVar[bool] = False
    low: float = 0.5
    high: float = 1.0
    center: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high:
            raise invcore.ParameterError(f"Scale: expected 0 < low <= high, got {self.low!r}, {self.high!r}")

    def _draw(self, generator: torch.Generator) -> Tensor:
        a, p, q = torch.rand(3, dtype=torch.float64, generator=generator)
        factor = math.log(self.low) + a * math.log(self.high / self.low)
        return torch.stack([factor, self.center * (2 * p - 1), self.center * (2 * q - 1)])

    def _apply(self, x: Tensor, g: Tensor) -> Tensor:
        factor, p, q = (t.reshape(-1, 1, 1).to(x.device) for t in g.unbind(-1))
        v, u = centered(x)
        shrink = torch.exp(-factor)
        return warp(x, p + shrink * (v - p), q + shrink * (u - q))

    def _undo(self, x: Tensor, g: Tensor) -> Tensor:
        return self._apply(x, g * torch.tensor([-1.0, 1.0, 1.0], dtype=g.dtype, device=g.device))


class Homography(Transform):
    """Maps of the plane that a camera sees when it moves: projective, and its subgroups.

    H = P S R Z K: perspective by pan and tilt at the field of view 2 arctan(1), shift, rotation, zoom and
    stretch, skew, each drawn uniformly. The parameters are the nine entries of H.

    Parameters
    ----------
    family : {"projective", "affine", "similarity", "euclidean", "pan_tilt_rotate"}
        What is drawn: all; without pan and tilt; rotation, shift and zoom; rotation and shift; rotations of
        the camera.
    rotation : float
        Largest angle in the plane, in radians.
    tilt : float
        Largest angle of pan and tilt, in radians.
    zoom : float
        Largest factor ≥ 1; as small as its inverse.
    shift : float
        Largest shift, relative to half the longer side.
    stretch : float
        Largest ratio ≥ 1 of the scales along the axes.
    skew : float
        Largest slope.

    References
    ----------
    A. Wang, M. Davies, Perspective-equivariance for unsupervised imaging with camera geometry, ECCV Workshops
    2024.

    Examples
    --------
    >>> T = Homography(family="euclidean")
    >>> H = T.draw(generator=torch.Generator().manual_seed(0)).reshape(3, 3)
    >>> torch.allclose(H[:2, :2] @ H[:2, :2].mT, torch.eye(2, dtype=H.dtype))
    True
    """

    exact: ClassVar[bool] = False
    family: Literal["projective", "affine", "similarity", "euclidean", "pan_tilt_rotate"] = "projective"
    rotation: float = math.pi
    tilt: float = 0.2
    zoom: float = 1.3
    shift: float = 0.2
    stretch: float = 1.2
    skew: float = 0.2

    def __post_init__(self) -> None:
        if self.family not in _PARTS:
            raise invcore.ParameterError(
                f"Homography: family must be one of {', '.join(_PARTS)}, got {self.family!r}"
            )
        if not (self.zoom >= 1 and self.stretch >= 1 and 0 <= self.tilt < math.pi / 4):
            raise invcore.ParameterError(
                "Homography: expected zoom >= 1, stretch >= 1 and 0 <= tilt < π/4, got "
                f"{self.zoom!r}, {self.stretch!r} and {self.tilt!r}"
            )

    def _draw(self, generator: torch.Generator) -> Tensor:
        r = 2 * torch.rand(8, dtype=torch.float64, generator=generator) - 1
        parts = _PARTS[self.family]
        used = [r[i] if part in parts else torch.zeros_like(r[0]) for i, part in enumerate(_DRAWN)]
        turn, pan, tilt = self.rotation * used[0], self.tilt * used[1], self.tilt * used[2]
        dx, dy = self.shift * used[3], self.shift * used[4]
        zoom, wide = torch.exp(math.log(self.zoom) * used[5]), torch.exp(math.log(self.stretch) / 2 * used[6])
        H = _matrix([[1, self.skew * used[7], 0], [0, 1, 0], [0, 0, 1]])
        H = _matrix([[zoom * wide, 0, 0], [0, zoom / wide, 0], [0, 0, 1]]) @ H
        H = _matrix([[turn.cos(), -turn.sin(), dx], [turn.sin(), turn.cos(), dy], [0, 0, 1]]) @ H
        H = _matrix([[pan.cos(), 0, pan.sin()], [0, 1, 0], [-pan.sin(), 0, pan.cos()]]) @ H
        H = _matrix([[1, 0, 0], [0, tilt.cos(), -tilt.sin()], [0, tilt.sin(), tilt.cos()]]) @ H
        return (H / H[2, 2]).flatten()

    def _apply(self, x: Tensor, g: Tensor) -> Tensor:
        inverse = torch.linalg.inv(g.reshape(-1, 3, 3).double()).to(x.device)
        v, u = centered(x)
        p, q, r = torch.einsum("nij,jyx->niyx", inverse, torch.stack([u, v, torch.ones_like(u)])).unbind(1)
        behind = r <= 0
        r = torch.where(behind, 1, r)
        far = torch.full_like(r, 10.0)
        return warp(x, torch.where(behind, far, q / r), torch.where(behind, far, p / r))

    def _undo(self, x: Tensor, g: Tensor) -> Tensor:
        return self._apply(x, torch.linalg.inv(g.reshape(-1, 3, 3)).flatten(1))

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        """The product of the matrices."""
        both = a.reshape(*a.shape[:-1], 3, 3) @ b.reshape(*b.shape[:-1], 3, 3)
        return both.flatten(-2)


_DRAWN = ("rotation", "tilt", "tilt", "shift", "shift", "zoom", "stretch", "skew")
_PARTS: dict[str, tuple[str, ...]] = {
    "projective": _DRAWN,
    "affine": ("rotation", "shift", "zoom", "stretch", "skew"),
    "similarity": ("rotation", "shift", "zoom"),
    "euclidean": ("rotation", "shift"),
    "pan_tilt_rotate": ("rotation", "tilt"),
}


def _matrix(rows: list[list[float | Tensor]]) -> Tensor:
    return torch.stack([torch.stack([torch.as_tensor(v, dtype=torch.float64) for v in row]) for row in rows])


class Diffeomorphism(Transform):
    r"""Smooth deformations of the plane that fix the border: the flow of a random field at time one.

    .. math:: \dot p = v(p), \quad v(p) = \sum_{i,j=1}^{c} C_{ij} \sin(iπ p_1) \sin(jπ p_2)

    on the unit square, with normal C_{ij} of variance ∝ 1/(i² + j²) [1]_. The inverse is the flow of -v.

    Parameters
    ----------
    modes : int
        c, the highest frequency.
    strength : float
        Root mean square of v, relative to the sides of the image.

    References
    ----------
    .. [1] L. Petrini, A. Favero, M. Geiger, M. Wyart, Relative stability toward diffeomorphisms indicates
       performance in deep nets, NeurIPS 2021.

    Examples
    --------
    >>> T = Diffeomorphism()
    >>> x = torch.ones(1, 8, 8)
    >>> bool((T(x, generator=torch.Generator().manual_seed(0))[:, 2:-2, 2:-2] > 0.99).all())
    True
    """

    exact: ClassVar[bool] = False
    modes: int = 3
    strength: float = 0.03

    def __post_init__(self) -> None:
        if self.modes < 1 or not self.strength >= 0:
            raise invcore.ParameterError(
                f"Diffeomorphism: expected modes >= 1 and strength >= 0, got {self.modes!r} and "
                f"{self.strength!r}"
            )

    def _draw(self, generator: torch.Generator) -> Tensor:
        i = torch.arange(1, self.modes + 1, dtype=torch.float64)
        variance = 1 / (i[:, None] ** 2 + i**2)
        scale = self.strength * (4 * variance / variance.sum()).sqrt()  # the mean of sin² sin² is 1/4
        shape = (2, self.modes, self.modes)
        return (scale * torch.randn(shape, dtype=torch.float64, generator=generator)).flatten()

    def _apply(self, x: Tensor, g: Tensor) -> Tensor:
        c = -g.to(x.device).reshape(-1, 2, self.modes, self.modes)  # where the value of a pixel comes from
        h, w = x.shape[-2:]
        k = math.pi * torch.arange(1, self.modes + 1, dtype=torch.float64, device=x.device)
        y = (torch.arange(h, dtype=torch.float64, device=x.device) + 0.5) / h
        z = (torch.arange(w, dtype=torch.float64, device=x.device) + 0.5) / w
        p = torch.stack([y[:, None].expand(h, w), z.expand(h, w)]).expand(len(x), 2, h, w)

        def v(p: Tensor) -> Tensor:
            a, b = (torch.sin(p[:, i, ..., None] * k) for i in (0, 1))
            return torch.einsum("ndij,nyxi,nyxj->ndyx", c, a, b)

        steps = 8
        for _ in range(steps):  # Runge-Kutta of order four
            k1 = v(p)
            k2 = v(p + k1 / (2 * steps))
            k3 = v(p + k2 / (2 * steps))
            k4 = v(p + k3 / steps)
            p = p + (k1 + 2 * k2 + 2 * k3 + k4) / (6 * steps)
        unit = max(h, w) / 2
        return warp(x, (p[:, 0] - 0.5) * h / unit, (p[:, 1] - 0.5) * w / unit)

    def _undo(self, x: Tensor, g: Tensor) -> Tensor:
        return self._apply(x, -g)
