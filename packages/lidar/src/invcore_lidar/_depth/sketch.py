"""Sketches: a few Fourier coefficients in place of the photon times."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from invcore import ParameterError, ShapeError, Value

from .._photons.impulse import ImpulseResponse
from .._photons.tags import Histogram, TimeTags
from .._photons.units import SPEED_OF_LIGHT
from .detections import detections
from .estimate import DepthEstimate


class Sketch(Value):
    r"""Fourier coefficients of the photon times of each pixel at the first harmonics of the gate,

    .. math:: S_j = \sum_i e^{2πi j (t_i - start)/T}, \quad j = 1 … m.

    Uniform background only adds noise. The size of a sketch does not depend on the number of photons, and
    sketches of several exposures add, down to single photons: a detector can accumulate them without storing
    photons.

    Parameters
    ----------
    sums : Tensor, shape (m, y, x), complex
        Sⱼ.
    photons : Tensor, shape (y, x)
        Number of photons.
    start : float
        Start of the gate in seconds after the laser pulse.
    duration : float
        T, length of the gate in seconds.
    bins : int
        Bins of the histogram (ticks of tags), to which the background of an estimate refers.

    Raises
    ------
    ShapeError
        If sums and photons do not fit together.

    References
    ----------
    M. P. Sheehan, J. Tachella, M. E. Davies, "A sketching framework for reduced data transfer in photon
    counting lidar", IEEE Trans. Comput. Imaging 7 (2021).

    Examples
    --------
    >>> tags = TimeTags.from_cells([[[10000, 10040], [3000]]], tick=1e-12, start=0, stop=30000)
    >>> sketch(tags, order=4)
    Sketch(4 harmonics of 3e-08 s, 1 x 2 pixels, 3 photons)
    """

    sums: Tensor
    photons: Tensor
    start: float
    duration: float
    bins: int

    def __post_init__(self) -> None:
        if self.sums.ndim != 3 or self.sums.shape[1:] != self.photons.shape or not self.sums.is_complex():
            raise ShapeError(
                f"Sketch: sums must be complex (m, y, x) and photons (y, x), got {tuple(self.sums.shape)} "
                f"and {tuple(self.photons.shape)}"
            )

    def __repr__(self) -> str:
        order, ny, nx = self.sums.shape
        size = f"{ny} x {nx} pixels, {self.photons.sum():.0f} photons"
        return f"Sketch({order} harmonics of {self.duration:.4g} s, {size})"

    def __add__(self, other: Sketch) -> Sketch:
        """Return the sketch of both exposures."""
        ours, theirs = ((s.sums.shape, s.start, s.duration, s.bins) for s in (self, other))
        if ours != theirs:
            raise ShapeError(
                f"sketches of different gates, orders or images cannot be added: {self} and {other}"
            )
        return Sketch(
            sums=self.sums + other.sums,
            photons=self.photons + other.photons,
            start=self.start,
            duration=self.duration,
            bins=self.bins,
        )

    def estimate(self, impulse: ImpulseResponse) -> DepthEstimate:
        r"""Estimate the depth and reflectivity of one surface by least squares.

        The model of the coefficients is α φⱼ e^{iωⱼt}. φⱼ is the transform of the impulse response and α the
        share of signal. With all harmonics this is the cross-correlation with the response; few suffice
        unless the response is short compared with the gate.

        Parameters
        ----------
        impulse : ImpulseResponse

        Returns
        -------
        DepthEstimate
            ``std`` is the error if the right peak was found.
        """
        m = len(self.sums)
        omega = 2 * math.pi / self.duration * torch.arange(1, m + 1, dtype=torch.float64)
        phi, u, h = _transform(impulse, omega)
        z = self.sums.to(torch.complex128) / self.photons.clamp_min(1)
        c = (phi.conj()[:, None, None] * z).movedim(0, -1)
        grid = 1 << max(4, (16 * m - 1).bit_length())
        score = torch.fft.fft(torch.nn.functional.pad(c, (1, grid - m - 1)), dim=-1).real
        t = score.argmax(-1).double() * (self.duration / grid)
        for _ in range(20):  # Newton, kept within a cell of the grid
            turned = c * torch.exp(-1j * omega * t[..., None])
            slope = (omega * turned.imag).sum(-1)
            bend = -(omega**2 * turned.real).sum(-1)
            move = torch.where(bend < 0, -slope / bend, torch.zeros_like(slope))
            t = t + move.clamp(-self.duration / grid, self.duration / grid)
        energy = phi.abs().square()
        turned = c * torch.exp(-1j * omega * t[..., None])
        alpha = (turned.real.sum(-1) / energy.sum()).clamp(0, 1)
        influence = ((omega * phi.conj())[:, None] * torch.exp(1j * omega[:, None] * u)).imag.sum(0)
        spread = (h * influence**2).sum() * (u[1] - u[0])
        noise = alpha * spread + (1 - alpha) * 0.5 * (omega**2 * energy).sum()
        n = self.photons.double()
        sigma = (noise / n).sqrt() / (alpha * (omega**2 * energy).sum())
        known = n > 0
        t = torch.where(known, t.remainder(self.duration), torch.nan)
        return DepthEstimate(
            depth=((self.start + t) * (SPEED_OF_LIGHT / 2))[None],
            reflectivity=torch.where(known, alpha * n, 0.0)[None],
            background=((1 - alpha) * n / self.bins)[None],
            std=torch.where(known & (alpha > 0), sigma * (SPEED_OF_LIGHT / 2), torch.inf)[None],
        )


def sketch(data: TimeTags | Histogram, *, order: int) -> Sketch:
    """Return the sketch of time tags or a histogram.

    Parameters
    ----------
    data : TimeTags or Histogram
        Data of one image.
    order : int
        m, the number of harmonics, at most half the number of bins; the resolution in time is T/m.

    Returns
    -------
    Sketch

    Raises
    ------
    ParameterError
        If the order is out of that range.
    """
    photons = detections(data)
    if not (isinstance(order, int) and 0 < order <= max(photons.bins // 2, 1)):
        raise ParameterError(f"sketch: order must be 1 ... {max(photons.bins // 2, 1)}, got {order!r}")
    rows, pixels = photons.rows(), len(photons.indptr) - 1
    turn = np.exp(2j * np.pi * photons.times / photons.bins)
    power, sums = np.ones_like(turn), np.empty((order, pixels), complex)
    for j in range(order):
        power = power * turn
        weighted = photons.counts * power
        sums[j] = np.bincount(rows, weighted.real, minlength=pixels)
        sums[j] += 1j * np.bincount(rows, weighted.imag, minlength=pixels)
    return Sketch(
        sums=torch.from_numpy(sums).reshape(order, *photons.shape),
        photons=torch.from_numpy(photons.photons()).reshape(photons.shape),
        start=photons.start,
        duration=photons.bins * photons.bin_width,
        bins=photons.bins,
    )


def _transform(impulse: ImpulseResponse, omega: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return ∫ h(u) e^{iωu} du as a sum over samples, and u and h at the samples."""
    low, high = impulse.interval(1e-9)
    u = torch.linspace(low, high, 4097, dtype=torch.float64)
    with torch.no_grad():
        h = impulse.to("cpu").to(torch.float64).density(u)
    step = u[1] - u[0]
    h = h / (h.sum() * step)
    return (torch.exp(1j * omega[:, None] * u) * h).sum(-1) * step, u, h
