"""Samples of measures: point sources anywhere in space, blurred or in the Fourier domain."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from .._errors import DtypeError, ParameterError, ShapeError
from ..spaces import Space
from ._base import Operator


class MeasureSamples(Operator):
    r"""Samples of a sum of point sources off any grid: :math:`y_i = \sum_k a_k φ_i(p_k)`.

    A list of spikes is a tensor (spike, 1 + d) whose rows are (amplitude, position); rows of amplitude zero
    are empty places. With s the standard deviation ``sigma`` of a Gaussian and t the sampling points,

    * ``"gaussian"``: :math:`φ_i(p) = \exp(-|t_i - p|^2/2s^2)`, of peak 1;
    * ``"pixel"``: the same of integral 1, integrated over a pixel of side ``pixel`` around tᵢ, what a camera
      counts of a source of a photons;
    * ``"fourier"``: :math:`φ_i(p) = e^{-2πi\, t_i · p}`, the spectrum at frequencies t, without ``sigma``.

    Derivatives reach amplitudes, positions and ``sigma``.

    Parameters
    ----------
    points : Tensor, shape (*data, d)
        tᵢ with d = 1 to 3 coordinates, in any unit of length; frequencies in its inverse. Data have the shape
        of what is before the last dimension: (1, y, x) for an image.
    spikes : int
        Rows of the list.
    kernel : {"gaussian", "pixel", "fourier"}
    sigma : float or Tensor, shape (batch...), optional
        s, in the unit of the points.
    pixel : float, optional
        Side of a pixel, for that kernel.

    References
    ----------
    Q. Denoyelle, V. Duval, G. Peyré, E. Soubies, "The sliding Frank-Wolfe algorithm and its application to
    super-resolution microscopy", Inverse Problems 36 (2020).

    Examples
    --------
    >>> A = MeasureSamples(torch.linspace(0, 1, 3)[:, None], spikes=2, sigma=0.5)
    >>> A(torch.tensor([[2.0, 0.5], [0.0, 0.0]])).round(decimals=3)  # 2 exp(-1/2) at a distance of one sigma
    tensor([1.2130, 2.0000, 1.2130])
    """

    points: Tensor
    spikes: int
    kernel: Literal["gaussian", "pixel", "fourier"] = "gaussian"
    sigma: float | Tensor | None = None
    pixel: float | None = None
    params = ("sigma",)
    positional = 1

    def __post_init__(self) -> None:
        if not self.points.is_floating_point():
            raise DtypeError(f"MeasureSamples: points must be real and floating, got {self.points.dtype}")
        if self.points.ndim < 2 or not 1 <= self.points.shape[-1] <= 3 or not self.points.numel():
            raise ShapeError(
                f"MeasureSamples: points must be (*data, d) with d = 1 to 3, got {tuple(self.points.shape)}"
            )
        if not (isinstance(self.spikes, int) and self.spikes >= 1):
            raise ParameterError(f"MeasureSamples: spikes must be a whole number >= 1, got {self.spikes!r}")
        if self.kernel not in ("gaussian", "pixel", "fourier"):
            raise ParameterError(
                f"MeasureSamples: kernel must be 'gaussian', 'pixel' or 'fourier', got {self.kernel!r}"
            )
        for name, wanted in (("sigma", self.kernel != "fourier"), ("pixel", self.kernel == "pixel")):
            given = getattr(self, name)
            if (given is not None) != wanted:
                must = "must be given" if wanted else "is not used"
                raise ParameterError(f"MeasureSamples: {name} {must} with kernel={self.kernel!r}")
            if given is not None and not bool((torch.as_tensor(given).detach() > 0).all()):
                raise ParameterError(f"MeasureSamples: {name} must be positive, got {given!r}")

    @property
    def domain(self) -> Space:
        return Space((self.spikes, 1 + self.points.shape[-1]))

    @property
    def range(self) -> Space:
        return Space(tuple(self.points.shape[:-1]), "complex" if self.kernel == "fourier" else "real")

    def forward(self, x: Tensor) -> Tensor:
        amplitudes, atoms = x[..., 0], self.atoms(x[..., 1:])
        n = self.points.ndim - 1
        return (amplitudes.reshape(*amplitudes.shape, *(1,) * n) * atoms).sum(-n - 1)

    def atoms(self, positions: Tensor) -> Tensor:
        """φ of each position: (batch..., spike, d) to (batch..., spike, *data)."""
        n = self.points.ndim - 1
        p = positions.reshape(*positions.shape[:-1], *(1,) * n, positions.shape[-1])
        if self.kernel == "fourier":
            phase = -2 * math.pi * (self.points * p).sum(-1)
            return torch.complex(phase.cos(), phase.sin())
        s = torch.as_tensor(self.sigma, dtype=positions.dtype, device=positions.device)
        s = s.reshape(*s.shape, *(1,) * (n + 2))
        if self.kernel == "gaussian":
            return torch.exp(-((self.points - p) ** 2 / (2 * s**2)).sum(-1))
        assert self.pixel is not None
        root = math.sqrt(2) * s
        below, above = ((self.points - p + side * self.pixel / 2) / root for side in (-1, 1))
        return ((torch.erf(above) - torch.erf(below)) / 2).prod(-1)

    @property
    def bounds(self) -> Tensor:
        """Where spikes may be, (d, 2): the box of the points; one period for evenly spaced frequencies."""
        flat = self.points.reshape(-1, self.points.shape[-1])
        if self.kernel != "fourier":
            return torch.stack([flat.amin(0), flat.amax(0)], -1)
        sides = []
        for frequencies in flat.unbind(-1):
            apart = frequencies.unique().diff()
            sides.append(1 / apart.min() if apart.numel() else frequencies.new_tensor(1.0))
        period = torch.stack(sides)
        return torch.stack([torch.zeros_like(period), period], -1)

    @property
    def resolution(self) -> float:
        """The length on which φ varies: ``sigma`` (with half the pixel), or that of the highest frequency."""
        if self.kernel == "fourier":
            return 1 / (2 * math.pi * max(float(self.points.abs().max()), 1e-30))
        sigma = float(torch.as_tensor(self.sigma).detach().min())
        return math.hypot(sigma, (self.pixel or 0.0) / 2)
