"""Images at shifts of their own along the last axis, to a part of a pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Shift(NamedTuple):
    """A shift by ``whole`` pixels and a ``part`` of one in [0, 1)."""

    whole: int
    part: float

    @property
    def taps(self) -> tuple[tuple[int, float], ...]:
        """Whole shifts and their weights: light between two pixels is split among them."""
        split = ((self.whole, 1 - self.part), (self.whole + 1, self.part))
        return split if self.part else split[:1]


def shifts(values: Sequence[float]) -> tuple[Shift, ...]:
    """Take shifts apart."""
    return tuple(Shift(math.floor(v), v - math.floor(v)) for v in values)


def overlap(shift: int, n: int, width: int) -> tuple[int, int, int]:
    """Where n samples that start at ``shift`` lie on ``width`` pixels: first sample, first pixel, count."""
    first = min(max(0, -shift), n)
    return first, min(max(0, shift), width), max(0, min(n, width - shift) - first)


def add_sheared(out: Tensor, coded: Tensor, image: Tensor, moves: Sequence[Shift]) -> None:
    """Add the bands ``coded`` × ``image``, (..., k, y, n), moved by their shifts, to ``out`` (..., y, w)."""
    n, width = image.shape[-1], out.shape[-1]
    for k, move in enumerate(moves):
        code, band = coded[..., k % coded.shape[-3], :, :], image[..., k, :, :]
        for shift, weight in move.taps:
            first, pixel, count = overlap(shift, n, width)
            if count:
                out.narrow(-1, pixel, count).addcmul_(
                    code.narrow(-1, first, count), band.narrow(-1, first, count), value=weight
                )


def fill_unsheared(out: Tensor, data: Tensor, moves: Sequence[Shift]) -> None:
    """Put ``data``, (..., k or 1, y, w), seen at each shift into ``out`` (..., k, y, n)."""
    n, width = out.shape[-1], data.shape[-1]
    for k, move in enumerate(moves):
        band, seen = out[..., k, :, :], data[..., k % data.shape[-3], :, :]
        (shift, weight), *rest = move.taps
        first, pixel, count = overlap(shift, n, width)
        band.narrow(-1, 0, first).zero_()
        band.narrow(-1, first + count, n - first - count).zero_()
        part = band.narrow(-1, first, count)
        if rest:
            torch.mul(seen.narrow(-1, pixel, count), weight, out=part)
        else:
            part.copy_(seen.narrow(-1, pixel, count))
        for other, weight in rest:
            first, pixel, count = overlap(other, n, width)
            band.narrow(-1, first, count).add_(seen.narrow(-1, pixel, count), alpha=weight)


def unsheared(data: Tensor, moves: Sequence[Shift], n: int, more: int) -> Tensor:
    """Return ``data``, (..., k or 1, y, w), seen at the whole shifts and ``more``, (..., k, y, n).

    The twin of `fill_unsheared` without derivatives of its own: that is (1 - part) of what is seen at the
    whole shift and ``part`` of what is seen one pixel further.
    """
    bands = []
    for k, move in enumerate(moves):
        first, pixel, count = overlap(move.whole + more, n, data.shape[-1])
        seen = data[..., k % data.shape[-3], :, :].narrow(-1, pixel, count)
        bands.append(torch.nn.functional.pad(seen, (first, n - first - count)))
    return torch.stack(bands, -3)


def sheared(bands: Tensor, moves: Sequence[Shift], width: int, more: int) -> Tensor:
    """Return each of the bands (..., k, y, n) moved by its whole shift and ``more``, (..., k, y, width)."""
    n, moved = bands.shape[-1], []
    for k, move in enumerate(moves):
        first, pixel, count = overlap(move.whole + more, n, width)
        part = bands[..., k, :, :].narrow(-1, first, count)
        moved.append(torch.nn.functional.pad(part, (pixel, width - pixel - count)))
    return torch.stack(moved, -3)
