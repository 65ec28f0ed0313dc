"""Parametric source models: visibilities of disks, rings, Gaussians and points in closed form."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from invcore import DtypeError, ParameterError, ShapeError
from invcore.operators import Operator, Space

MAS = math.pi / 180 / 3600 / 1000
"""A milliarcsecond in radians."""

_COMMON = {"flux": 1.0, "slope": 0.0}
_PLACED = {**_COMMON, "east": 0.0, "north": 0.0}
_EXTENDED = {**_PLACED, "ratio": 1.0, "angle": 0.0}
SHAPES: dict[str, dict[str, float]] = {
    "point": _PLACED,
    "disk": {**_EXTENDED, "diameter": 1.0},
    "limb_darkened": {**_EXTENDED, "diameter": 1.0, "coefficient": 0.3},
    "gaussian": {**_EXTENDED, "fwhm": 1.0},
    "ring": {**_EXTENDED, "diameter": 1.0},
    "background": _COMMON,
}
"""Parameters of each kind of part, with their default values."""


class SourceModel(Operator):
    r"""Visibilities of a source made of simple parts, relative to its total flux, from its parameters,

    .. math:: V = Σ_k f_k V_k(B/λ) e^{-2πi (u l_k + v m_k)/λ} / Σ_k f_k

    with the transforms of the parts, where x = π d B/λ for the diameter d and the baseline length B:

    * ``point``: 1; ``background``: 0, light spread over the whole field;
    * ``disk``, uniform: 2J₁(x)/x;
    * ``limb_darkened``, brightness 1 - c(1 - μ) with the cosine μ of the angle to the normal: the mixture of
      2J₁(x)/x and of 3(sin x - x cos x)/x³ with the fluxes (1 - c)/2 and c/3;
    * ``ring``, infinitely thin: J₀(x); ``gaussian``: exp(-(π w B/λ)²/(4 ln 2)) for the full width w at half
      maximum.

    All but the first two are elliptic if ``ratio`` (minor to major axis) is not 1: diameter and width are
    those of the major axis, at the position angle ``angle`` from north to east. Fluxes scale as (λ/λ₀)^slope
    with the middle wavelength λ₀.

    Parameters
    ----------
    parts : tuple of str
        Kinds of the parts, as above.
    free : tuple of str
        Input parameters in order, by number of the part and name: ``("0.diameter", "1.flux")``. Angles on the
        sky (diameter, fwhm, east, north) are in milliarcseconds, ``angle`` in degrees.
    fixed : tuple of (str, float)
        Values of other parameters. Defaults are flux 1, position at the center, ratio 1, slope 0, diameter
        and fwhm 1, and coefficient 0.3.
    baselines : Tensor, shape (row, 2)
        u and v in meters, to the east and to the north.
    wavelengths : Tensor, shape (frequency,)
        Wavelengths in meters.

    Raises
    ------
    ParameterError, ShapeError, DtypeError
        If a part or parameter is unknown, or the tensors do not fit.

    References
    ----------
    J.-P. Berger, D. Segransan, "An introduction to visibility modeling", New Astron. Rev. 51 (2007); R.
    Hanbury Brown et al., "The effects of limb darkening on measurements of angular size with an intensity
    interferometer", MNRAS 167 (1974).

    Examples
    --------
    A star of 3 mas is resolved by a baseline of 1.22 λ/d:

    >>> length = 1.219670 * 2e-6 / (3 * MAS)
    >>> model = SourceModel(parts=("disk",), free=("0.diameter",), baselines=torch.tensor([[length, 0.0]]),
    ...                     wavelengths=torch.tensor([2e-6]))
    >>> model(torch.tensor([3.0])).abs().round(decimals=4)
    tensor([[0.]])
    """

    parts: tuple[str, ...]
    free: tuple[str, ...]
    baselines: Tensor
    wavelengths: Tensor
    fixed: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        unknown = [p for p in self.parts if p not in SHAPES]
        if unknown or not self.parts:
            raise ParameterError(f"SourceModel: parts must be of {sorted(SHAPES)}, got {self.parts}")
        known = {f"{k}.{name}" for k, part in enumerate(self.parts) for name in SHAPES[part]}
        wrong = [name for name in (*self.free, *(name for name, _ in self.fixed)) if name not in known]
        if wrong:
            raise ParameterError(f"SourceModel: no parameter {wrong[0]!r}; there are {sorted(known)}")
        if len(set(self.free)) < len(self.free) or {name for name, _ in self.fixed} & set(self.free):
            raise ParameterError("SourceModel: a parameter is named twice in free and fixed")
        for name, shape in (("baselines", (None, 2)), ("wavelengths", (None,))):
            t = getattr(self, name)
            if not t.is_floating_point():
                raise DtypeError(f"SourceModel: {name} must be real, got {t.dtype}")
            if t.ndim != len(shape) or any(n is not None and n != m for n, m in zip(shape, t.shape)):
                raise ShapeError(
                    f"SourceModel: {name} must have shape (row, 2) or (frequency,), got {tuple(t.shape)}"
                )

    @property
    def domain(self) -> Space:
        """One number for each free parameter."""
        return Space((len(self.free),))

    @property
    def range(self) -> Space:
        """Visibilities, ``(row, frequency)`` complex."""
        return Space((self.baselines.shape[0], len(self.wavelengths)), "complex")

    def named(self, x: Tensor) -> dict[str, Tensor]:
        """Return all parameters, free and fixed, of shape (batch...), by number of the part and name."""
        values = {
            f"{k}.{name}": torch.full(x.shape[:-1], default, dtype=x.dtype, device=x.device)
            for k, part in enumerate(self.parts)
            for name, default in SHAPES[part].items()
        }
        values.update({name: torch.full_like(values[name], value) for name, value in self.fixed})
        values.update({name: x[..., n] for n, name in enumerate(self.free)})
        return values

    def forward(self, x: Tensor) -> Tensor:
        values = {name: v[..., None, None] for name, v in self.named(x).items()}
        wavelength = self.wavelengths.to(x.dtype)
        u, v = (self.baselines[:, k, None].to(x.dtype) * (MAS / wavelength) for k in (0, 1))
        color = (wavelength / ((wavelength.min() + wavelength.max()) / 2)).log()
        total: Tensor | None = None
        flux: Tensor | None = None
        for k, part in enumerate(self.parts):
            own = {name: values[f"{k}.{name}"] for name in SHAPES[part]}
            f = own["flux"] * torch.exp(own["slope"] * color)
            flux = f if flux is None else flux + f
            if part == "background":
                term = torch.complex(torch.zeros_like(f * u), torch.zeros_like(f * u))
            else:
                phase = -2 * math.pi * (u * own["east"] + v * own["north"])
                size = f * _transform(part, own, u, v)
                term = torch.complex(size * torch.cos(phase), size * torch.sin(phase))
            total = term if total is None else total + term
        assert total is not None and flux is not None
        return total / flux


def _transform(part: str, own: dict[str, Tensor], u: Tensor, v: Tensor) -> Tensor:
    """Visibility of a part of flux 1 at the center; u and v are in cycles per milliarcsecond."""
    if part == "point":
        return torch.ones_like(u)
    turn = torch.deg2rad(own["angle"])
    major = u * torch.sin(turn) + v * torch.cos(turn)
    minor = (u * torch.cos(turn) - v * torch.sin(turn)) * own["ratio"]
    if part == "gaussian":
        return torch.exp(
            -((math.pi * own["fwhm"]) ** 2) * (major.square() + minor.square()) / (4 * math.log(2))
        )
    tiny = torch.finfo(u.dtype).tiny
    x = math.pi * own["diameter"] * (major.square() + minor.square()).clamp_min(tiny).sqrt()
    if part == "limb_darkened":
        c = own["coefficient"]
        flat, dark = (1 - c) / 2, c / 3
        return (flat * _cosines(x, "disk") + dark * _cosines(x, "sphere")) / (flat + dark)
    return _cosines(x, part)


@lru_cache(maxsize=16)
def _nodes(profile: str) -> tuple[np.ndarray, np.ndarray]:
    """Quadrature nodes in [0, 1] and weights of sum 1 for a brightness profile projected on the baseline.

    A circular source of brightness (1 - r²)^(n - 1) is projected to (1 - t²)^(n - 1/2): n = 0 is the ring, 1
    the disk, 3/2 the sphere.
    """
    if profile == "sphere":
        t, w = np.polynomial.legendre.leggauss(64)
        t, w = (t + 1) / 2, w / 2 * (1 - ((t + 1) / 2) ** 2)
    else:
        angle = (np.arange(48) + 0.5) * (np.pi / 96)
        t, w = np.sin(angle), (np.cos(angle) ** 2 if profile == "disk" else np.ones(48))
    return t, w / w.sum()


def _cosines(x: Tensor, profile: str) -> Tensor:
    """Σ w cos(x t), which is J₀(x), 2J₁(x)/x or 3(sin x - x cos x)/x³ to rounding for x < 100."""
    t, w = (torch.from_numpy(a).to(x) for a in _nodes(profile))
    return torch.cos(x.unsqueeze(-1) * t) @ w
