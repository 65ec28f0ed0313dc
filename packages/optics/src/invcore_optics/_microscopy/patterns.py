"""The fringes of structured illumination, estimated from the images themselves."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from invcore import DataError, ParameterError, ShapeError, Value

from .._pupils.objective import Objective
from .._pupils.otf import round_transfer
from .checks import image_stack
from .spectra import frequencies


class Patterns(NamedTuple):
    """Fringes of structured illumination.

    Attributes
    ----------
    wave_vectors : Tensor, shape (..., orientation, 2)
        Cycles per pixel, order (y, x). A wave and its negative are the same fringe; these have y > 0, or y =
        0 and x > 0.
    phases : Tensor, shape (..., orientation, phase)
        Radians, at the center of the first pixel.
    modulation : Tensor, shape (..., orientation, phase)
        Contrast of the fringes.
    misfit : Tensor, shape (..., orientation)
        What of the carried spectra the fringe does not explain, 0 to 1: near 1 there is no fringe.
    """

    wave_vectors: Tensor
    phases: Tensor
    modulation: Tensor
    misfit: Tensor


class SimPatterns(Value):
    r"""Wave vectors, phases and contrasts of structured illumination, from the images alone.

    Without its widefield part, an image under a fringe holds the sample's spectrum moved by ±k. Where both
    pass the objective the moved spectrum must equal that of the widefield image moved by k, up to a complex
    factor: with H the transfer function, W the widefield image, G_p what is left of image p,

    .. math:: J(k) = \min_c \frac{\sum_p \|H(\cdot - k) G_p - c_p H \, F[W e^{2πi k \cdot r}]\|^2}
        {\sum_p \|H(\cdot - k) G_p\|^2}

    on the frequencies where both are strong. Candidates for k are the highest peaks of the correlation of
    the two on a fine grid; each is refined by the simplex method, and that of the least J is kept: in images
    with straight edges the highest peak is often a wrong one. Phase and contrast are those of c. Images
    are the frames of `StructuredIllumination`.

    Parameters
    ----------
    objective : Objective
        Its wavelength is that of emission.
    pixel : float
        Of the camera in the object (divided by the magnification), in meters.
    orientations, phases : int
        Frames are their product, the phases of the first orientation first. At least three phases, of which
        the mean is the widefield image: evenly spaced ones.
    evenly_spaced : bool
        Fit one common phase and contrast for each orientation: phases 2πp/P apart.
    ring : tuple of float
        Bounds of \|k\|, as multiples of the cutoff.
    candidates : int
        Number of peaks tried.

    Raises
    ------
    ParameterError

    References
    ----------
    E. Soubies and coworkers, FlexSIM (the idea of the joint fit to both shifted spectra).

    Examples
    --------
    >>> estimate = SimPatterns(Objective(520e-9, 1.2, index=1.33), pixel=65e-9)
    >>> estimate.frames, round(estimate.cutoff, 2)
    (9, 0.3)
    """

    objective: Objective
    pixel: float
    orientations: int = 3
    phases: int = 3
    evenly_spaced: bool = False
    ring: tuple[float, float] = (0.5, 1.0)
    candidates: int = 8

    def __post_init__(self) -> None:
        if not (self.pixel > 0 and self.cutoff < math.sqrt(0.5)):
            raise ParameterError(
                f"SimPatterns: pixel={self.pixel!r} puts the cutoff of the objective at {self.cutoff:.3g} "
                f"cycles per pixel; it must be on the grid: a pixel of at most {self.objective.pixel:.3g} m"
            )
        for name, least in (("orientations", 1), ("phases", 3), ("candidates", 1)):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= least):
                raise ParameterError(f"SimPatterns: {name} must be a whole number >= {least}, got {value!r}")
        if not 0 < self.ring[0] < self.ring[1]:
            raise ParameterError(f"SimPatterns: ring must be two growing positive numbers, got {self.ring!r}")

    @property
    def cutoff(self) -> float:
        """Of the objective, in cycles per pixel."""
        return self.objective.cutoff * self.pixel

    @property
    def frames(self) -> int:
        """Number of images."""
        return self.orientations * self.phases

    def __call__(self, y: Tensor) -> Patterns:
        """Estimate the patterns.

        Parameters
        ----------
        y : Tensor, shape (..., frame, y, x)
            Images without background.

        Returns
        -------
        Patterns

        Raises
        ------
        ShapeError, DtypeError, DataError
        """
        image_stack(y, "SimPatterns")
        if y.shape[-3] != self.frames:
            raise ShapeError(
                f"SimPatterns: expected {self.frames} frames ({self.orientations} orientations of "
                f"{self.phases} phases), got {tuple(y.shape)}"
            )
        stacks = y.detach().double().reshape(-1, self.phases, *y.shape[-2:])
        batch = (*y.shape[:-3], self.orientations)
        if not len(stacks):
            found = Patterns(*(y.new_zeros(n) for n in ((0, 2), (0, self.phases), (0, self.phases), (0,))))
        else:
            found = Patterns(*(torch.stack(part) for part in zip(*(self._orientation(s) for s in stacks))))
        return Patterns(*(part.to(y.dtype).reshape(*batch, *part.shape[1:]) for part in found))

    def _orientation(self, y: Tensor) -> Patterns:
        """The fringe of one orientation, from (phase, y, x)."""
        fit = _Fit(y, self.cutoff)
        peaks = fit.peaks(self.ring, self.candidates)
        tried = sorted((fit.refined(k, evaluations=12) for k in peaks), key=lambda found: found[1])
        k, misfit = min((fit.refined(k, evaluations=100) for k, _ in tried[:2]), key=lambda found: found[1])
        c = fit.factors(k)
        phases = torch.angle(c)
        modulation = 2 * c.abs()
        if self.evenly_spaced:
            steps = 2 * math.pi * torch.arange(self.phases, dtype=y.dtype, device=y.device) / self.phases
            mean = (c * torch.polar(torch.ones_like(steps), -steps)).mean()
            phases = torch.angle(mean) + steps
            modulation = (2 * mean.abs()).expand(self.phases)
        wave = torch.as_tensor(k, dtype=y.dtype, device=y.device)
        return Patterns(wave, phases, modulation, wave.new_tensor(misfit))


class _Fit:
    """The misfit J of a wave vector, for the images of one orientation."""

    def __init__(self, y: Tensor, cutoff: float) -> None:
        self.cutoff, self.shape = cutoff, (y.shape[-2], y.shape[-1])
        self.widefield = y.mean(0)
        fy, fx = frequencies(self.shape, y)
        f, otf = torch.hypot(fy, fx), round_transfer(torch.hypot(fy, fx) / cutoff)
        spectra, wide = torch.fft.fft2(y), torch.fft.fft2(self.widefield)
        low = (f < 1 / 8).to(y.dtype)
        power = (low * wide.abs() ** 2).sum()
        if float(power) == 0:
            raise DataError("SimPatterns: the mean of the frames has no light")
        scale = (low * (wide.conj() * spectra).real).sum((-2, -1)) / power
        carried = spectra - scale[:, None, None] * wide
        ring = ((f > 0.3 * cutoff) & (f < 1.1 * cutoff)).to(y.dtype)
        self.pair = torch.fft.ifft2(ring * carried), torch.fft.ifft2(ring * wide)
        self.rows, self.columns = (torch.arange(n, dtype=y.dtype, device=y.device) for n in self.shape)
        # nothing is compared beyond the cutoff
        self.i, self.j = (torch.nonzero(g.flatten().abs() < cutoff).flatten() for g in (fy, fx))
        self.fy, self.fx = fy[self.i], fx[:, self.j]
        self.passed = (f > 0.15 * cutoff)[self.i][:, self.j] & (f < cutoff)[self.i][:, self.j]
        self.otf = otf[self.i][:, self.j]
        self.carried = carried[:, self.i][:, :, self.j]

    def peaks(self, ring: tuple[float, float], count: int) -> list[np.ndarray]:
        """The wave vectors in the ring with the largest correlation of carried and widefield parts."""
        size = tuple(2 * n for n in self.shape)
        carried, wide = self.pair
        correlation = (torch.fft.fft2(carried * wide.conj(), s=size).abs() ** 2).sum(0)
        fy, fx = frequencies(size, correlation)  # type: ignore[arg-type]
        f = torch.hypot(fy, fx)
        inside = (
            (f > ring[0] * self.cutoff) & (f < ring[1] * self.cutoff) & ((fy > 0) | ((fy == 0) & (fx > 0)))
        )
        if not bool(inside.any()):
            raise ParameterError(
                f"SimPatterns: no frequency of images {self.shape} lies between {ring[0]:g} and {ring[1]:g} "
                f"times the cutoff {self.cutoff:g}"
            )
        correlation = torch.where(inside, correlation, -1.0)
        found: list[np.ndarray] = []
        for _ in range(count):
            at = int(correlation.argmax())
            if float(correlation.flatten()[at]) < 0:
                break
            i, j = divmod(at, size[1])
            found.append(np.array([float(fy[i, 0]), float(fx[0, j])]))
            near_y, near_x = ((g - g.flatten()[n]) * s for g, n, s in zip((fy, fx), (i, j), size))
            correlation = torch.where(torch.hypot(near_y, near_x) < 2.5, -1.0, correlation)
        return found

    def refined(self, k: np.ndarray, *, evaluations: int) -> tuple[np.ndarray, float]:
        """The minimizer of J near ``k`` and its J, by the simplex method from half a frequency sample."""
        half = 0.5 / np.array(self.shape)
        simplex = np.stack([k, k + half * [1, 0], k + half * [0, 1]])
        options = {"initial_simplex": simplex, "maxfev": evaluations}
        options |= {"xatol": 1e-4 * half.min(), "fatol": 1e-9}
        found = minimize(self.misfit, k, method="Nelder-Mead", options=options)
        return np.asarray(found.x), float(found.fun)

    def misfit(self, k: np.ndarray) -> float:
        """J, 1 where nothing can be compared."""
        A, B = self._both(k)
        power, total = (A.abs() ** 2).sum(), (B.abs() ** 2).sum()
        if float(power) == 0 or float(total) == 0:
            return 1.0
        explained = ((A.conj() * B).sum((-2, -1)).abs() ** 2).sum() / power
        return float(1 - explained / total)

    def factors(self, k: np.ndarray) -> Tensor:
        """The factor c of each image."""
        A, B = self._both(k)
        return (A.conj() * B).sum((-2, -1)) / (A.abs() ** 2).sum()

    def _both(self, k: np.ndarray) -> tuple[Tensor, Tensor]:
        """The widefield image moved by k and the carried parts, as both pass the objective twice."""
        ky, kx = float(k[0]), float(k[1])
        away = torch.hypot(self.fy - ky, self.fx - kx) / self.cutoff
        both = self.passed & (away > 0.1) & (away < 0.75)
        along_y, along_x = _wave(ky, self.rows), _wave(kx, self.columns)
        turned = self.widefield * along_y[:, None] * along_x
        moved = torch.fft.fft(torch.fft.fft(turned)[:, self.j], dim=0)[self.i]
        return both * self.otf * moved, both * round_transfer(away) * self.carried


def _wave(k: float, at: Tensor) -> Tensor:
    """exp(2πi k r)."""
    return torch.polar(torch.ones_like(at), 2 * math.pi * k * at)
