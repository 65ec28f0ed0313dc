"""Weighted means of visibilities over time and frequency."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from invcore import ParameterError

if TYPE_CHECKING:
    from .visibilities import Visibilities


def averaged(vis: Any, *, time: float | str | None, frequency: int | None, gap: float | None) -> Any:
    """See `Visibilities.average`."""
    if time is not None:
        if time != "scan" and not (isinstance(time, int | float) and 0 < time < math.inf):
            raise ParameterError(f"average: time must be seconds > 0 or 'scan', got {time!r}")
        vis = _over_time(vis, time, gap)
    if frequency is not None:
        if not isinstance(frequency, int) or frequency < 1:
            raise ParameterError(f"average: frequency must be a number of channels, got {frequency!r}")
        vis = _over_frequency(vis, frequency)
    return vis


def _over_time(vis: Visibilities, time: float | str, gap: float | None) -> Visibilities:
    if len(vis) == 0:
        return vis
    scan = vis.scan_numbers(gap=gap)
    if time == "scan":
        part = torch.zeros_like(scan)
    else:
        begin = vis.time - vis.interval / 2
        first = begin.new_full((int(scan.max()) + 1,), math.inf).scatter_reduce(0, scan, begin, "amin")
        part = ((vis.time - first[scan]) / float(time)).floor().clamp_min(0).long()
    keys = torch.stack([scan, part, vis.antenna1, vis.antenna2], 1)
    groups, index = torch.unique(keys, dim=0, return_inverse=True)
    n = len(groups)

    def total(values: Tensor) -> Tensor:
        return values.new_zeros((n, *values.shape[1:])).index_add_(0, index, values)

    mask = vis.mask
    weight = torch.where(mask, vis.weight, 0).double()
    sums = total(weight)
    data = total(weight * vis.data.to(torch.complex128)) / torch.where(sums > 0, sums, 1)
    # (u, v, w) are weighted like the data, or equally where all are flagged. All baselines of a bin get the
    # same time, since closure quantities combine simultaneous data.
    share = weight.flatten(1).sum(1)
    share = torch.where((total(share) > 0)[index], share, torch.ones_like(share))
    whole = total(share)
    bins, of_bin = torch.unique(groups[:, :2], dim=0, return_inverse=True)
    zero = whole.new_zeros(len(bins))
    moment = total(share * (vis.time - vis.time.min()))
    middle = zero.index_add(0, of_bin, moment) / zero.index_add(0, of_bin, whole)
    return dataclasses.replace(
        vis,
        data=data.to(vis.data.dtype),
        weight=sums.to(vis.weight.dtype),
        flag=sums <= 0,
        uvw=total(share[:, None] * vis.uvw) / whole[:, None],
        time=vis.time.min() + middle[of_bin],
        interval=total(torch.where(share > 0, vis.interval, 0)),
        antenna1=groups[:, 2].clone(),
        antenna2=groups[:, 3].clone(),
    )


def _over_frequency(vis: Visibilities, count: int) -> Visibilities:
    index = torch.arange(vis.channels, device=vis.data.device) // count
    n = int(index[-1]) + 1 if vis.channels else 0

    def total(values: Tensor, dim: int) -> Tensor:
        shape = list(values.shape)
        shape[dim] = n
        return values.new_zeros(shape).index_add_(dim, index, values)

    weight = torch.where(vis.mask, vis.weight, 0).double()
    sums = total(weight, 1)
    data = total(weight * vis.data.to(torch.complex128), 1) / torch.where(sums > 0, sums, 1)
    width = None if vis.channel_width is None else total(vis.channel_width, 0)
    return dataclasses.replace(
        vis,
        data=data.to(vis.data.dtype),
        weight=sums.to(vis.weight.dtype),
        flag=sums <= 0,
        frequencies=total(vis.frequencies, 0) / total(torch.ones_like(vis.frequencies), 0),
        channel_width=width,
    )
