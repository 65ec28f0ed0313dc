"""`PupilFields` a few lights at a time: what stays in the cache of a CPU.

For even sizes the shifts of centered transforms are signs S = (-1)^(y + x). Those of a window of the spectrum
are, up to one sign for each light, those of the spectrum itself, so that only the object, and fields whose
phase matters, are multiplied by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invcore.spaces import broadcast_shapes

from .frames import plain

if TYPE_CHECKING:
    from .fourier_ptychography import PupilFields

_PIXELS = 2**18


def one_by_one(B: PupilFields, like: Tensor) -> bool:
    """Return True where lights may be taken a few at a time: on a CPU, without derivatives, of even sizes.

    An empty batch may not: transforms in place refuse it.
    """
    even = like.numel() > 0 and all(n % 2 == 0 for n in (*B.shape, *B.detector))
    return even and plain(like, B.corners, *B.parameters().values())


def fields(B: PupilFields, x: Tensor, of: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """B x, (..., led, y, x), or what a function that does not see their signs makes of fields.

    Examples
    --------
    >>> from invcore_optics import PupilFields
    >>> B = PupilFields(positions=torch.zeros(1, 2), radius=torch.tensor(1.5), shape=(6, 6), detector=(4, 4))
    >>> fields(B, torch.ones(1, 6, 6) + 0j, torch.abs).mean().round(decimals=3)
    tensor(0.8670)
    """
    pupils, (ny, nx) = B.pupils, B.detector
    spectrum = B._scale * torch.fft.fft2(_signs(B.shape, x) * x, norm="ortho").squeeze(-3)
    batch = broadcast_shapes(x.shape[:-3], pupils.shape[:-3])
    signs = _signs(B.detector, x)
    found: Tensor | None = None
    for part, corners in _pieces(B):
        windows = spectrum.new_empty(*batch, len(corners), ny, nx)
        for k, (row, column) in enumerate(corners):
            window = spectrum[..., row : row + ny, column : column + nx]
            torch.mul(pupils[..., part.start + k, :, :], window, out=windows[..., k, :, :])
        images = torch.fft.ifft2(windows, norm="ortho")
        piece = images.mul_(_of_lights(B, corners, x) * signs) if of is None else of(images)
        if found is None:
            found = piece.new_empty(*batch, *B.range.shape)
        found[..., part, :, :] = piece
    return x.new_empty(*batch, *B.range.shape) if found is None else found


def back(B: PupilFields, y: Tensor) -> Tensor:
    """Bᴴ y, (..., 1, y, x).

    Examples
    --------
    >>> from invcore_optics import PupilFields
    >>> B = PupilFields(positions=torch.zeros(1, 2), radius=torch.tensor(1.5), shape=(6, 6), detector=(4, 4))
    >>> back(B, torch.ones(1, 4, 4) + 0j).abs().mean().round(decimals=3)
    tensor(0.3850)
    """
    pupils, (ny, nx) = B.pupils, B.detector
    batch = broadcast_shapes(y.shape[:-3], pupils.shape[:-3])
    spectrum = y.new_zeros(*batch, *B.shape)
    signs = _signs(B.detector, y)
    for part, corners in _pieces(B):
        windows = torch.fft.fft2(y[..., part, :, :] * (_of_lights(B, corners, y) * signs), norm="ortho")
        for k, (row, column) in enumerate(corners):
            window = spectrum[..., row : row + ny, column : column + nx]
            window.addcmul_(pupils[..., part.start + k, :, :].conj(), windows[..., k, :, :])
    found = torch.fft.ifft2(spectrum, norm="ortho").unsqueeze(-3)
    return found.mul_(B._scale * _signs(B.shape, y))


def _pieces(B: PupilFields) -> Iterator[tuple[slice, list[list[int]]]]:
    corners: list[list[int]] = B.corners.tolist()
    count = max(1, _PIXELS // (B.detector[0] * B.detector[1]))
    for start in range(0, len(corners), count):
        yield slice(start, start + count), corners[start : start + count]


def _signs(size: tuple[int, int], like: Tensor) -> Tensor:
    y, x = (1 - 2 * (torch.arange(n, dtype=like.real.dtype) % 2) for n in size)
    return y[:, None] * x


def _of_lights(B: PupilFields, corners: list[list[int]], like: Tensor) -> Tensor:
    """The sign of each light, (led, 1, 1), with those of the middles of object and images."""
    middle = sum(n // 2 for n in (*B.shape, *B.detector))
    signs = [1 - 2 * ((row + column + middle) % 2) for row, column in corners]
    return torch.tensor(signs, dtype=like.real.dtype)[:, None, None]
