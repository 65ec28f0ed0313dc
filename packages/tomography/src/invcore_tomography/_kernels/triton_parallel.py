"""The parallel-beam kernel for CUDA in Triton: the sums of `parallel`, in single precision, no textures.

Both directions gather: each program owns the numbers it writes, and adds without atomics. Quantities of the
geometry are computed in double precision beforehand: each row is shifted by ``whole + part`` pixels,
0 <= part < 1.
"""

from __future__ import annotations

import functools
import importlib.util
import warnings
from typing import Any

import torch
from torch import Tensor

from . import torch_planar

__all__ = ["parallel_adjoint", "parallel_forward", "usable"]

BLOCK = 256
CHUNK = 1 << 26  # sums half a pixel apart that are held at a time


@functools.cache
def usable(device: torch.device) -> bool:
    """True if Triton is available and, on a small problem, computes on this device what torch computes."""
    if device.type != "cuda" or importlib.util.find_spec("triton") is None:
        return False
    return _agrees(device)


def _agrees(device: torch.device) -> bool:
    g = torch.Generator().manual_seed(0)
    image, sino = (torch.randn(shape, generator=g).to(device) for shape in ((2, 9, 11), (2, 3, 17)))
    axis = torch.tensor([0, 1, 0], dtype=torch.uint8)
    numbers = torch.tensor(
        [[0.3, -0.7, 1.0], [-2.0, -1.2, 12.3], [0.9, 1.1, -0.8], [1.0, 1.2, 1.4]], dtype=torch.float64
    )
    arguments: Any = [t.to(device) for t in (axis, *numbers)]
    forward: Any = (parallel_forward, torch_planar.parallel_forward)
    adjoint: Any = (parallel_adjoint, torch_planar.parallel_adjoint)
    try:
        pairs = [[f(image, *arguments, 17) for f in forward], [f(sino, *arguments, (9, 11)) for f in adjoint]]
        same = all(torch.allclose(ours, theirs, atol=1e-4) for ours, theirs in pairs)
        what = "it does not compute the sums that torch does"
    except Exception as error:  # a driver, a compiler: whatever is missing, torch does without
        same, what = False, str(error)
    if not same:
        warnings.warn(
            f"Triton is not used on {device}, projections run in torch, slower: {what}",
            RuntimeWarning,
            stacklevel=3,
        )
    return same


def parallel_forward(
    image: Tensor, axis: Tensor, slope: Tensor, t0: Tensor, dt: Tensor, weight: Tensor, columns: int
) -> Tensor:
    """`torch_planar.parallel_forward` in single precision, without derivatives."""
    from .triton_kernels import sums

    n = len(image)
    out = image.new_zeros(n, len(axis), columns, dtype=torch.float32)
    if out.numel() == 0 or image.numel() == 0:
        return out
    for main in (0, 1):
        turned = torch_planar._turned(image, main).float().contiguous()
        for chosen, shear in _shears(turned.shape, axis, main, slope, t0, dt, weight, columns):
            fine = image.new_empty(n, len(chosen), 2 * shear.length, dtype=torch.float32)
            blocks = -(-fine.shape[2] // BLOCK)
            with torch.cuda.device_of(fine):
                numbers = (len(chosen), *turned.shape[1:], shear.first, fine.shape[2], blocks)
                sums[(blocks * len(chosen) * n,)](turned, *_shifts(shear), fine, *numbers, BLOCK=BLOCK)
            out[:, chosen] = shear.columns(fine)
    return out


def parallel_adjoint(
    sino: Tensor, axis: Tensor, slope: Tensor, t0: Tensor, dt: Tensor, weight: Tensor, shape: tuple[int, int]
) -> Tensor:
    """The exact adjoint of `parallel_forward`."""
    from .triton_kernels import sums_adjoint

    n, _, columns = sino.shape
    out = sino.new_zeros(n, *shape, dtype=torch.float32)
    if sino.numel() == 0 or out.numel() == 0:
        return out
    for main in (0, 1):
        turned = torch.zeros_like(torch_planar._turned(out, main), memory_format=torch.contiguous_format)
        _, rows, cols = turned.shape
        for chosen, shear in _shears(turned.shape, axis, main, slope, t0, dt, weight, columns):
            fine = shear.spread(sino.index_select(1, chosen).float()).contiguous()
            blocks = -(-cols // BLOCK)
            with torch.cuda.device_of(fine):
                numbers = (len(chosen), rows, cols, shear.first, fine.shape[2], blocks)
                sums_adjoint[(blocks * rows * n,)](fine, *_shifts(shear), turned, *numbers, BLOCK=BLOCK)
        out += torch_planar._turned(turned, main)
    return out


def _shears(shape, axis, main, slope, t0, dt, weight, columns):  # type: ignore[no-untyped-def]
    """Numbers and shears of the views with one main axis, as many at a time as `CHUNK` allows."""
    n, rows, cols = shape
    each = 2 * n * (rows + cols + columns)
    for chosen in torch.nonzero(axis == main).flatten().split(max(1, CHUNK // each)):
        if len(chosen):
            parts = [t.index_select(0, chosen) for t in (slope, t0, dt, weight)]
            yield chosen, torch_planar._Shear(parts[0], parts[1], parts[2], parts[3], rows, cols, columns)


def _shifts(shear: torch_planar._Shear) -> tuple[Tensor, Tensor]:
    """Whole pixels and the rest by which each row is shifted."""
    part = (shear.offset - shear.whole).float().contiguous()
    return shear.whole.clamp(-(2.0**28), 2.0**28).int().contiguous(), part
