"""Squared visibilities and closure phases of an optical interferometer."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from invcore import DataError, DtypeError, ParameterError, Physics, ShapeError, Value
from invcore.noises import BlockNoise, GaussianMapNoise
from invcore.operators import Operator, Space, stack

from .._data.closure_sets import ClosureSet
from .._data.visibilities import C
from .._noise.angles import PhaseNoise
from .._operators.closure import ClosurePhases
from .._operators.interferometer import Interferometer
from .._operators.source_model import SourceModel
from .._operators.squared import SquaredVisibilities, UnitFlux


class OpticalData(Value):
    """Squared visibilities and closure phases of one target.

    The visibility of an image is that of `Visibilities`, V = Σ x exp(-2πi (u l + v m)/λ), relative to the
    total flux. A closure phase is arg(V(b₁) V(b₂) V*(b₁ + b₂)).

    Parameters
    ----------
    baselines : Tensor, shape (row, 2)
        u and v of the squared visibilities, in meters.
    wavelengths, bandwidths : Tensor, shape (frequency,)
        Wavelengths and bandwidths in meters.
    vis2, vis2_sigma : Tensor, shape (row, frequency)
        Squared visibilities and their standard deviations.
    vis2_flag : Tensor, shape (row, frequency)
        Bool, true where the datum is bad.
    triangles : Tensor, shape (triangle, 2, 2)
        u and v of the first and the second baseline, in meters.
    phase, phase_sigma : Tensor, shape (triangle, frequency)
        Closure phases and their standard deviations, in radians.
    phase_flag : Tensor, shape (triangle, frequency)
        Bool, true where the datum is bad.
    time : Tensor, shape (row,)
        Modified Julian date times 86400, in seconds.
    stations : tuple of (str, str)
        Names of the telescopes of each row.
    triangle_stations : tuple of (str, str, str)
        Names of the telescopes of each triangle.
    direction : (float, float)
        Right ascension and declination in radians.
    target, instrument : str
        Name of the target, and of the instrument or instruments.

    Raises
    ------
    ShapeError, DtypeError, DataError
        If the parts do not fit together, or an unflagged datum is not finite or has no positive error.

    Examples
    --------
    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> data = OpticalData(
    ...     baselines=torch.tensor([[30.0, 0.0]]), wavelengths=one[0] * 2e-6, bandwidths=one[0] * 1e-8,
    ...     vis2=0.5 * one, vis2_sigma=0.01 * one, vis2_flag=one < 0,
    ...     triangles=torch.zeros(0, 2, 2), phase=one[:0], phase_sigma=one[:0], phase_flag=one[:0] < 0,
    ...     time=one[0], stations=(("A0", "B2"),), triangle_stations=())
    >>> data
    OpticalData(1 x 1 squared visibilities, 0 x 1 closure phases, 2 to 2 µm)
    """

    baselines: Tensor
    wavelengths: Tensor
    bandwidths: Tensor
    vis2: Tensor
    vis2_sigma: Tensor
    vis2_flag: Tensor
    triangles: Tensor
    phase: Tensor
    phase_sigma: Tensor
    phase_flag: Tensor
    time: Tensor
    stations: tuple[tuple[str, str], ...]
    triangle_stations: tuple[tuple[str, str, str], ...]
    direction: tuple[float, float] = (0.0, 0.0)
    target: str = ""
    instrument: str = ""

    def __post_init__(self) -> None:
        rows, triangles, f = len(self.baselines), len(self.triangles), len(self.wavelengths)
        shapes: dict[str, tuple[int, ...]] = {
            "baselines": (rows, 2),
            "bandwidths": (f,),
            "triangles": (triangles, 2, 2),
            "time": (rows,),
            **dict.fromkeys(("vis2", "vis2_sigma", "vis2_flag"), (rows, f)),
            **dict.fromkeys(("phase", "phase_sigma", "phase_flag"), (triangles, f)),
        }
        for name, shape in shapes.items():
            t = getattr(self, name)
            if tuple(t.shape) != shape:
                raise ShapeError(f"OpticalData: {name} must have shape {shape}, got {tuple(t.shape)}")
            if (t.dtype == torch.bool) != name.endswith("flag") or not (
                t.dtype == torch.bool or t.is_floating_point()
            ):
                raise DtypeError(
                    f"OpticalData: {name} must be {'bool' if name.endswith('flag') else 'real'}, got "
                    f"{t.dtype}"
                )
        if len(self.stations) != rows or len(self.triangle_stations) != triangles:
            raise ShapeError(f"OpticalData: expected stations of {rows} rows and of {triangles} triangles")
        for name in ("vis2", "phase"):
            value, sigma = getattr(self, name), getattr(self, f"{name}_sigma")
            good = ~getattr(self, f"{name}_flag")
            if bool((good & ~(value.isfinite() & sigma.isfinite() & (sigma > 0))).any()):
                raise DataError(
                    f"OpticalData: {name} that is not flagged is not finite, or its error is not > 0: flag it"
                )

    def __repr__(self) -> str:
        f, low, high = len(self.wavelengths), float(self.wavelengths.min()), float(self.wavelengths.max())
        name = f"{self.target!r}, " if self.target else ""
        where = f"{self.instrument}, " if self.instrument else ""
        return (
            f"OpticalData({name}{where}{len(self.baselines)} x {f} squared visibilities, "
            f"{len(self.triangles)} x {f} closure "
            f"phases, {low * 1e6:.4g} to {high * 1e6:.4g} µm)"
        )

    def select(self, *, wavelengths: tuple[float, float]) -> OpticalData:
        """Return the data between two wavelengths in meters, ends included.

        Raises
        ------
        ParameterError
            If there are none.
        """
        low, high = wavelengths
        chosen = (self.wavelengths >= low) & (self.wavelengths <= high)
        if not bool(chosen.any()):
            raise ParameterError(
                f"no data between {low} m and {high} m; the wavelengths go from "
                f"{float(self.wavelengths.min()):.4g} "
                f"to {float(self.wavelengths.max()):.4g} m"
            )
        names = ("vis2", "vis2_sigma", "vis2_flag", "phase", "phase_sigma", "phase_flag")
        return dataclasses.replace(
            self,
            wavelengths=self.wavelengths[chosen],
            bandwidths=self.bandwidths[chosen],
            **{name: getattr(self, name)[:, chosen] for name in names},
        )

    @property
    def legs(self) -> Tensor:
        """u and v of all visibilities, (row + 3 triangle, 2): those of the rows, then three per triangle."""
        first, second = self.triangles[:, 0], self.triangles[:, 1]
        three = torch.stack([first, second, first + second], dim=1).reshape(-1, 2)
        return torch.cat([self.baselines, three])

    @property
    def used(self) -> Tensor:
        """Bool, (row + 3 triangle, frequency): true for each of the `legs` that an unflagged datum needs."""
        return torch.cat([~self.vis2_flag, (~self.phase_flag).repeat_interleave(3, dim=0)])

    @property
    def y(self) -> tuple[Tensor, Tensor]:
        """Unflagged squared visibilities and closure phases."""
        return self.vis2[~self.vis2_flag], self.phase[~self.phase_flag]

    def quantities(self) -> Operator:
        """Return the map from the visibilities at `legs`, (row + 3 triangle, frequency), to `y`."""
        rows, f = len(self.baselines), len(self.wavelengths)
        shape = (rows + 3 * len(self.triangles), f)
        index = torch.arange(shape[0] * f, device=self.vis2.device).reshape(shape)
        three = index[rows:].reshape(-1, 3, f).movedim(1, 2)[~self.phase_flag]
        n = len(three)
        closures = ClosureSet(
            index=three,
            sign=torch.tensor([1, 1, -1], device=three.device).expand(n, 3).clone(),
            group=torch.arange(n, device=three.device),
            stations=torch.zeros((n, 3), dtype=torch.int64, device=three.device),
            shape=shape,
        )
        squared = SquaredVisibilities(domain=Space(shape, "complex"), index=index[:rows][~self.vis2_flag])
        return stack([squared, ClosurePhases(closures=closures)])

    def noise(self, *, systematic: tuple[float, float] = (0.0, 0.0)) -> BlockNoise:
        """Return the noise of `y`.

        Parameters
        ----------
        systematic : (float, float)
            Systematic errors of a squared visibility and of a closure phase (radians), added in quadrature.
        """
        v, p = self.vis2_sigma[~self.vis2_flag], self.phase_sigma[~self.phase_flag]
        squared, phases = (torch.hypot(s, torch.full_like(s, e)) for s, e in zip((v, p), systematic))
        return BlockNoise(parts=(GaussianMapNoise(sigma=squared), PhaseNoise(sigma=phases)))

    def physics(
        self, *, shape: tuple[int, int], pixel: float, systematic: tuple[float, float] = (0.0, 0.0)
    ) -> Physics:
        """Return the physics that maps an image to these data, relative to its total flux.

        Parameters
        ----------
        shape : (int, int)
            Pixels of the image, ``(ny, nx)``.
        pixel : float
            Size of a pixel in radians.
        systematic : (float, float)
            As for `noise`.
        """
        legs = self.legs
        uvw = torch.cat([legs, torch.zeros_like(legs[:, :1])], dim=1).double()
        A = Interferometer(
            uvw=uvw,
            frequencies=C / self.wavelengths.double(),
            shape=shape,
            pixel=pixel,
            w_term=False,
            mask=None if bool(self.used.all()) else self.used,
        )
        operator = self.quantities() @ A @ UnitFlux(domain=A.domain)
        return Physics(operator, self.noise(systematic=systematic))

    def model(
        self, parts: tuple[str, ...], free: tuple[str, ...], fixed: tuple[tuple[str, float], ...] = ()
    ) -> SourceModel:
        """Return a `SourceModel` at the baselines and wavelengths of these data."""
        return SourceModel(
            parts=parts, free=free, fixed=fixed, baselines=self.legs, wavelengths=self.wavelengths
        )

    @property
    def resolution(self) -> float:
        """Angular resolution λ/(2 B) in radians, for the largest B/λ of the unflagged data."""
        cycles = torch.linalg.vector_norm(self.legs, dim=-1)[:, None] / self.wavelengths
        used = self.used if bool(self.used.any()) else torch.ones_like(self.used)
        return 1 / (2 * float(cycles[used].max()))
