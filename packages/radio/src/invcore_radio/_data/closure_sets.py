"""Closure triangles and quadrangles of an array, and independent sets of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, DtypeError, ParameterError, ShapeError, Value

Edges = tuple[tuple[int, int], ...]


class ClosureSet(Value):
    """Groups of three or four visibilities, with signs, that form closure quantities.

    `closure_triangles` and `closure_quadrangles` find them. A visibility is identified by its index in the
    flattened array (row, frequency).

    Parameters
    ----------
    index : Tensor, shape (closure, leg), int64
        The three or four visibilities of each closure.
    sign : Tensor, shape (closure, leg), int64
        For a triangle -1 where the visibility enters conjugated, else +1. For a quadrangle +1 for the two
        amplitudes in the numerator, -1 for those in the denominator.
    group : Tensor, shape (closure,), int64
        Closures of different groups (another time or frequency) share no visibility, so their noise is
        independent.
    stations : Tensor, shape (closure, leg), int64
        Antennas: (i, j, k) stands for V_ij V_jk V_ki, (i, j, k, l) for |V_ij||V_kl| / (|V_ik||V_jl|).
    shape : tuple of int
        ``(rows, frequencies)`` of the visibilities.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If the parts do not fit together, or an index lies outside ``shape``.

    Examples
    --------
    >>> a, b = torch.triu_indices(4, 4, 1)
    >>> triangles = closure_triangles(a, b, torch.zeros(6))
    >>> triangles
    ClosureSet(3 closures of 3 visibilities in 1 group)
    >>> triangles.stations
    tensor([[0, 1, 2],
            [0, 1, 3],
            [0, 2, 3]])
    """

    index: Tensor
    sign: Tensor
    group: Tensor
    stations: Tensor
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        n, legs = self.index.shape if self.index.ndim == 2 else (-1, -1)
        if legs not in (3, 4):
            raise ShapeError(
                f"ClosureSet: index must have shape (closure, 3 or 4), got {tuple(self.index.shape)}"
            )
        for name, shape in (("sign", (n, legs)), ("group", (n,)), ("stations", (n, legs))):
            if tuple(getattr(self, name).shape) != shape:
                raise ShapeError(
                    f"ClosureSet: {name} must have shape {shape}, got {tuple(getattr(self, name).shape)}"
                )
        for name in ("index", "sign", "group", "stations"):
            if getattr(self, name).dtype != torch.int64:
                raise DtypeError(f"ClosureSet: {name} must be int64, got {getattr(self, name).dtype}")
        size = self.shape[0] * self.shape[1]
        if n and not 0 <= int(self.index.min()) <= int(self.index.max()) < size:
            raise ParameterError(
                f"ClosureSet: an index lies outside the {size} visibilities of shape {self.shape}"
            )

    def __repr__(self) -> str:
        n, legs = self.index.shape
        groups = len(torch.unique(self.group))
        return (
            f"ClosureSet({n} closures of {legs} visibilities in {groups} group{'s' if groups != 1 else ''})"
        )

    def __len__(self) -> int:
        return self.index.shape[0]

    def __getitem__(self, chosen: Tensor | slice) -> ClosureSet:
        """Select closures by a boolean mask, indices or a slice."""
        return ClosureSet(
            index=self.index[chosen],
            sign=self.sign[chosen],
            group=self.group[chosen],
            stations=self.stations[chosen],
            shape=self.shape,
        )


def closure_triangles(
    antenna1: Tensor,
    antenna2: Tensor,
    time: Tensor,
    *,
    good: Tensor | None = None,
    snr: Tensor | None = None,
    minimal: bool = True,
    tolerance: float = 0.5,
) -> ClosureSet:
    """Find the triangles of antennas that were observed at the same time and frequency.

    With ``minimal`` they form a maximal linearly independent set, for n fully connected antennas the (n -
    1)(n - 2)/2 triangles that contain a reference antenna [1]_. The reference is the antenna with the best
    signal.

    Parameters
    ----------
    antenna1, antenna2 : Tensor, shape (row,), int64
        Antennas i and j of V_ij.
    time : Tensor, shape (row,)
        Time in seconds.
    good : Tensor, shape (row, frequency), bool, optional
        True for valid data; by default all are.
    snr : Tensor, shape (row, frequency), optional
        Signal-to-noise ratio of the amplitudes, by which the antennas are ranked.
    minimal : bool
        Return an independent set; otherwise all triangles, whose covariance is singular.
    tolerance : float
        Rows whose times differ by at most this many seconds are simultaneous.

    Returns
    -------
    ClosureSet

    Raises
    ------
    DataError
        If a baseline occurs twice at one time.

    References
    ----------
    .. [1] L. Blackburn et al., "Closure statistics in interferometric data", ApJ 894 (2020) 31, Section 4.

    Examples
    --------
    >>> a, b = torch.triu_indices(5, 5, 1)
    >>> [len(closure_triangles(a, b, torch.zeros(10), minimal=m)) for m in (True, False)]
    [6, 10]
    """
    return _closures(_triangles, 3, antenna1, antenna2, time, good, snr, minimal, tolerance)


def closure_quadrangles(
    antenna1: Tensor,
    antenna2: Tensor,
    time: Tensor,
    *,
    good: Tensor | None = None,
    snr: Tensor | None = None,
    minimal: bool = True,
    tolerance: float = 0.5,
) -> ClosureSet:
    """Find the quadrangles of antennas that were observed at the same time and frequency.

    With ``minimal`` they are linearly independent, n(n - 3)/2 for n fully connected antennas. Otherwise all
    three quadrangles of every four antennas are returned, of which two are independent. Parameters and errors
    are those of `closure_triangles`.

    Returns
    -------
    ClosureSet

    Examples
    --------
    >>> a, b = torch.triu_indices(5, 5, 1)
    >>> [len(closure_quadrangles(a, b, torch.zeros(10), minimal=m)) for m in (True, False)]
    [5, 15]
    """
    return _closures(_quadrangles, 4, antenna1, antenna2, time, good, snr, minimal, tolerance)


Local = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Edges, signs and stations of the closures of one pattern of baselines."""


