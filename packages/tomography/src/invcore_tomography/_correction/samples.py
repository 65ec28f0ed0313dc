"""Samples that are no counts: which they are, and what stands in for them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .counts import excess, mean_frame, median_filter


def stuck(counts: Tensor, *, longest: int = 4) -> Tensor:
    """Mask (row, column) of pixels that give one value in all views while those around them vary.

    A wider run of constant pixels is air in data without noise.
    """
    if len(counts) < 8:
        return torch.zeros(counts.shape[1:], dtype=torch.bool)
    low, high = counts.aminmax(dim=0)
    still = (low == high) | ~torch.isfinite(counts).any(0)
    n = still.shape[-1]
    at = torch.arange(n).expand(still.shape)
    before = torch.where(still, -1, at).cummax(-1).values
    after = torch.where(still, n, at).flip(-1).cummin(-1).values.flip(-1)
    return still & (after - before - 1 <= longest) & (before >= 0) & (after < n)


def unresponsive(transmission: Tensor, *, least: float = 0.02) -> Tensor:
    """Mask (row, column) of pixels that see next to nothing of what those around them see, in most views."""
    typical = transmission.nanmedian(dim=0).values.nan_to_num(0.0)
    around = median_filter(typical, 5)
    return (around > 5e-3) & (typical <= least * around)


def outliers(transmission: Tensor, *, most: float = 1.5, threshold: float = 8.0) -> Tensor:
    """Mask of zingers and hot pixels in transmissions (view, row, column).

    They exceed the columns around them by ``threshold`` standard deviations (`excess`), and are either
    brighter than the beam can be, ``most``, or exceed all that is near them in the views before and after as
    well: a bright feature of the object moves by less than three columns from view to view.
    """
    high = excess(transmission) > threshold
    if len(transmission) < 3 or not bool(high.any()):
        return high & (transmission > most)
    wide = torch.nn.functional.pad(transmission, (2, 2), value=-torch.inf).unfold(-1, 5, 1).amax(-1)
    before, after = wide.roll(1, 0), wide.roll(-1, 0)
    before[0], after[-1] = after[0], before[-1]
    alone = excess(transmission, around=torch.maximum(before, after)) > threshold
    return high & ((transmission > most) | alone)


def full_scale(counts: Tensor, top: float | None) -> float | None:
    """The value at which the detector saturates, if counts reach it.

    ``top`` is the largest value of their type. A converter of fewer bits is known by its largest value, if
    more than one sample in 10,000 has it.
    """
    most = float(counts.max())
    bits = most + 1
    if top is None or most <= 0:
        return None
    if most >= top:
        return top
    if bits in (256, 1024, 4096, 16384, 65536) and int((counts == most).sum()) > 1e-4 * counts.numel():
        return most
    return None


def groups_of(frames: Tensor, at: np.ndarray | None) -> list[np.ndarray]:
    """Frames that were taken together, as lists of indices.

    ``at`` has the position of each frame in the scan: frames follow one another in a group. Without it, two
    groups are told apart where the level of frames jumps once and is steady before and behind.
    """
    n = len(frames)
    if at is not None:
        order = np.argsort(at, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(np.asarray(at)[order]) > 1.5) + 1)
    level = frames.flatten(1).double().mean(1).numpy()
    if n < 4:
        return [np.arange(n)]
    step = np.abs(np.diff(level))
    k = int(step.argmax())
    others = np.delete(step, k)
    if 1 <= k <= n - 3 and step[k] > max(3e-3 * level.mean(), 5 * np.median(others), 3 * others.max()):
        return [np.arange(k + 1), np.arange(k + 1, n)]
    return [np.arange(n)]


def interpolated_frame(frames: Tensor, groups: list[np.ndarray], at: np.ndarray, when: np.ndarray) -> Tensor:
    """The mean frame of each group, interpolated linearly in time.

    Parameters
    ----------
    frames : Tensor, shape (frame, *detector)
    groups : list of array
        Indices of the frames taken together.
    at : array, shape (frame)
        Position of each frame in the scan.
    when : array, shape (view)
        Positions of the views.

    Returns
    -------
    Tensor, shape (view, *detector), or (*detector) for one group

    Examples
    --------
    >>> frames = torch.tensor([[4.0], [2.0]])
    >>> pairs = [np.array([0]), np.array([1])]
    >>> interpolated_frame(frames, pairs, np.array([0, 4]), np.array([1, 2, 3])).ravel()
    tensor([3.5000, 3.0000, 2.5000])
    """
    means = torch.stack([mean_frame(frames[torch.from_numpy(g)]) for g in groups])
    if len(means) == 1:
        return means[0]
    place = np.array([np.mean(np.asarray(at)[g]) for g in groups])
    order = np.argsort(place)
    where = np.interp(when, place[order], np.arange(len(place)))
    low = np.clip(np.floor(where).astype(int), 0, len(place) - 2)
    share = torch.from_numpy(where - low).to(means).reshape(-1, *[1] * (means.ndim - 1))
    means = means[torch.from_numpy(order)]
    return (1 - share) * means[torch.from_numpy(low)] + share * means[torch.from_numpy(low + 1)]
