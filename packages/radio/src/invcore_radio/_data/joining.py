"""Visibilities of several bands of one observation as one data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor

from invcore import DataError

from .visibilities import Visibilities


def joined(bands: Mapping[int, Visibilities], what: str, option: str) -> Visibilities:
    """Join bands, each at its own frequencies, those of simultaneous rows side by side.

    Parameters
    ----------
    bands : mapping of int to Visibilities
        Data of one source and array, by the number of the band.
    what, option : str
        What a band is called, and the option that chooses one, for messages.

    Returns
    -------
    Visibilities
        Rows in order of time; flagged at the frequencies that a row was not observed at.

    Raises
    ------
    DataError
        If bands have different correlations, or hold the same frequencies at the same time: then one is an
        average or a copy of the other.
    """
    for (a, one), (b, other) in combinations(bands.items(), 2):
        reason = _apart(one, other)
        if reason:
            raise DataError(f"{what}s {a} and {b} {reason}: choose one with {option}=")
    parts = list(bands.values())
    keys = [_keys(part) for part in parts]
    groups, index = torch.unique(torch.cat(keys), dim=0, return_inverse=True)
    rows, first = len(groups), parts[0]
    frequencies = torch.cat([part.frequencies for part in parts])
    shape = (rows, len(frequencies), len(first.polarizations))
    data, weight = first.data.new_zeros(shape), first.weight.new_zeros(shape)
    flag = first.flag.new_ones(shape)
    per_row = {n: getattr(first, n) for n in ("uvw", "time", "interval", "antenna1", "antenna2")}
    per_row = {n: t.new_zeros((rows, *t.shape[1:])) for n, t in per_row.items()}
    start = 0
    for part, at in zip(parts, index.split([len(part) for part in parts])):
        here = slice(start, start + part.channels)
        data[at, here], weight[at, here], flag[at, here] = part.data, part.weight, part.flag
        for name, t in per_row.items():
            t[at] = getattr(part, name)
        start += part.channels
    widths = [part.channel_width for part in parts]
    return dataclasses.replace(
        first,
        data=data,
        weight=weight,
        flag=flag,
        frequencies=frequencies,
        channel_width=None
        if any(w is None for w in widths)
        else torch.cat([w for w in widths if w is not None]),
        **per_row,
    )


def _keys(part: Visibilities) -> Tensor:
    """Return what simultaneous rows of two bands have in common, and the count of rows alike: (row, 7)."""
    bits = torch.cat([part.time[:, None], part.uvw], 1).view(torch.int64)
    keys = torch.cat([bits[:, :1], torch.stack([part.antenna1, part.antenna2], 1), bits[:, 1:]], 1)
    _, index, counts = torch.unique(keys, dim=0, return_inverse=True, return_counts=True)
    order = index.argsort(stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order)) - torch.repeat_interleave(counts.cumsum(0) - counts, counts)
    return torch.cat([keys, rank[:, None]], 1)


def _apart(one: Visibilities, other: Visibilities) -> str:
    """Return why two bands are no two parts of one data set; empty if they are."""
    if one.polarizations != other.polarizations:
        return f"have the correlations {', '.join(one.polarizations)} and {', '.join(other.polarizations)}"
    (low, high), (bottom, top) = (
        (float(v.frequencies.min()), float(v.frequencies.max())) for v in (one, other)
    )
    same = low <= (bottom + top) / 2 <= high or bottom <= (low + high) / 2 <= top
    if same and bool(torch.isin(one.time, other.time).any()):
        return "hold the same frequencies at the same times"
    return ""
