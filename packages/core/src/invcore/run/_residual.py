"""What an image leaves unexplained in its data, as a picture of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ..fidelities import LeastSquares, PoissonKL, WeightedLeastSquares
from ..spaces import Space, per_sample

if TYPE_CHECKING:
    from ._record import Reconstruction

_SIDE, _LEAST, _LONG = 512, 16, 8
"""Largest side of the picture; least side and largest ratio of the sides of data that are like an image."""


@torch.no_grad()
def residual_of(result: Reconstruction) -> Tensor | None:
    """Return (y - A x)/σ of the first sample, (rows, columns), where the data are like an image.

    Of real data of one channel the residual itself, else its root mean square over channels and the real and
    imaginary part. It is of size 1 where noise alone is left, also where several neighbors are combined in a
    pixel; 0 where nothing was measured.
    """
    physics, y = result.solution.physics, result.acquisition.y
    space, f = physics.range, physics.likelihood()
    if not isinstance(space, Space) or len(space.shape) < 2 or result.fit is None:
        return None
    least, most = sorted(space.shape[-2:])
    if least < _LEAST or most > _LONG * least:
        return None
    u = physics.operator(result.solution.value)
    measured = (u != 0) | (y != 0)
    if isinstance(f, PoissonKL):
        u = u + f.background
        r = (y - u) / (per_sample(f.gain, space) * u).clamp_min(torch.finfo(u.dtype).tiny).sqrt()
    elif isinstance(f, LeastSquares):
        r = (y - u) * per_sample(torch.as_tensor(f.precision(), dtype=u.real.dtype), space).sqrt()
    elif not isinstance(f, WeightedLeastSquares):
        return None
    else:
        r = (y - u) * f.weight.sqrt()
    r = torch.where(measured, r, 0).reshape(-1, *space.shape)[0].reshape(-1, *space.shape[-2:]).cpu()
    side = -(-most // _SIDE)
    if len(r) == 1 and not r.is_complex():
        return avg_pool2d(r, side, ceil_mode=True)[0] * side
    power = r.abs().square().mean(0, keepdim=True) / (2 if r.is_complex() else 1)
    return avg_pool2d(power, side, ceil_mode=True)[0].sqrt()
