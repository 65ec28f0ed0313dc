"""From the wavefront in a pupil to the point spread function on a camera."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from invcore import Operator, ParameterError, ShapeError, Space
from invcore.operators import under_transform

from .grid import Grid, needed_samples, pupil_grid, sample_matrix, vector_weights
from .objective import Objective, StratifiedMedium
from .zernike import Order, zernike

Unknown = Literal["zernike", "phase", "pupil"]
Model = Literal["scalar", "vectorial"]
Apodization = Literal["uniform", "aplanatic"]


class PupilPSF(Operator):
    r"""Point spread function of an aberrated pupil, in one or several planes, with lengths in meters.

    .. math:: E_z(u) = \int A(p)\, e^{2πi (W(p) + z (\sqrt{n^2 - NA^2 |p|^2} - n)) / λ}\;
       e^{-2πi\, NA\, p \cdot u / λ}\, dp, \qquad h_z(u) = \int_{pixel} |E_z|^2 / \int |E_z|^2

    over the unit disk |p| ≤ 1. The wavefront error is W = Σ cₖ Zₖ in meters. A positive tilt moves the image
    towards positive coordinates. Light outside the window is missing from the sum of h: each plane sums to
    the share of light that falls into the window.

    The transform from the cells of the pupil to the pixels is a product with two matrices, so that pixels of
    any size are computed, and nothing else. The edge of the pupil is antialiased: cells count by the area
    that lies inside.

    Parameters
    ----------
    objective : Objective
        Wavelength, numerical aperture, immersion.
    pixel : float
        Pixel of the camera in the object (divided by the magnification), in meters.
    shape : tuple of int
        Pixels (ny, nx). The optical axis is in the center of pixel n // 2.
    unknown : {"zernike", "phase", "pupil"}
        The input: coefficients cₖ in meters (rms), shape ``(mode,)``; the wavefront W of each cell in meters,
        ``(1, samples, samples)``; or a complex factor of each cell, ``(1, samples, samples)``, normalized to
        a sum of 1 where it has modulus 1.
    modes : tuple of int
        Zernike indices k.
    order : {"noll", "ansi"}
        Of the indices.
    depths : Tensor, shape (..., plane), optional
        z of each plane in meters; in focus, one plane, by default. Leading dimensions are batch.
    amplitude : Tensor, shape (..., samples, samples), optional
        A, real or complex, times apodization and edge; leading dimensions are batch.
    model : {"scalar", "vectorial"}
        "vectorial" is the intensity of a freely rotating dipole or, which is the same, of a focus in
        unpolarized light (Richards and Wolf).
    apodization : {"uniform", "aplanatic"}, optional
        "aplanatic", for an objective that obeys the sine condition, multiplies A by (cos θ)^(-1/2). By
        default "uniform" for the scalar model and "aplanatic" for the vectorial one.
    medium : StratifiedMedium, optional
        Adds the aberration of a stratified medium; z is then counted from the paraxial focus.
    oversampling : int
        Integrate over the pixel by the mean of the square of ``oversampling`` points. 1: pixel centers.
    samples : int, optional
        Cells across the pupil. By default as many as defocus and window need, see Notes.

    Raises
    ------
    ParameterError, ShapeError

    Notes
    -----
    Domain: see ``unknown``; range ``(plane, y, x)``. The field has the period (samples - 2) λ / (2 NA):
    with too few samples defocused light folds back into the window. The default holds half the window,
    twice the geometric blur and 12 λ / NA; the error of a strongly defocused plane is then about 1 % of its
    maximum, in focus 10⁻⁵.

    References
    ----------
    B. Richards, E. Wolf, "Electromagnetic diffraction in optical systems II", Proc. R. Soc. A 253 (1959).
    R. Soummer, L. Pueyo, A. Sivaramakrishnan, R. J. Vanderbei, "Fast computation of Lyot-style coronagraph
    propagation", Opt. Express 15 (2007), for the matrix transform.

    Examples
    --------
    >>> objective = Objective(520e-9, 0.85)
    >>> A = PupilPSF(objective=objective, pixel=130e-9, shape=(33, 33), modes=(4, 11))
    >>> sharp, blurred = A(torch.zeros(2)), A(torch.tensor([0.0, 50e-9]))
    >>> round(float(sharp.sum()), 2), round(float(blurred.max() / sharp.max()), 2)  # about exp(-(2π 50/520)²)
    (0.97, 0.69)
    """

    objective: Objective
    pixel: float
    shape: tuple[int, int]
    unknown: Unknown = "zernike"
    modes: tuple[int, ...] = (4, 5, 6, 7, 8, 9, 10, 11)
    order: Order = "noll"
    depths: Tensor | None = None
    amplitude: Tensor | None = None
    model: Model = "scalar"
    apodization: Apodization | None = None
    medium: StratifiedMedium | None = None
    oversampling: int = 1
    samples: int | None = None
    params = ("depths", "amplitude")

    def __post_init__(self) -> None:
        _check(self)
        if self.samples is None:
            depths = torch.zeros(1) if self.depths is None else self.depths
            count = needed_samples(self.objective, self.pixel, self.shape, depths, self.medium)
            object.__setattr__(self, "samples", count)
        side = self.samples
        if self.amplitude is not None and tuple(self.amplitude.shape[-2:]) != (side, side):
            raise ShapeError(
                f"PupilPSF: amplitude must be (..., {side}, {side}), as samples is {side}, got "
                f"{tuple(self.amplitude.shape)}"
            )
        if self.unknown == "zernike":
            zernike(
                self.modes, torch.zeros(1), torch.zeros(1), order=self.order
            )  # says what is wrong with them

    @property
    def domain(self) -> Space:
        assert self.samples is not None
        if self.unknown == "zernike":
            return Space((len(self.modes),))
        return Space((1, self.samples, self.samples), "real" if self.unknown == "phase" else "complex")

    @property
    def range(self) -> Space:
        return Space((1 if self.depths is None else self.depths.shape[-1], *self.shape))

    @property
    def edge(self) -> float:
        """Radius of the pupil that carries light: below 1 where NA exceeds an index of the medium."""
        return 1.0 if self.medium is None else min(1.0, self.medium.lowest / self.objective.na)

    @property
    def _aplanatic(self) -> bool:
        return (self.apodization or ("aplanatic" if self.model == "vectorial" else "uniform")) == "aplanatic"

    @cached_property
    def grid(self) -> Grid:
        """Cells of the pupil in double precision."""
        assert self.samples is not None
        with torch.inference_mode(False):
            return pupil_grid(self.samples, self.edge)

    @cached_property
    def _basis(self) -> Tensor:
        with torch.inference_mode(False):
            return zernike(self.modes, self.grid.y, self.grid.x, order=self.order)

    @cached_property
    def _weights(self) -> tuple[Tensor, float]:
        """Weights (part, y, x) of the cells, and their total energy."""
        with torch.inference_mode(False):
            index = self.objective.index if self.medium is None else self.medium.sample_index
            parts, _ = vector_weights(self.grid, self.objective, index)
            sine = (self.objective.na / self.objective.index * self.grid.radius).clamp(max=0.9999995)
            pupil = (1 - sine**2) ** -0.25 if self._aplanatic else torch.ones_like(sine)
            energy = float((self.grid.inside * pupil**2).sum())
            if self.model == "scalar":
                return (self.grid.weights * pupil)[None], energy
            shares = parts.new_tensor([1, 1, 1, 0.5, 0.5]).sqrt()[:, None, None]
            return self.grid.weights * pupil * shares * parts, energy

    @cached_property
    def _light(self) -> Tensor:
        """Relative energy that each cell lets through: for the normalization by an amplitude."""
        with torch.inference_mode(False):
            sine = (self.objective.na / self.objective.index * self.grid.radius).clamp(max=0.9999995)
            pupil = (1 - sine**2) ** -0.5 if self._aplanatic else torch.ones_like(sine)
            return self.grid.inside * pupil / self._weights[1]

    @cached_property
    def _matrices(self) -> tuple[Tensor, Tensor]:
        assert self.samples is not None
        with torch.inference_mode(False):
            ny, nx = (
                sample_matrix(self.objective, self.samples, n, self.pixel, self.oversampling)
                for n in self.shape
            )
            return ny, nx.mT.contiguous()

    def _defocus(self, depths: Tensor, dtype: torch.dtype) -> Tensor:
        """exp(2πi/λ path), (..., plane, y, x), in double precision: defocused paths are many wavelengths."""
        z = depths.double()[..., None, None]
        radius = self.grid.radius.to(depths.device)
        path = self.objective.path(radius, z, self.medium)
        return _cis(path * (2 * math.pi / self.objective.wavelength), dtype)

    @cached_property
    def _kept(self) -> dict[tuple[torch.dtype, torch.device], tuple[Tensor, ...]]:
        return {}

    def _planes(self, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
        """Weights with defocus (..., plane, part, y, x), and the two matrices; kept but for live depths."""
        live = self.depths is not None and self.depths.requires_grad
        key = (dtype, device)
        if key in self._kept and not live:
            return self._kept[key]
        with torch.inference_mode(False):
            weights = self._weights[0].to(device, dtype)
            depths = self.depths
            if depths is None and self.medium is not None:
                depths = torch.zeros(1, device=device)
            planes = weights[None] if depths is None else weights * self._defocus(depths, dtype).unsqueeze(-3)
            made = (planes, *(m.to(device, _complex(dtype)) for m in self._matrices))
        if not live and not under_transform():
            self._kept[key] = made
        return made

    def wavefront(self, x: Tensor) -> Tensor:
        """Return W in meters, (..., samples, samples), for coefficients or a phase map ``x``."""
        if self.unknown == "zernike":
            return torch.einsum("...k,kyx->...yx", x, self._basis.to(x.device, x.dtype))
        if self.unknown == "phase":
            return x.squeeze(-3)
        raise ParameterError("PupilPSF.wavefront: a complex pupil has no unique wavefront")

    def field(self, x: Tensor) -> Tensor:
        """Return the complex factor of each cell, (..., samples, samples), without apodization and edge."""
        if self.unknown == "pupil":
            field = x.squeeze(-3)
        else:
            field = _cis(self.wavefront(x) * (2 * math.pi / self.objective.wavelength), x.dtype)
        return field if self.amplitude is None else field * self.amplitude

    def forward(self, x: Tensor) -> Tensor:
        dtype = x.real.dtype
        planes, rows, columns = self._planes(dtype, x.device)
        field = self.field(x)[..., None, None, :, :]
        waves = rows @ ((field * planes) @ columns)
        return self._collected(waves.real.square() + waves.imag.square())

    def _collected(self, light: Tensor) -> Tensor:
        """Sum over parts and sub-pixels, normalized."""
        q, (ny, nx) = self.oversampling, self.shape
        light = light.sum(-3)
        if q > 1:
            light = light.unflatten(-1, (nx, q)).sum(-1).unflatten(-2, (ny, q)).sum(-2)
        return light * self._scale(light.dtype)

    def derivatives(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the PSF with its derivatives by each coefficient and by a common shift of the depths.

        Dense, in one transform each: for fits of a few dozen modes, faster than differentiating `forward`.

        Parameters
        ----------
        x : Tensor, shape (..., mode)
            Zernike coefficients in meters.

        Returns
        -------
        h : Tensor, shape (..., plane, y, x)
        by_mode : Tensor, shape (..., mode, plane, y, x)
            Per meter.
        by_depth : Tensor, shape (..., plane, y, x)
            Per meter.

        Raises
        ------
        ParameterError
            If the unknown is not "zernike".
        """
        if self.unknown != "zernike":
            raise ParameterError(
                f"PupilPSF.derivatives needs unknown='zernike', this one has {self.unknown!r}"
            )
        planes, rows, columns = self._planes(x.dtype, x.device)
        base = self.field(x)[..., None, None, :, :] * planes
        waves = rows @ (base @ columns)
        rate = 4 * math.pi / self.objective.wavelength

        def along(path: Tensor) -> Tensor:
            moved = rows @ ((base * path) @ columns)
            return self._collected(rate * (waves.imag * moved.real - waves.real * moved.imag))

        h = self._collected(waves.real.square() + waves.imag.square())
        modes = self._basis.to(x.device, x.dtype)
        unit = torch.ones((), dtype=torch.float64)
        axial = self.objective.path(self.grid.radius, unit, self.medium)
        if self.medium is not None:
            axial = axial - self.objective.path(self.grid.radius, 0 * unit, self.medium)
        return h, torch.stack([along(m) for m in modes], -4), along(axial.to(x.device, x.dtype))

    def _scale(self, dtype: torch.dtype) -> Tensor | float:
        assert self.samples is not None
        cell = self.objective.cutoff / (self.samples - 2)
        scale = (cell * self.pixel / self.oversampling) ** 2 / self._weights[1]
        if self.amplitude is None:
            return scale
        through = self.amplitude.abs().square() * self._light.to(self.amplitude.device, dtype)
        return scale / through.sum((-2, -1))[..., None, None, None]


