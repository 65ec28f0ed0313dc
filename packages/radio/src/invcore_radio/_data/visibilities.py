"""Visibilities of an interferometer with baselines, frequencies, weights and flags."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor

from invcore import DataError, DtypeError, ParameterError, Physics, ShapeError, Value
from invcore.noises import GaussianMapNoise

from .averaging import averaged
from .checks import check_parts
from .stokes import StokesName, combined

C = 299792458.0
"""Speed of light in m/s."""

_ROW_FIELDS = ("data", "uvw", "weight", "flag", "time", "interval", "antenna1", "antenna2")
_CUBES = ("data", "weight", "flag")


class Visibilities(Value):
    """Visibilities of an interferometer with their baselines, frequencies, weights and flags.

    The visibility of an image x (Jy/pixel) at the baseline (u, v, w), in meters, and the frequency ν is

    .. math:: V = Σ_p x_p e^{-2πi ν/c (u l_p + v m_p + w (n_p - 1))},

    with l growing to the east, m to the north. Every reader converts its format to this sign.

    Parameters
    ----------
    data : Tensor, shape (row, frequency, correlation)
        Complex visibilities in Jy; finite everywhere, including flagged entries.
    uvw : Tensor, shape (row, 3)
        Baselines in meters, float64.
    frequencies : Tensor, shape (frequency,)
        Frequencies in Hz, float64.
    weight : Tensor, shape (row, frequency, correlation)
        1/σ² for the standard deviation σ of the real and of the imaginary part. Entries of weight 0 count as
        flagged.
    flag : Tensor, shape (row, frequency, correlation)
        Bool, true where the datum is bad.
    time : Tensor, shape (row,)
        Middle of the integration in seconds of UTC (modified Julian date times 86400), float64.
    interval : Tensor, shape (row,)
        Length of the integration in seconds, float64.
    antenna1, antenna2 : Tensor, shape (row,)
        Indices into ``antenna_names``, int64.
    antenna_names : tuple of str
        Names of the antennas.
    antenna_positions : Tensor, shape (antenna, 3), optional
        Geocentric positions in meters, float64.
    polarizations : tuple of str
        Names of the correlations, such as ``("RR", "LL", "RL", "LR")``, ``("XX", "YY")`` or ``("I",)``.
    phase_center : (float, float)
        Right ascension and declination (ICRS or J2000) in radians.
    channel_width : Tensor, shape (frequency,), optional
        Bandwidths in Hz, float64.
    source, telescope : str
        Names of the source and of the array.

    Raises
    ------
    ShapeError, DtypeError, DataError
        If the parts do not fit together, or a value is not finite.

    Examples
    --------
    >>> vis = Visibilities(
    ...     data=torch.ones(1, 1, 2, dtype=torch.complex64),
    ...     uvw=torch.tensor([[300.0, 0.0, 0.0]], dtype=torch.float64),
    ...     frequencies=torch.tensor([1e9], dtype=torch.float64), weight=torch.ones(1, 1, 2),
    ...     flag=torch.zeros(1, 1, 2, dtype=torch.bool), time=torch.zeros(1, dtype=torch.float64),
    ...     interval=torch.ones(1, dtype=torch.float64),
    ...     antenna1=torch.tensor([0]), antenna2=torch.tensor([1]),
    ...     antenna_names=("A", "B"), polarizations=("RR", "LL"))
    >>> vis.stokes("I").sigma.squeeze()
    tensor(0.7071)
    """

    data: Tensor
    uvw: Tensor
    frequencies: Tensor
    weight: Tensor
    flag: Tensor
    time: Tensor
    interval: Tensor
    antenna1: Tensor
    antenna2: Tensor
    antenna_names: tuple[str, ...]
    polarizations: tuple[str, ...]
    antenna_positions: Tensor | None = None
    phase_center: tuple[float, float] = (0.0, 0.0)
    channel_width: Tensor | None = None
    source: str = ""
    telescope: str = ""

    def __post_init__(self) -> None:
        check_parts(self)

    def __repr__(self) -> str:
        low, high = (
            (float(self.frequencies.min()), float(self.frequencies.max())) if self.channels else (0.0, 0.0)
        )
        band = f"{low / 1e9:.6g} GHz" if low == high else f"{low / 1e9:.6g} to {high / 1e9:.6g} GHz"
        share = float((~self.mask).double().mean()) if self.mask.numel() else 0.0
        name = f"{self.source!r}, " if self.source else ""
        where = f" of {self.telescope}" if self.telescope else ""
        return (
            f"Visibilities({name}{len(self)} rows, {len(self.antenna_names)} antennas{where}, "
            f"{self.channels} x {band}, "
            f"{','.join(self.polarizations)}, {100 * share:.3g} % flagged)"
        )

    def __len__(self) -> int:
        return self.data.shape[0]

    # -- properties ----------------------------------------------------------------------------------

    @property
    def channels(self) -> int:
        """Number of frequencies."""
        return self.data.shape[1]

    @property
    def mask(self) -> Tensor:
        """True for data that are neither flagged nor of weight 0, (row, frequency, correlation)."""
        return ~self.flag & (self.weight > 0)

    @property
    def sigma(self) -> Tensor:
        """Standard deviation of real and imaginary part, shaped like ``data``; infinite where flagged."""
        return torch.where(self.mask, self.weight, 0).rsqrt()

    @property
    def dtype(self) -> torch.dtype:
        """Real dtype of data and weights; positions and times are always in double precision."""
        return self.data.real.dtype

    def uv_wavelengths(self) -> Tensor:
        """Return the baselines (u, v) in wavelengths, (row, frequency, 2)."""
        return self.uvw[:, None, :2] * (self.frequencies[:, None] / C)

    def uv_distance(self) -> Tensor:
        """Return the length of (u, v) in wavelengths, (row, frequency)."""
        return torch.linalg.vector_norm(self.uvw[:, :2], dim=-1)[:, None] * (self.frequencies / C)

    def resolution(self) -> float:
        """Return the angular resolution in radians, estimated as one over the longest (u, v) with data."""
        good = self.mask.any(-1)
        longest = float(torch.where(good, self.uv_distance(), 0).max()) if len(self) else 0.0
        if longest == 0:
            raise DataError("resolution: there is no datum with a baseline")
        return 1 / longest

    # -- copies --------------------------------------------------------------------------------------

    def replace(
        self, *, data: Tensor | None = None, weight: Tensor | None = None, flag: Tensor | None = None
    ) -> Self:
        """Return a copy with other data, weights or flags of the same shapes.

        Parameters
        ----------
        data, weight, flag : Tensor, shape (row, frequency, correlation), optional
            Replacements; the weights are converted to the precision of new data.
        """
        given = {"data": data, "weight": weight, "flag": flag}
        new: dict[str, Any] = {name: t for name, t in given.items() if t is not None}
        for name, t in new.items():
            if t.shape != self.data.shape:
                raise ShapeError(
                    f"Visibilities: {name} must be (row, frequency, correlation) = {tuple(self.data.shape)}, "
                    f"got {tuple(t.shape)}"
                )
        if data is not None and weight is None:
            new["weight"] = self.weight.to(data.real.dtype)
        return dataclasses.replace(self, **new)

    def with_data(self, y: Tensor) -> Self:
        """Return a copy with other data, such as those of a model, or corrected for gains.

        Parameters
        ----------
        y : Tensor, shape (row, frequency, correlation), or (row, frequency) for one correlation
            New data.
        """
        if y.ndim == 2 and len(self.polarizations) == 1:
            y = y[..., None]
        return self.replace(data=y)

    def to(self, target: torch.device | str | torch.dtype) -> Self:
        """Return a copy on another device, or with data and weights in another precision."""
        if isinstance(target, torch.dtype):
            real = torch.empty(0, dtype=target).real.dtype if target.is_complex else target
            if real not in (torch.float32, torch.float64):
                raise ParameterError(f"Visibilities.to: precision must be float32 or float64, got {target}")
            one = self.data.to(torch.complex64 if real == torch.float32 else torch.complex128)
            return self.replace(data=one, weight=self.weight.to(real))
        return super().to(target)

    def rows(self, index: Tensor | slice | Sequence[int] | Sequence[bool]) -> Self:
        """Return a copy with some rows, in the order of the index.

        Parameters
        ----------
        index : Tensor, slice or sequence of int or bool
            Indices, a slice, or a bool mask.

        Raises
        ------
        DtypeError
            If the index is neither integer nor bool.
        """
        at: Any = index if isinstance(index, slice) else torch.as_tensor(index, device=self.data.device)
        if isinstance(at, Tensor) and (at.is_floating_point() or at.is_complex()):
            if at.numel():
                raise DtypeError(f"Visibilities.rows: expected indices or a bool mask, got {at.dtype}")
            at = at.long()
        return dataclasses.replace(self, **{name: getattr(self, name)[at] for name in _ROW_FIELDS})

    def select(
        self,
        *,
        antennas: Iterable[str] | None = None,
        times: tuple[float, float] | None = None,
        frequencies: tuple[float, float] | None = None,
        uv_range: tuple[float, float] | None = None,
        polarizations: Iterable[str] | None = None,
    ) -> Self:
        """Return a copy with a part of the data.

        Parameters
        ----------
        antennas : iterable of str, optional
            Names of the antennas to keep; a baseline needs both. The table of antennas is not shortened.
        times : (float, float), optional
            First and last time in seconds, on the scale of ``time``.
        frequencies : (float, float), optional
            Lowest and highest frequency in Hz.
        uv_range : (float, float), optional
            Shortest and longest (u, v) in wavelengths; data outside are flagged, and rows without other data
            are dropped.
        polarizations : iterable of str, optional
            Names of correlations, in the order of the result.

        Raises
        ------
        ParameterError
            If a name is unknown.
        """
        kept = torch.ones(len(self), dtype=torch.bool, device=self.data.device)
        if antennas is not None:
            chosen = torch.tensor(
                [self._index(n, self.antenna_names, "antenna") for n in _names(antennas)],
                dtype=torch.int64,
                device=self.data.device,
            )
            kept &= torch.isin(self.antenna1, chosen) & torch.isin(self.antenna2, chosen)
        if times is not None:
            kept &= (self.time >= times[0]) & (self.time <= times[1])
        found = self
        if frequencies is not None:
            at = ((self.frequencies >= frequencies[0]) & (self.frequencies <= frequencies[1])).nonzero()[:, 0]
            parts: dict[str, Any] = {name: getattr(found, name)[:, at] for name in _CUBES}
            width = None if found.channel_width is None else found.channel_width[at]
            found = dataclasses.replace(
                found, frequencies=found.frequencies[at], channel_width=width, **parts
            )
        if polarizations is not None:
            names = tuple(_names(polarizations))
            index = [self._index(n, self.polarizations, "polarization") for n in names]
            parts = {name: getattr(found, name)[..., index] for name in _CUBES}
            found = dataclasses.replace(found, polarizations=names, **parts)
        if uv_range is not None:
            distance = found.uv_distance()
            inside = (distance >= uv_range[0]) & (distance <= uv_range[1])
            found = found.replace(flag=found.flag | ~inside[..., None])
            kept &= inside.any(-1)
        return found if bool(kept.all()) else found.rows(kept)

    def unflagged(self) -> Self:
        """Return a copy without the rows that are entirely flagged."""
        return self.rows(self.mask.flatten(1).any(-1))

    def scans(self, *, gap: float | None = None) -> Iterator[Self]:
        """Yield the data of each scan, between pauses of the observation, in order of time.

        Parameters
        ----------
        gap : float, optional
            Minimum length of a pause in seconds; by default a minute, or twice the longest integration if
            that is longer.
        """
        number = self.scan_numbers(gap=gap)
        for k in range(int(number.max()) + 1 if len(self) else 0):
            yield self.rows(number == k)

    def scan_numbers(self, *, gap: float | None = None) -> Tensor:
        """Return the number of the scan of each row, from 0; see `scans`."""
        if gap is None:
            gap = max(60.0, 2 * float(self.interval.max())) if len(self) else 60.0
        times, index = torch.unique(self.time, return_inverse=True)
        later = torch.zeros_like(times, dtype=torch.int64)
        later[1:] = (times[1:] - times[:-1] > gap).long()
        return later.cumsum(0)[index]

    def stokes(self, name: StokesName = "I", *, single_hand: bool = False) -> Self:
        """Return one Stokes parameter, computed from the correlations.

        For circular feeds I = (RR + LL)/2, Q = (RL + LR)/2, U = (RL - LR)/(2i), V = (RR - LL)/2; for linear
        feeds, aligned to the sky, I = (XX + YY)/2, Q = (XX - YY)/2, U = (XY + YX)/2, V = (XY - YX)/(2i). The
        errors of the two correlations are taken as independent; the result is flagged where either is.

        Parameters
        ----------
        name : {"I", "Q", "U", "V"}
            Stokes parameter.
        single_hand : bool
            Use one parallel hand for I where the other is flagged, assuming a source without circular (or
            linear) polarization.

        Raises
        ------
        ParameterError
            If the correlations do not determine this parameter.

        References
        ----------
        J. P. Hamaker, J. D. Bregman, R. J. Sault, "Understanding radio polarimetry I", Astron. Astrophys.
        Suppl. 117 (1996).
        """
        data, weight, good = combined(self, name, single_hand=single_hand)
        return dataclasses.replace(
            self, data=data[..., None], weight=weight[..., None], flag=~good[..., None], polarizations=(name,)
        )

    def average(
        self,
        *,
        time: float | Literal["scan"] | None = None,
        frequency: int | None = None,
        gap: float | None = None,
    ) -> Self:
        """Average over time and frequency with weights 1/σ², ignoring flagged data.

        Parameters
        ----------
        time : float or "scan", optional
            Length of the bins in seconds, counted from the beginning of each scan; ``"scan"`` makes one bin
            of each scan.
        frequency : int, optional
            Number of neighboring channels to average.
        gap : float, optional
            Minimum pause between scans, see `scans`.

        Notes
        -----
        The (u, v, w) of a row are averaged with its weights, summed over frequencies and correlations. All
        baselines of a bin get the same time, so that closure quantities can be formed. A source far from the
        phase center is smeared and, if flags differ between channels, displaced by a part of the smearing:
        use short bins.
        """
        return averaged(self, time=time, frequency=frequency, gap=gap)

    def with_systematic(self, fraction: float) -> Self:
        """Return a copy with σ² increased by (fraction |V|)², for errors that do not average out.

        Parameters
        ----------
        fraction : float
            Systematic error as a fraction of the amplitude.
        """
        if not fraction >= 0:
            raise ParameterError(f"with_systematic: fraction must be >= 0, got {fraction!r}")
        variance = 1 / torch.where(self.mask, self.weight, 1) + (fraction * self.data.abs()) ** 2
        return self.replace(weight=torch.where(self.mask, 1 / variance, 0))

    # -- imaging -------------------------------------------------------------------------------------

    def values(self) -> Tensor:
        """Return the data of one correlation, zero where flagged: the y of `physics`, (row, frequency).

        Raises
        ------
        ParameterError
            If there are several correlations.
        """
        self._single("values")
        return torch.where(self.mask, self.data, 0)[..., 0]

    def physics(
        self,
        *,
        shape: tuple[int, int],
        pixel: float,
        channels: int = 1,
        w_term: bool = True,
        beam: Tensor | None = None,
        accuracy: float = 1e-6,
    ) -> Physics:
        """Return the physics that maps an image to these visibilities, for one correlation.

        Parameters
        ----------
        shape : (int, int)
            Pixels of the image, (y, x).
        pixel : float
            Size of a pixel in radians.
        channels : int
            1 for the same image at all frequencies, or the number of frequencies.
        w_term : bool
            Account for baselines that do not lie in a plane.
        beam : Tensor, optional
            Primary beam, as for `Interferometer`.
        accuracy : float
            Relative accuracy of the visibilities.

        Returns
        -------
        Physics
            An `Interferometer` that masks flagged entries, with `GaussianMapNoise`; its data are `values`.
        """
        from .._operators.interferometer import Interferometer

        self._single("physics")
        mask = self.mask[..., 0]
        operator = Interferometer(
            uvw=self.uvw,
            frequencies=self.frequencies,
            shape=shape,
            pixel=pixel,
            channels=channels,
            w_term=w_term,
            beam=beam,
            mask=None if bool(mask.all()) else mask.to(self.dtype),
            accuracy=accuracy,
        )
        sigma = torch.where(mask, self.weight[..., 0], 1).rsqrt()
        return Physics(operator, GaussianMapNoise(sigma=sigma))

    # -- parts ---------------------------------------------------------------------------------------

    def _single(self, what: str) -> None:
        if len(self.polarizations) != 1:
            raise ParameterError(
                f"{what} is of one correlation, and there are {', '.join(self.polarizations)}: "
                'take .stokes("I") or .select(polarizations=["RR"]) first'
            )

    def _index(self, name: str, names: tuple[str, ...], what: str) -> int:
        if name not in names:
            raise ParameterError(f"there is no {what} {name!r}; there are {', '.join(names)}")
        return names.index(name)


def _names(names: Iterable[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)
