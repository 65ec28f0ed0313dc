"""Comparison of blur kernels (point spread functions)."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from ._base import Comparison, energy_of


class PSFError(Comparison):
    r"""Relative error of a kernel, at the best shift: from 0, for the same kernel wherever it lies, to √2.

    .. math:: \min_s \frac{\| τ_s \hat k - k \|}{\| k \|}, \qquad k, \hat k \text{ of sum one}

    An image and its kernel can be shifted against each other, and a factor moved from one to the other, and
    the data stay the same. So both kernels are divided by their sums over space and channels (``normalize``),
    and the shift τ_s, by whole pixels over kernels continued by zeros, is the one of the largest correlation
    [1]_. Kernels that are not known up to a shift are compared by `NRMSE`. Values above √2 belong to kernels
    with negative entries, or to ones much sharper than the reference.

    Parameters
    ----------
    normalize : bool
        Divide by the sums; else the kernels are compared as they are. A kernel whose sum is zero has no
        normalized form, and the value is NaN.

    References
    ----------
    .. [1] Z. Hu and M.-H. Yang, "Good regions to deblur", ECCV (2012), for the maximum over shifts.

    Examples
    --------
    >>> k = torch.zeros(1, 5, 5)
    >>> k[0, 2, 2] = 1.0
    >>> PSFError()(2 * k.roll(1, -1), k).round(decimals=4)
    tensor(0.)
    """

    higher_is_better: ClassVar[bool] = False

    normalize: bool = True

    def _value(self, x_hat: Tensor, x: Tensor) -> Tensor:
        self._reference_energy(x)
        dims = tuple(range(-self.spatial_dims - 1, 0))
        if self.normalize:
            x_hat, x = (t / t.sum(dims, keepdim=True) for t in (x_hat, x))
        axes = dims[1:]
        sizes = [2 * x.shape[a] - 1 for a in axes]  # so that nothing wraps around
        ours, wanted = (torch.fft.fftn(t, s=sizes, dim=axes) for t in (x_hat, x))
        overlap = torch.fft.ifftn(ours.conj() * wanted, dim=axes).real.sum(dims[0])
        best = overlap.detach().flatten(-self.spatial_dims).argmax(-1)
        moved = ours
        for axis, n in zip(reversed(axes), reversed(sizes)):
            shift, best = best % n, best // n
            turns = torch.fft.fftfreq(n, dtype=x.real.dtype, device=x.device) * shift.unsqueeze(-1)
            phase = torch.polar(torch.ones_like(turns), -2 * torch.pi * turns)
            moved = moved * phase.reshape(*shift.shape, *(n if a == axis else 1 for a in dims))
        error = energy_of(moved - wanted, self.spatial_dims) / math.prod(sizes)
        return root(error / energy_of(x, self.spatial_dims))


def root(square: Tensor) -> Tensor:
    """√x with the derivative 0 at 0."""
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, 1).sqrt(), 0 * square)