def _check(A: PupilPSF) -> None:
    if not (isinstance(A.pixel, int | float) and 0 < A.pixel < math.inf):
        raise ParameterError(f"PupilPSF: pixel is a positive length in meters, got {A.pixel!r}")
    good = isinstance(A.shape, tuple) and len(A.shape) == 2
    if not good or not all(isinstance(n, int) and n > 0 for n in A.shape):
        raise ShapeError(f"PupilPSF: shape must be the pixels (ny, nx), got {A.shape!r}")
    choices = {
        "unknown": ("zernike", "phase", "pupil"),
        "model": ("scalar", "vectorial"),
        "apodization": (None, "uniform", "aplanatic"),
    }
    for name, allowed in choices.items():
        if getattr(A, name) not in allowed:
            raise ParameterError(f"PupilPSF: {name} must be one of {allowed}, got {getattr(A, name)!r}")
    if not (isinstance(A.oversampling, int) and A.oversampling > 0):
        raise ParameterError(f"PupilPSF: oversampling is a whole number >= 1, got {A.oversampling!r}")
    if A.samples is not None and not (isinstance(A.samples, int) and A.samples > 3):
        raise ParameterError(f"PupilPSF: samples is a whole number >= 4, got {A.samples!r}")
    if A.depths is not None and (A.depths.ndim < 1 or not A.depths.is_floating_point()):
        raise ShapeError(f"PupilPSF: depths must be real, (..., plane), got {tuple(A.depths.shape)}")


def _cis(angle: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.complex(angle.cos().to(dtype), angle.sin().to(dtype))


def _complex(dtype: torch.dtype) -> torch.dtype:
    return torch.complex64 if dtype == torch.float32 else torch.complex128
