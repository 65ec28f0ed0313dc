"""`fill_samples`: what stands in for samples that are no counts."""

from __future__ import annotations

import torch
from torch import Tensor

from invcore import DataError


def fill_samples(x: Tensor, bad: Tensor) -> Tensor:
    """Replace marked samples by cubic interpolation between the two nearest others on both sides.

    These are of the same row; at its ends the interpolation is linear, or the nearest value.

    Parameters
    ----------
    x : Tensor, shape (..., column)
    bad : Tensor, shape (..., column)
        True where ``x`` means nothing; it may hold NaN there.

    Returns
    -------
    Tensor, shape (..., column)

    Raises
    ------
    DataError
        If all of a row is marked.

    Examples
    --------
    >>> x = torch.tensor([torch.nan, 1.0, 4.0, torch.nan, torch.nan, 25.0, 36.0, torch.nan, 64.0])
    >>> fill_samples(x, x.isnan()).round().tolist()
    [1.0, 1.0, 4.0, 9.0, 16.0, 25.0, 36.0, 50.0, 64.0]
    """
    if not bool(bad.any()):
        return x
    bad = bad.expand(x.shape)
    n = x.shape[-1]
    at = torch.arange(n, device=x.device).expand(x.shape)
    before = torch.where(bad, -1, at).cummax(-1).values
    after = torch.where(bad, n, at).flip(-1).cummin(-1).values.flip(-1)
    if bool(((before < 0) & (after >= n)).any()):
        raise DataError("a detector row holds no sample that is a count")
    first = before.gather(-1, (before - 1).clamp_min(0)).masked_fill(before < 1, -1)
    last = after.gather(-1, (after + 1).clamp_max(n - 1)).masked_fill(after >= n - 1, n)
    places = torch.stack([first, before, after, last])
    known = (places >= 0) & (places < n)
    cubic = known.all(0)
    known[0] &= cubic  # two on one side and one on the other: a straight line
    known[3] &= cubic
    out = torch.zeros_like(x)
    for i in range(4):
        weight = known[i].to(x.dtype)  # Lagrange's polynomial through the known places
        for j in range(4):
            if i != j:
                factor = (at - places[j]) / torch.where(places[i] == places[j], 1, places[i] - places[j])
                weight = weight * torch.where(known[j], factor, 1.0)
        out = out + torch.where(known[i] & bad, weight * x.gather(-1, places[i].clamp(0, n - 1)), 0.0)
    return torch.where(bad, out, x)