def _closures(
    find: Callable[[Edges, bool], Local],
    legs: int,
    antenna1: Tensor,
    antenna2: Tensor,
    time: Tensor,
    good: Tensor | None,
    snr: Tensor | None,
    minimal: bool,
    tolerance: float,
) -> ClosureSet:
    a, b, t = (np.asarray(torch.as_tensor(v).detach().cpu()) for v in (antenna1, antenna2, time))
    if not (a.ndim == 1 and a.shape == b.shape == t.shape):
        raise ShapeError(
            f"antenna1, antenna2 and time must have one shape (row,), got {a.shape}, {b.shape}, {t.shape}"
        )
    if not all(np.issubdtype(v.dtype, np.integer) for v in (a, b)):
        raise DtypeError(f"antenna1 and antenna2 must be integers, got {a.dtype} and {b.dtype}")
    if len(a) and min(a.min(), b.min()) < 0:
        raise ParameterError(f"antenna1 and antenna2 must not be negative, got {min(a.min(), b.min())}")
    if not np.isfinite(t).all():
        raise DataError("time must be finite everywhere")
    given = [np.asarray(v.detach().cpu()) for v in (good, snr) if v is not None]
    if any(v.ndim != 2 or v.shape[0] != len(a) for v in given):
        raise ShapeError(
            f"good and snr must have shape (row, frequency) with {len(a)} rows, got "
            f"{[v.shape for v in given]}"
        )
    shape = given[0].shape if given else (len(a), 1)
    valid = np.ones(shape, bool) if good is None else np.array(given[0], bool)
    valid &= (a != b)[:, None]
    names, rank = _ranking(a, b, valid, None if snr is None else given[-1])
    low, high = np.minimum(rank[a], rank[b]), np.maximum(rank[a], rank[b])
    forward = np.where(rank[a] < rank[b], 1, -1)

    parts: list[Local] = []
    groups: list[np.ndarray] = []
    for rows in _simultaneous(t, tolerance):
        rows = rows[np.lexsort((high[rows], low[rows]))]
        for f in range(shape[1]):
            used = rows[valid[rows, f]]
            edges = tuple(zip(low[used].tolist(), high[used].tolist()))
            if len(set(edges)) < len(edges):
                raise DataError(
                    f"a baseline occurs more than once within {tolerance} s of time {t[rows[0]]:.3f} s: "
                    "average the data to "
                    "common times first, or lower tolerance="
                )
            where, sign, stations = find(edges, minimal)
            if legs == 3:
                sign = sign * forward[used][where]
            parts.append((used[where] * shape[1] + f, sign, names[stations]))
            groups.append(np.full(len(where), len(groups)))
    index, sign, stations = (
        np.concatenate([p[k] for p in parts]) if parts else np.zeros((0, legs), int) for k in range(3)
    )
    group = np.concatenate(groups) if groups else np.zeros(0, int)
    tensors = [torch.from_numpy(np.ascontiguousarray(v, np.int64)) for v in (index, sign, group, stations)]
    return ClosureSet(
        index=tensors[0],
        sign=tensors[1],
        group=tensors[2],
        stations=tensors[3],
        shape=(int(shape[0]), int(shape[1])),
    )


