"""Line integrals from counts: flat and dark fields, logarithm, outliers, beam hardening, padding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, DtypeError, ParameterError, ShapeError, Value

from .fill import fill_samples


class FlatField(Value):
    """Transmission T = (c - d)/(f - d) from counts c, flat field f (no object) and dark field d (no beam).

    Pixels where the flat field is not above the dark field are dead: `dead` marks them, and their
    transmission is interpolated between the nearest living columns of their row.

    Parameters
    ----------
    flat : Tensor, shape (*detector)
        Counts without the object, averaged over frames (see `mean_frame`).
    dark : Tensor, shape (*detector), or float
        Counts without beam, averaged.

    Raises
    ------
    DataError
        If no pixel of the flat field is above the dark field, or a frame has NaN.

    References
    ----------
    V. Van Nieuwenhove et al., "Dynamic intensity normalization using eigen flat fields in X-ray imaging",
    Optics Express 23 (2015), equation 1.

    Examples
    --------
    >>> field = FlatField(flat=torch.tensor([1100.0, 100.0, 900.0]), dark=100.0)
    >>> field(torch.tensor([[600.0, 100.0, 900.0]]))
    tensor([[0.5000, 0.7500, 1.0000]])
    """

    flat: Tensor
    dark: Tensor | float = 0.0
    params = ("flat", "dark")

    def __post_init__(self) -> None:
        beam = self.flat - self.dark
        if not bool(torch.isfinite(beam.detach()).all()):
            raise DataError("the flat or the dark field has NaN or infinite values")
        if not bool((beam.detach() > 0).any()):
            raise DataError(
                "the flat field is nowhere above the dark field: are the two swapped, or of other scans?"
            )

    @property
    def dead(self) -> Tensor:
        """Mask of pixels that do not see the beam, ``(*detector)``, boolean."""
        return (self.flat - self.dark) <= 0

    def __call__(self, counts: Tensor) -> Tensor:
        """Return the transmission of counts ``(..., *detector)``, same shape and dtype."""
        counts = real(counts, "counts")
        flat = self.flat.to(counts)
        dark = self.dark.to(counts) if isinstance(self.dark, Tensor) else self.dark
        _fits(counts, flat.shape)
        beam = flat - dark
        alive = beam > 0
        return fill_samples((counts - dark) / torch.where(alive, beam, 1), ~alive)


class MinusLog(Value):
    """Line integrals of the attenuation from transmission by Beer and Lambert's law, p = -log T.

    A pixel that counted nothing, or less than its dark field, has no logarithm: its value is replaced by
    ``floor``, or refused.

    Parameters
    ----------
    floor : float or None
        Smallest plausible transmission, to which lower values are set. Half a photon out of N₀ is
        ``0.5 / N₀``. ``None`` refuses values that are not positive with a DataError.

    References
    ----------
    A. Beer, "Bestimmung der Absorption des rothen Lichts in farbigen Flüssigkeiten", Annalen der Physik 162
    (1852).

    Examples
    --------
    >>> MinusLog(floor=1e-3)(torch.tensor([1.0, 0.1, 0.0]))
    tensor([-0.0000, 2.3026, 6.9078])
    """

    floor: float | None

    def __post_init__(self) -> None:
        if self.floor is not None and not (isinstance(self.floor, float) and 0 < self.floor < 1):
            raise ParameterError(
                f"floor is a transmission between 0 and 1, such as 0.5 / photons, or None; got {self.floor!r}"
            )

    def __call__(self, transmission: Tensor) -> Tensor:
        """Return -log T, same shape."""
        transmission = real(transmission, "transmission")
        if self.floor is not None:
            return -torch.log(transmission.clamp_min(self.floor))
        bad = int((transmission <= 0).sum())
        if bad:
            raise DataError(
                f"{bad} of {transmission.numel()} transmissions are zero or negative: they have no logarithm."
                " Give floor=, the smallest plausible transmission"
            )
        return -torch.log(transmission)


class BeamHardening(Value):
    """Polynomial correction of a polychromatic beam, p ↦ Σₖ aₖ pᵏ, k = 1, 2, …

    Soft X-rays are absorbed first, so that -log T grows more slowly than the thickness; the polynomial makes
    it proportional again. `fit_beam_hardening` finds it from a known object.

    Parameters
    ----------
    coefficients : tuple of float
        a₁, a₂, …; (1,) changes nothing.

    References
    ----------
    G. T. Herman, "Correction for beam hardening in computed tomography", Phys. Med. Biol. 24 (1979).

    Examples
    --------
    >>> BeamHardening(coefficients=(1.0, 0.1))(torch.tensor([0.0, 1.0, 2.0]))
    tensor([0.0000, 1.1000, 2.4000])
    """

    coefficients: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.coefficients or not all(math.isfinite(a) for a in self.coefficients):
            raise ParameterError(
                f"coefficients must be one or more finite numbers, got {self.coefficients!r}"
            )

    def __call__(self, p: Tensor) -> Tensor:
        """Return the corrected line integrals, same shape."""
        p = real(p, "line integrals")
        out = torch.zeros_like(p)
        for a in reversed(self.coefficients):
            out = (out + a) * p
        return out


class Hounsfield(Value):
    """Attenuation in Hounsfield units, μ ↦ 1000 (μ - μ_water)/(μ_water - μ_air): water is 0, air -1000.

    Parameters
    ----------
    water : float
        Attenuation of water at the scan's energy, in the unit of the image; 20.59 per meter at 60 keV.
    air : float
        Attenuation of air.

    References
    ----------
    G. N. Hounsfield, "Computed medical imaging", Nobel lecture (1979).

    Examples
    --------
    >>> Hounsfield(water=20.0)(torch.tensor([0.0, 20.0, 40.0]))
    tensor([-1000.,     0.,  1000.])
    """

    water: float
    air: float = 0.0

    def __post_init__(self) -> None:
        if not self.water > self.air:
            raise ParameterError(f"water must attenuate more than air, got {self.water!r} and {self.air!r}")

    def __call__(self, mu: Tensor) -> Tensor:
        """Return the image in Hounsfield units, same shape."""
        return 1000 * (real(mu, "attenuation") - self.water) / (self.water - self.air)

    def inverse(self, hounsfield: Tensor) -> Tensor:
        """Return the attenuation of an image in Hounsfield units."""
        return self.water + real(hounsfield, "the image") * (self.water - self.air) / 1000


class PadTruncated(Value):
    """Extend views that do not see the whole object, so that the ramp filter finds no step at their ends.

    Columns are added on both sides: the last value repeated (``"edge"``), or going to zero as half a cosine
    (``"cosine"``). Reconstruct with a geometry of ``columns + 2 * width`` columns, and trust the inner part
    only.

    Parameters
    ----------
    width : int
        Columns added on each side.
    mode : {"cosine", "edge"}

    References
    ----------
    B. Ohnesorge, T. Flohr, K. Schwarz, J. P. Heiken, K. T. Bae, "Efficient correction for CT image artifacts
    caused by objects extending outside the scan field of view", Medical Physics 27 (2000).

    Examples
    --------
    >>> PadTruncated(width=2, mode="edge")(torch.tensor([[3.0, 1.0]]))
    tensor([[3., 3., 3., 1., 1., 1.]])
    """

    width: int
    mode: Literal["cosine", "edge"] = "cosine"

    def __post_init__(self) -> None:
        if not isinstance(self.width, int) or self.width < 0:
            raise ParameterError(f"width must be a number of columns, got {self.width!r}")
        if self.mode not in ("cosine", "edge"):
            raise ParameterError(f"mode must be 'cosine' or 'edge', got {self.mode!r}")

    def __call__(self, sinogram: Tensor) -> Tensor:
        """Pad ``(..., column)`` to ``(..., column + 2 width)``."""
        sinogram = real(sinogram, "the sinogram")
        steps = torch.arange(1, self.width + 1, dtype=sinogram.dtype, device=sinogram.device)
        fall = torch.ones_like(steps)
        if self.mode == "cosine":
            fall = (1 + torch.cos(math.pi * steps / (self.width + 1))) / 2
        left, right = sinogram[..., :1] * fall.flip(0), sinogram[..., -1:] * fall
        return torch.cat([left, sinogram, right], dim=-1)

    def crop(self, sinogram: Tensor) -> Tensor:
        """Remove the added columns."""
        return sinogram[..., self.width : sinogram.shape[-1] - self.width]


class RemoveZingers(Value):
    """Replace outliers of single detector frames by the local median.

    Such zingers are photons scattered directly into the chip.

    A pixel is an outlier if the square root of its counts, whose noise is the same for few and many counts,
    exceeds the median of ``size`` columns by more than ``threshold`` standard deviations. These are 1.4826
    times the median over the row of |second difference|/√6, and at least 5e-4 of the row's median.

    Parameters
    ----------
    threshold : float
        In standard deviations.
    size : int
        Odd length of the window.
    both : bool
        Remove dark outliers as well as bright ones.

    Examples
    --------
    >>> row = 10 + 0.1 * torch.arange(16.0).sin()
    >>> row[5] = 1000.0
    >>> bool((RemoveZingers()(row[None]) < 11).all())
    True
    """

    threshold: float = 8.0
    size: int = 5
    both: bool = False

    def __post_init__(self) -> None:
        if not self.threshold > 0:
            raise ParameterError(f"threshold must be positive, got {self.threshold!r}")
        if not isinstance(self.size, int) or self.size < 3 or self.size % 2 == 0:
            raise ParameterError(f"size must be an odd number from 3, got {self.size!r}")

    def __call__(self, counts: Tensor) -> Tensor:
        """Clean counts ``(..., column)``."""
        counts = real(counts, "counts")
        off = excess(counts, size=self.size)
        off = off.abs() if self.both else off
        return torch.where(off > self.threshold, median_filter(counts, self.size), counts)


def excess(counts: Tensor, *, size: int = 5, around: Tensor | None = None) -> Tensor:
    """Excess of counts (..., column) over what is around them, in standard deviations of their square roots.

    Around them is the median of ``size`` columns, unless it is given. See `RemoveZingers`.
    """
    root = counts.nan_to_num(0.0).clamp_min(0).sqrt()
    middle = median_filter(root, size)
    spread = 5e-4 * middle.median(dim=-1, keepdim=True).values
    if counts.shape[-1] >= 3:
        second = root.diff(n=2, dim=-1).abs().median(dim=-1, keepdim=True).values
        spread = torch.maximum(spread, 1.4826 / 6**0.5 * second)
    reference = middle if around is None else around.clamp_min(0).sqrt()
    return (root - reference) / spread.clamp_min(torch.finfo(root.dtype).tiny)


def median_filter(x: Tensor, size: int) -> Tensor:
    """The running median over ``size`` (odd) entries of the last axis, ends repeated.

    Examples
    --------
    >>> median_filter(torch.tensor([1.0, 9.0, 2.0, 3.0]), 3)
    tensor([1., 2., 3., 3.])
    """
    half = size // 2
    index = torch.arange(-half, x.shape[-1] + half, device=x.device).clamp(0, x.shape[-1] - 1)
    return x[..., index].unfold(-1, size, 1).median(dim=-1).values


def mean_frame(frames: Tensor, *, robust: bool = True) -> Tensor:
    """Average repeated frames, by the median over frames if there are five or more (it ignores zingers).

    Parameters
    ----------
    frames : Tensor, shape (frame, *detector)
    robust : bool
        False: always the mean.

    Returns
    -------
    Tensor, shape (*detector)

    Examples
    --------
    >>> mean_frame(torch.tensor([[1.0], [3.0]]))
    tensor([2.])
    """
    frames = real(frames, "frames")
    if not frames.shape[0]:
        raise DataError("there is no frame to average")
    if robust and frames.shape[0] >= 5:
        low = frames.median(dim=0).values
        return (low - (-frames).median(dim=0).values) / 2  # torch's median is the lower one
    return frames.mean(dim=0)


def fit_beam_hardening(measured: Tensor, thickness: Tensor, *, degree: int = 3) -> BeamHardening:
    """Find the polynomial that makes measured line integrals of a known object proportional to its thickness.

    Least squares over aₖ of Σ (Σₖ aₖ mᵏ - s t)², with the slope s of the thin end: the corrected values are
    those of the incoming spectrum's mean attenuation.

    Parameters
    ----------
    measured : Tensor
        -log T.
    thickness : Tensor, same shape
        Path through the object, in any unit.
    degree : int
        Highest power.

    Returns
    -------
    BeamHardening

    Raises
    ------
    DataError
        If there are too few positive values.

    Examples
    --------
    >>> t = torch.linspace(0, 3, 50)
    >>> polychromatic = -torch.log(0.5 * torch.exp(-t) + 0.5 * torch.exp(-2 * t))
    >>> corrected = fit_beam_hardening(polychromatic, t, degree=4)(polychromatic)
    >>> bool((corrected / 1.5 - t).abs().max() < 0.02)
    True
    """
    if measured.shape != thickness.shape:
        raise ShapeError(
            f"measured {tuple(measured.shape)} and thickness {tuple(thickness.shape)} must agree"
        )
    if not isinstance(degree, int) or degree < 1:
        raise ParameterError(f"degree must be a positive integer, got {degree!r}")
    m, t = (v.detach().double().flatten().cpu().numpy() for v in (measured, thickness))
    used = (t > 0) & np.isfinite(m)
    m, t = m[used], t[used]
    if len(m) <= degree:
        raise DataError(f"a polynomial of degree {degree} needs more than {len(m)} values inside the object")
    powers = np.stack([m**k for k in range(1, degree + 1)], axis=1)
    inverse = np.linalg.lstsq(powers, t, rcond=None)[0]  # thickness as a polynomial of the measurement
    slope = 1 / inverse[0]
    return BeamHardening(coefficients=tuple(float(slope * a) for a in inverse))


def real(x: Tensor, name: str) -> Tensor:
    if not isinstance(x, Tensor) or x.is_complex() or x.dtype == torch.bool:
        raise DtypeError(f"{name} must be a real tensor, got {getattr(x, 'dtype', type(x).__name__)}")
    if x.ndim == 0:
        raise ShapeError(f"{name} must have at least one axis, got a single number")
    return x if x.is_floating_point() else x.to(torch.get_default_dtype())


def _fits(x: Tensor, shape: Sequence[int]) -> None:
    if tuple(x.shape[x.ndim - len(shape) :]) != tuple(shape):
        raise ShapeError(f"the frames are {tuple(x.shape)}, the flat field {tuple(shape)}: other detectors")
