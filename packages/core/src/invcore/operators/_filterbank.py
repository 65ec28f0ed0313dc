"""One level of a periodized orthogonal filter bank along one axis, as a banded matrix product.

An axis of even length is cut into overlapping windows; one small dense matrix times each window gives ``p``
coefficients of a band, so a band is a single batched matrix product without rearranging the data. The
products read the last axis and write it first: after as many steps as there are axes the axes are in order
again, and no transposition is ever made for its own sake.

An axis of odd length ``n`` keeps an exactly orthogonal ``n x n`` transform with ``(n + 1) / 2`` approximation
and ``(n - 1) / 2`` detail coefficients. A Householder reflection maps the new coordinate of ``R^(n+1)`` onto
one wavelet ``d`` at the seam and so embeds ``R^n`` isometrically as the orthogonal complement of ``d``; the
even transform of length ``n + 1`` then has a detail coefficient that is exactly zero, and it is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import torch
from torch import Tensor

from .._errors import ParameterError

_SHORT, _SMALL = (
    128,
    2**22,
)  # a level of a short axis is one plain matrix product if that takes few operations


@dataclass(frozen=True)
class OrthogonalFilters:
    """The analysis filters of an orthogonal wavelet.

    Parameters
    ----------
    name : str
        The PyWavelets name.
    low, high : tuple of float
        Analysis low-pass and high-pass filter, in the order of PyWavelets' ``dec_lo`` and ``dec_hi``.
    """

    name: str
    low: tuple[float, ...]
    high: tuple[float, ...]


@cache
def orthogonal_filters(name: str) -> OrthogonalFilters:
    """The filters of an orthogonal wavelet of PyWavelets, orthonormal to machine precision.

    Tabulated filters satisfy ``sum_k h[k] h[k + 2m] = [m == 0]`` only to the printed digits (``sym20``:
    1e-11); a few Gauss-Newton steps of least norm bring them there, so that the transform is orthogonal to
    rounding error. The change is of the size of that defect.

    Parameters
    ----------
    name : str
        For example ``"haar"``, ``"db4"``, ``"sym8"``, ``"coif2"``.

    Raises
    ------
    ParameterError
        If PyWavelets does not know the name, or the wavelet is not orthogonal.

    Examples
    --------
    >>> [round(v, 4) for v in orthogonal_filters("haar").low]
    [0.7071, 0.7071]
    """
    import pywt

    known = pywt.wavelist(kind="discrete")
    if not isinstance(name, str) or name not in known:
        raise ParameterError(
            f"unknown wavelet {name!r}; expected one of PyWavelets' orthogonal families haar, db1-db38, "
            "sym2-sym20, coif1-coif17, for example 'db4'."
        )
    wavelet = pywt.Wavelet(name)
    low = np.array(wavelet.dec_lo, dtype=np.float64)
    if not wavelet.orthogonal or np.abs(_orthonormality(low)).max() > 1e-6:
        raise ParameterError(
            f"wavelet {name!r} is not orthogonal to working precision, which this transform needs; "
            "use a member of haar, db, sym or coif, for example 'db4'."
        )
    taps = len(low)
    for _ in range(3):
        shifted = np.zeros((taps // 2, taps))  # rows: derivative of each condition
        for m in range(taps // 2):
            shifted[m, : taps - 2 * m] += low[2 * m :]
            shifted[m, 2 * m :] += low[: taps - 2 * m]
        low = low - np.linalg.lstsq(shifted, _orthonormality(low), rcond=None)[0]
    high = (-1.0) ** np.arange(1, taps + 1) * low[::-1]
    return OrthogonalFilters(name, tuple(low.tolist()), tuple(high.tolist()))


def _orthonormality(low: np.ndarray) -> np.ndarray:
    """``sum_k h[k] h[k + 2m] - [m == 0]`` for each m."""
    taps = len(low)
    return np.array([low[: taps - 2 * m] @ low[2 * m :] - (m == 0) for m in range(taps // 2)])


def analyze_axis(v: Tensor, filters: OrthogonalFilters, shift: int = 0) -> Tensor:
    """One level along the last axis of ``(*lines, n)``, rolled by ``shift`` first; returns ``(n, lines)``."""
    n = v.shape[-1]
    lines = v.numel() // n
    if n == 1 or (n <= _SHORT and n * n * lines <= _SMALL):
        v = torch.roll(v, shift, -1) if shift else v
        return _level_matrix(filters, n, v.dtype, v.device) @ v.reshape(lines, n).T
    return _analyze_windows(v, filters, shift)


def _analyze_windows(v: Tensor, filters: OrthogonalFilters, shift: int) -> Tensor:
    n = v.shape[-1]
    lines = v.numel() // n
    seam = _seam(filters, n + 1, v.dtype, v.device) if n % 2 else None
    if seam is not None:
        v = torch.roll(v, shift, -1) if shift else v
        v, shift = _reflect(torch.cat((v, v.new_zeros(*v.shape[:-1], 1)), -1).view(lines, n + 1), seam, 1), 0
    taps, half = len(filters.low), (n + 1) // 2
    extended = _circular(v, 1 - taps // 2 - shift, 2 * half + taps - 2).view(lines, -1)
    out = v.new_empty(2 * half, lines)
    for start, count, p in _blocks(filters, half):
        width = 2 * p + taps - 2
        windows = extended.as_strided((count, width, lines), (2 * p, 1, extended.shape[1]), 2 * start)
        for band, matrix in enumerate(_analysis_matrices(filters, p, v.dtype, v.device)):
            rows = out[band * half + start :][: count * p].view(count, p, lines)
            torch.bmm(matrix.expand(count, p, width), windows, out=rows)
    if seam is not None:
        out = torch.cat((out[: half + seam.dropped], out[half + seam.dropped + 1 :]))
    return out


def synthesize_axis(v: Tensor, filters: OrthogonalFilters) -> Tensor:
    """Inverse of `analyze_axis` along the last axis of ``(lines, n)``; returns ``(n, lines)``."""
    lines, n = v.shape
    if n == 1 or (n <= _SHORT and n * n * lines <= _SMALL):
        return _level_matrix(filters, n, v.dtype, v.device).T @ v.T
    half = (n + 1) // 2
    seam = _seam(filters, n + 1, v.dtype, v.device) if n % 2 else None
    if seam is not None:
        at = half + seam.dropped
        v = torch.cat((v[:, :at], v.new_zeros(lines, 1), v[:, at:]), 1)
    reach = len(filters.low) // 4
    bands = [_circular(b, -reach, half + 2 * reach) for b in (v[:, :half], v[:, half:])]
    out = v.new_empty(2 * half, lines)
    for start, count, p in _blocks(filters, half):
        width = p + 2 * reach
        rows = out[2 * start :][: 2 * count * p].view(count, 2 * p, lines)
        low, high = (b.as_strided((count, width, lines), (p, 1, b.shape[1]), start) for b in bands)
        to_low, to_high = _synthesis_matrices(filters, p, v.dtype, v.device)
        torch.bmm(to_low.expand(count, 2 * p, width), low, out=rows)
        rows.baddbmm_(to_high.expand(count, 2 * p, width), high)
    return out if seam is None else _reflect(out, seam, 0)[:n]


@lru_cache(maxsize=512)
def _level_matrix(filters: OrthogonalFilters, n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The orthogonal matrix of one level, for axes so short that the windows would cost more."""
    identity = torch.eye(n, dtype=torch.float64)
    matrix = identity if n == 1 else _analyze_windows(identity, filters, 0)
    return matrix.to(dtype=dtype, device=device)