def _ranking(
    a: np.ndarray, b: np.ndarray, valid: np.ndarray, snr: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Antennas from the best signal to the worst, and the rank of each antenna."""
    count = int(max(a.max(initial=-1), b.max(initial=-1))) + 1
    score = np.zeros(count)
    if snr is not None:
        total = np.where(valid, np.nan_to_num(snr), 0).sum(1)
        np.add.at(score, a, total)
        np.add.at(score, b, total)
    names = np.argsort(-score, kind="stable")
    rank = np.empty(count, int)
    rank[names] = np.arange(count)
    return names, rank


def _simultaneous(time: np.ndarray, tolerance: float) -> Iterator[np.ndarray]:
    """Yield the rows of each time, in order of time."""
    order = np.argsort(time, kind="stable")
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or time[order[end]] - time[order[start]] > tolerance:
            yield order[start:end]
            start = end


@lru_cache(maxsize=512)
def _triangles(edges: Edges, minimal: bool) -> Local:
    """Triangles (i, j, k) with i < j < k of a graph: V_ij V_jk conj(V_ik)."""
    place = {e: n for n, e in enumerate(edges)}
    vertices = sorted({v for e in edges for v in e})
    found = [
        ((place[i, j], place[j, k], place[i, k]), (1, 1, -1), (i, j, k))
        for i, j, k in itertools.combinations(vertices, 3)
        if (i, j) in place and (j, k) in place and (i, k) in place
    ]
    most = len(edges) - len(vertices) + _components(edges)
    return _packed(_independent(found, len(edges), most) if minimal else found, 3)


@lru_cache(maxsize=512)
def _quadrangles(edges: Edges, minimal: bool) -> Local:
    """Quadrangles of a graph as |V_ij||V_kl|/(|V_ik||V_jl|)."""
    place = {e: n for n, e in enumerate(edges)}
    vertices = sorted({v for e in edges for v in e})

    def quadrangle(i: int, j: int, k: int, m: int) -> Any:
        pairs = [(min(p), max(p)) for p in ((i, j), (k, m), (i, k), (j, m))]
        return (
            (tuple(place[p] for p in pairs), (1, 1, -1, -1), (i, j, k, m))
            if all(p in place for p in pairs)
            else None
        )

    every = [
        q
        for i, j, k, m in itertools.combinations(vertices, 4)
        for q in (quadrangle(i, j, k, m), quadrangle(i, j, m, k), quadrangle(i, k, m, j))
        if q is not None
    ]
    if not minimal:
        return _packed(every, 4)
    # neighbors on a ring of antennas form a maximal independent set if every baseline was observed
    n = len(vertices)
    ring = [
        quadrangle(vertices[i], vertices[j], vertices[(j + 1) % n], vertices[i + 1])
        for i in range(n - 1)
        for j in range(i + 2, n)
        if (j + 1) % n != i
    ]
    candidates = [q for q in ring if q is not None] + every
    incidence = np.zeros((n, len(edges)))
    for e, pair in enumerate(edges):
        incidence[[vertices.index(v) for v in pair], e] = 1
    most = len(edges) - (int(np.linalg.matrix_rank(incidence)) if edges else 0)
    return _packed(_independent(candidates, len(edges), most), 4)


def _components(edges: Edges) -> int:
    """Number of connected parts of a graph."""
    root: dict[int, int] = {}

    def find(v: int) -> int:
        while root.setdefault(v, v) != v:
            v = root[v]
        return v

    for i, j in edges:
        root[find(i)] = find(j)
    return sum(v == r for v, r in root.items())


def _independent(candidates: list[Any], size: int, most: int) -> list[Any]:
    """Keep the candidates, in order, that are linearly independent of the previous ones; at most ``most``."""
    basis = np.zeros((0, size))
    kept: list[Any] = []
    for where, sign, stations in candidates:
        if len(kept) == most:
            break
        v = np.zeros(size)
        v[list(where)] = sign
        for _ in range(2):
            v = v - basis.T @ (basis @ v)
        length = np.linalg.norm(v)
        if length > 1e-6:
            basis = np.vstack([basis, v / length])
            kept.append((where, sign, stations))
    return kept


def _packed(found: list[Any], legs: int) -> Local:
    arrays = [np.array([q[n] for q in found], int).reshape(-1, legs) for n in range(3)]
    return arrays[0], arrays[1], arrays[2]
