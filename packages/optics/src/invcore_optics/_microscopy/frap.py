"""Recovery of fluorescence after photobleaching, of condensates with a barrier."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import least_squares
from torch import Tensor

from invcore import DtypeError, Operator, ParameterError, Physics, ShapeError, Space, cramer_rao
from invcore.noises import GaussianNoise
from invcore.spaces import check

from .diffusion_steps import Solve, across, gathered

NAMES = ("diffusion_inside", "diffusion_outside", "permeability", "partition", "bleach_depth", "fading")
"""The parameters of `Frap`, in order."""


class Frap(Operator):
    r"""Movie of the recovery after bleaching of a droplet in a cell, from the logarithms of six parameters.

    .. math:: \frac{∂c}{∂t} = ∇ · (D ∇ c), \qquad j = κ (c_{in} - Γ c_{out}) \text{ across the interface}

    for the unbleached molecules c, at first Γ inside and 1 outside times exp(-K b) with the bleach map b; no
    flux leaves the cell. What is seen is c exp(-k t), with k the fading by observation. By finite volumes
    and implicit steps, the resistance of the barrier that of the face between an inside and an outside
    cell: mass is conserved to rounding.

    The image is the vector of ln D_in, ln D_out, ln κ, ln Γ, ln K, ln k, so that parameters are positive and
    errors relative. Length is in the unit in which ``pixel`` is given, micrometers as a rule: D in µm²/s, κ
    in µm/s, k in 1/s.

    Parameters
    ----------
    inside : Tensor, shape (y, x), bool
        The droplet; a shape (x,) makes a slab, with walls along the axis.
    bleach : Tensor, shape (..., y, x)
        b ≥ 0; leading dimensions are batch.
    times : Tensor, shape (frame,)
        Seconds after bleaching, growing, 0 or later.
    pixel : float
        Side of a cell.
    cell : Tensor, shape (y, x), bool, optional
        Where molecules can be; everywhere by default.
    radial : {0, 1, 2}
        0: plane coordinates. For a mask of shape (x,): the radius from the center of a disk (1) or of a
        sphere (2).
    substeps : int
        Steps of Crank–Nicolson between two frames; the first is four half steps of implicit Euler, which
        damps the jumps of c.
    interface : float
        Factor on the area of the interface: π/4 makes up for the staircase of a round droplet in the plane.

    Notes
    -----
    Domain ``(6,)``, range ``(frame, y, x)`` or ``(frame, x)``. Computed in double precision.

    Raises
    ------
    ShapeError, DtypeError, ParameterError

    References
    ----------
    L. Hubatsch et al., "Quantitative theory for the diffusive dynamics of liquid condensates", eLife 10
    (2021).

    Examples
    --------
    >>> slab = torch.ones(1, 4, dtype=torch.bool)
    >>> half = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    >>> A = Frap(inside=slab, bleach=half, times=torch.tensor([0.0, 100.0]), pixel=1.0)
    >>> x = A.parameters_of(diffusion_inside=1.0, bleach_depth=math.log(2), fading=1e-9)
    >>> A(x).round(decimals=3)
    tensor([[[0.5000, 0.5000, 1.0000, 1.0000]],
    <BLANKLINE>
            [[0.7500, 0.7500, 0.7500, 0.7500]]])
    """

    inside: Tensor
    bleach: Tensor
    times: Tensor
    pixel: float
    cell: Tensor | None = None
    radial: int = 0
    substeps: int = 4
    interface: float = 1.0
    params = ("bleach",)

    def __post_init__(self) -> None:
        shape = tuple(self.inside.shape)
        for name, mask in (("inside", self.inside), ("cell", self.cell)):
            if mask is not None and (mask.dtype != torch.bool or tuple(mask.shape) != shape):
                raise ShapeError(
                    f"Frap: {name} must be a mask of bool of shape {shape}, got {mask.dtype} "
                    f"{tuple(mask.shape)}"
                )
        if not 1 <= len(shape) <= 2 or 0 in shape:
            raise ShapeError(f"Frap: inside must be (y, x) or (x,), got {shape}")
        if not self.bleach.is_floating_point():
            raise DtypeError(f"Frap: bleach must be a real floating tensor, got {self.bleach.dtype}")
        if tuple(self.bleach.shape[-len(shape) :]) != shape:
            raise ShapeError(f"Frap: bleach must be (..., {shape}), got {tuple(self.bleach.shape)}")
        steps = self.times.diff() if self.times.ndim == 1 else self.times
        if self.times.ndim != 1 or not len(self.times) or not bool((steps > 0).all()) or self.times[0] < 0:
            raise ParameterError("Frap: times must be a growing list of seconds, from 0 on")
        if not 0 < self.pixel < math.inf:
            raise ParameterError(f"Frap: pixel must be a positive length, got {self.pixel!r}")
        if self.radial not in (0, 1, 2) or (self.radial and len(shape) != 1):
            raise ParameterError("Frap: radial is 0, or 1 or 2 with a mask of shape (radius,)")
        if not (isinstance(self.substeps, int) and self.substeps >= 1):
            raise ParameterError(f"Frap: substeps must be a whole number >= 1, got {self.substeps!r}")

    @property
    def domain(self) -> Space:
        return Space((len(NAMES),))

    @property
    def range(self) -> Space:
        return Space((len(self.times), *self.inside.shape))

    @staticmethod
    def parameters_of(
        *,
        diffusion_inside: float,
        diffusion_outside: float = 1.0,
        permeability: float = 1e3,
        partition: float = 1.0,
        bleach_depth: float = 1.0,
        fading: float = 1e-6,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Return the image of these parameters, their logarithms, shape (6,).

        Parameters
        ----------
        diffusion_inside, diffusion_outside : float
            D in and around the droplet.
        permeability : float
            κ.
        partition : float
            Γ, concentration inside over outside at equilibrium.
        bleach_depth : float
            K.
        fading : float
            k.
        dtype : torch.dtype
        """
        values = (diffusion_inside, diffusion_outside, permeability, partition, bleach_depth, fading)
        return torch.tensor(values, dtype=torch.float64).log().to(dtype)

    @cached_property
    def _cells(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Cells on both sides of each face, its area, its kind (in, out, interface), volumes, insides."""
        shape = self.inside.shape
        there = torch.ones_like(self.inside) if self.cell is None else self.cell
        number = torch.arange(shape.numel(), device=there.device).reshape(shape)
        pairs, areas = [], []
        for dim, n in enumerate(shape):
            i, j = (number.narrow(dim, start, n - 1).flatten() for start in (0, 1))
            pairs.append(torch.stack((i, j)))
            radius = torch.arange(1, n, device=there.device).double() * self.pixel
            areas.append(radius**self.radial if self.radial else torch.ones(len(i), dtype=torch.float64))
        ends, area = torch.cat(pairs, 1), torch.cat(areas).to(there.device)
        kept = there.flatten()[ends].all(0)
        ends, area = ends[:, kept], area[kept]
        edges = torch.arange(shape[-1] + 1, dtype=torch.float64, device=there.device) * self.pixel
        d = self.radial + 1
        volume = (edges[1:] ** d - edges[:-1] ** d) / d if self.radial else edges.diff()
        if len(shape) == 2:
            area, volume = area * self.pixel, (self.pixel * volume).expand(shape).flatten()
        return ends, area, self.inside.flatten()[ends].sum(0), volume, self.inside.flatten()

    def forward(self, x: Tensor) -> Tensor:
        ends, area, kind, volume, inside = self._cells
        wide = x.double()
        d_in, d_out, kappa, gamma, depth, fading = wide.exp().unsqueeze(-2).unbind(-1)
        # u = c / equilibrium: its conductances are symmetric
        h = self.pixel
        both_in, both_out = d_in * gamma / h, d_out / h
        apart = self.interface / (0.5 / both_in + 0.5 / both_out + 1 / (kappa * gamma))
        conductance = area * torch.where(kind == 2, both_in, torch.where(kind == 0, both_out, apart))
        rest = torch.where(inside, gamma, torch.ones_like(gamma))
        bleach = self.bleach.double().flatten(-self.inside.ndim)
        u = torch.exp(-depth * bleach)
        frames, now = [], 0.0
        factors: dict[Any, Any] = {}
        for time in self.times.double().tolist():
            if time > now:
                u = self._moved(u, time - now, volume * rest, conductance, ends, factors, first=now == 0.0)
            frames.append(rest * u * torch.exp(-fading * time))
            now = time
        movie = torch.stack(torch.broadcast_tensors(*frames), -2)
        if self.cell is not None:
            movie = torch.where(self.cell.flatten(), movie, 0.0)
        return movie.unflatten(-1, tuple(self.inside.shape)).to(x.dtype)

    def _moved(
        self,
        u: Tensor,
        duration: float,
        mass: Tensor,
        conductance: Tensor,
        ends: Tensor,
        factors: dict[Any, Any],
        *,
        first: bool,
    ) -> Tensor:
        """``duration`` later: by Crank–Nicolson, after four half steps of implicit Euler at the start."""
        step = duration / self.substeps
        halves = mass / (step / 2)
        for n in range(self.substeps):
            if first and n == 0:
                quarter = mass / (step / 4)
                for _ in range(4):
                    u = Solve.apply(ends, factors, quarter, conductance, quarter * u)
                continue
            spread = gathered(conductance * across(u, ends), ends, u.shape[-1])
            u = Solve.apply(ends, factors, halves, conductance, halves * u - spread)
        return u


class FrapFit(NamedTuple):
    """Parameters of a recovery, with standard errors.

    Attributes
    ----------
    values, errors : dict of str to float
        By the names of `Frap.parameters_of`; errors are standard errors by the Cramér–Rao bound, infinite
        where the movie does not determine a parameter.
    movie : Tensor, shape (frame, y, x)
        Of these parameters.
    status : str
        Of the solver.
    """

    values: dict[str, float]
    errors: dict[str, float]
    movie: Tensor
    status: str


def fit_frap(movie: Tensor, model: Frap, *, start: Tensor, sigma: float, max_steps: int = 100) -> FrapFit:
    """Fit the parameters of a recovery by weighted least squares (Levenberg–Marquardt).

    Parameters
    ----------
    movie : Tensor, shape (frame, y, x)
        Relative to the light outside of the droplet before bleaching.
    model : Frap
    start : Tensor, shape (6,)
        As `Frap.parameters_of` gives it.
    sigma : float
        Standard deviation of the noise of a pixel.
    max_steps : int

    Returns
    -------
    FrapFit

    Raises
    ------
    ShapeError, ParameterError
    """
    check(movie, model.range, "fit_frap: movie")
    check(start, model.domain, "fit_frap: start")
    data = movie.double().flatten()

    def residual(x: np.ndarray) -> np.ndarray:
        return ((model(torch.from_numpy(x)).flatten() - data) / sigma).numpy()

    def slopes(x: np.ndarray) -> np.ndarray:
        columns = model.linearize(torch.from_numpy(x))(torch.eye(len(x), dtype=torch.float64))
        return (columns.flatten(1).T / sigma).numpy()

    found = least_squares(
        residual, start.double().numpy(), jac=slopes, method="lm", xtol=1e-10, max_nfev=max_steps
    )
    x = torch.from_numpy(found.x)
    physics = Physics(model, GaussianNoise(sigma=sigma))
    relative = cramer_rao(physics, x).sqrt()
    values = {name: float(v) for name, v in zip(NAMES, x.exp())}
    errors = {name: float(v * e) for name, v, e in zip(NAMES, x.exp(), relative)}
    return FrapFit(values, errors, model(x), str(found.message))