def _blocks(filters: OrthogonalFilters, half: int) -> list[tuple[int, int, int]]:
    """``(first coefficient, number of blocks, coefficients in a block)``: equal blocks, then the rest."""
    p = min(half, 8 if len(filters.low) <= 16 else 16)
    count, rest = divmod(half, p)
    return [(0, count, p)] + ([(count * p, 1, rest)] if rest else [])


def _circular(v: Tensor, start: int, length: int) -> Tensor:
    """``v[..., (start + arange(length)) % n]``, contiguous."""
    position, pieces = start % v.shape[-1], []
    while length > 0:
        piece = v[..., position : position + length]
        pieces.append(piece)
        length -= piece.shape[-1]
        position = 0
    return torch.cat(pieces, -1)


@lru_cache(maxsize=64)
def _analysis_matrices(
    filters: OrthogonalFilters, p: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """``p`` low-pass and ``p`` high-pass coefficients from a window of ``2p + taps - 2`` samples."""
    taps = len(filters.low)
    matrix = np.zeros((2, p, 2 * p + taps - 2))
    for k in range(p):
        matrix[0, k, 2 * k : 2 * k + taps] = filters.low[::-1]
        matrix[1, k, 2 * k : 2 * k + taps] = filters.high[::-1]
    low, high = torch.tensor(matrix, dtype=dtype, device=device)
    return low, high


@lru_cache(maxsize=64)
def _synthesis_matrices(
    filters: OrthogonalFilters, p: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """``2p`` samples from a window of ``p + 2 * (taps // 4)`` coefficients of each band."""
    taps = len(filters.low)
    reach = taps // 4
    matrix = np.zeros((2, 2 * p, p + 2 * reach))
    for sample in range(2 * p):
        for i in range(p + 2 * reach):
            tap = 2 * (i - reach) + taps // 2 - sample
            if 0 <= tap < taps:
                matrix[:, sample, i] = filters.low[tap], filters.high[tap]
    low, high = torch.tensor(matrix, dtype=dtype, device=device)
    return low, high


# --------------------------------------------------------------------------------------------------
# odd lengths


@dataclass(frozen=True, eq=False)
class _Seam:
    """Householder vector of the embedding of ``R^(n)`` into ``R^(n+1)``, and the coefficient left out."""

    support: Tensor
    vector: Tensor
    dropped: int


@lru_cache(maxsize=256)
def _seam(filters: OrthogonalFilters, even: int, dtype: torch.dtype, device: torch.device) -> _Seam:
    """Choose the wavelet with the largest weight on the last sample: it disturbs its neighbors least."""
    taps, last = len(filters.high), even - 1
    at_last = np.zeros(even // 2)  # weight of each wavelet on the last sample
    for tap, weight in enumerate(filters.high):
        twice = last - taps // 2 + tap
        if twice % 2 == 0:
            at_last[twice // 2 % (even // 2)] += weight
    dropped = int(np.abs(at_last).argmax())
    d = np.zeros(even)
    for tap, weight in enumerate(filters.high):
        d[(2 * dropped + taps // 2 - tap) % even] += weight
    v = np.sign(d[last]) * d
    v[last] += 1.0  # e_last minus the wavelet, whose sign is chosen so that nothing cancels
    support = np.flatnonzero(v)
    v = v[support] * math.sqrt(2.0 / float(v @ v))
    return _Seam(
        torch.tensor(support, device=device), torch.tensor(v, dtype=dtype, device=device)[:, None], dropped
    )


def _reflect(v: Tensor, seam: _Seam, dim: int) -> Tensor:
    """Apply ``I - u u.T`` with ``|u|^2 = 2`` along ``dim`` of a matrix."""
    u = seam.vector if dim == 0 else seam.vector.T
    part = v.index_select(dim, seam.support)
    return v.index_copy(dim, seam.support, part - u * (u * part).sum(dim, keepdim=True))
