"""Overlapping patches of an image as a linear operator."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from ..spaces import Space, per_sample
from ._base import LinearOperator
from ._basic import Identity, Mask

if TYPE_CHECKING:
    from ._svd import SVD


class Patches(LinearOperator):
    r"""The overlapping patches of an image, :math:`(A x)_k = x` in the window at place k.

    Places lie on a grid of the given stride; where it does not end at the edge one more place does, so that
    every pixel is in a patch. The adjoint adds patches up where they lie. Aᴴ A multiplies each pixel by the
    number of its patches (`counts`), and `pinv` puts an image together by their mean.

    Parameters
    ----------
    domain : Space
        ``(channel, *spatial)``, real or complex, with one to three spatial dimensions.
    size : int or tuple of int
        Pixels of a patch along each axis.
    stride : int or tuple of int
        Distance of the places, at most ``size``. By default patches do not overlap but at the edge.

    Raises
    ------
    ShapeError, ParameterError

    Examples
    --------
    >>> A = Patches((1, 5), size=3, stride=2)
    >>> A(torch.arange(5.0)[None])
    tensor([[[0., 1., 2.]],
    <BLANKLINE>
            [[2., 3., 4.]]])
    >>> A.pinv(A(torch.arange(5.0)[None]))
    tensor([[0., 1., 2., 3., 4.]])
    """

    domain: Space
    size: int | tuple[int, ...]
    stride: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        spatial = self.domain.shape[1:]
        if not 1 <= len(spatial) <= 3:
            raise ShapeError(f"Patches: the image must be (channel, *spatial), got {self.domain}")
        for name, given in (("size", self.size), ("stride", self.stride)):
            if isinstance(given, tuple) and len(given) != len(spatial):
                raise ShapeError(f"Patches: {name} is one number, or {len(spatial)} of them, got {given}")
        if any(not 1 <= k <= n for k, n in zip(self._sizes, spatial)):
            raise ShapeError(f"Patches of {self._sizes} pixels do not fit an image of {spatial}")
        if any(not 1 <= s <= k for s, k in zip(self._strides, self._sizes)):
            raise ParameterError(
                f"Patches: the stride must be from 1 to the size {self._sizes}, so that every pixel is in a "
                f"patch; got {self.stride!r}"
            )

    @property
    def _sizes(self) -> tuple[int, ...]:
        return self.size if isinstance(self.size, tuple) else (self.size,) * (len(self.domain.shape) - 1)

    @property
    def _strides(self) -> tuple[int, ...]:
        if self.stride is None:
            return self._sizes
        return self.stride if isinstance(self.stride, tuple) else (self.stride,) * len(self._sizes)

    @property
    def places(self) -> tuple[int, ...]:
        """Number of places along each axis; the patches are numbered in this order, the last axis fastest."""
        return tuple(len(s) for s in self._starts())

    @property
    def range(self) -> Space:
        """``(patch, channel, *size)``."""
        return Space((math.prod(self.places), self.domain.shape[0], *self._sizes), self.domain.kind)

    def _starts(self) -> list[list[int]]:
        axes = zip(self.domain.shape[1:], self._sizes, self._strides)
        return [[*range(0, n - k, s), n - k] for n, k, s in axes]

    @cached_property
    def _index(self) -> list[Tensor]:
        """The pixels of the patches along each axis, one after the other."""
        found = zip(self._starts(), self._sizes)
        with torch.inference_mode(False):
            return [(torch.tensor(s)[:, None] + torch.arange(k)).flatten() for s, k in found]

    def counts(self) -> Tensor:
        """The number of patches that each pixel lies in, shape (1, *spatial)."""
        out = torch.ones(1, device=self.device)
        for n, index in zip(self.domain.shape[1:], self._index):
            out = out.unsqueeze(-1) * torch.bincount(index, minlength=n).to(out)
        return out

    def forward(self, x: Tensor) -> Tensor:
        d, batch = len(self._sizes), x.shape[: -len(self.domain.shape)]
        for axis, index in zip(range(-d, 0), self._index):
            x = x.index_select(axis, index.to(x.device))
        lead = len(batch)
        x = x.reshape(*batch, x.shape[lead], *(n for pair in zip(self.places, self._sizes) for n in pair))
        places, within = ([lead + 1 + 2 * i + k for i in range(d)] for k in (0, 1))
        return x.permute(*range(lead), *places, lead, *within).reshape(*batch, *self.range.shape)

    def adjoint(self, y: Tensor) -> Tensor:
        d, lead = len(self._sizes), y.ndim - len(self.range.shape)
        y = y.reshape(*y.shape[:lead], *self.places, *y.shape[lead + 1 :])
        pairs = [at for i in range(d) for at in (lead + i, lead + d + 1 + i)]
        y = y.permute(*range(lead), lead + d, *pairs)
        y = y.reshape(*y.shape[: lead + 1], *(len(index) for index in self._index))
        for axis, index, n in zip(range(lead + 1, lead + 1 + d), self._index, self.domain.shape[1:]):
            out = y.new_zeros(*y.shape[:axis], n, *y.shape[axis + 1 :])
            y = out.index_add(axis, index.to(y.device), y)
        return y

    def _gram(self, x: Tensor) -> Tensor:
        return self.counts().to(x) * x

    def norm_bound(self) -> Tensor:
        return self.counts().amax().sqrt() * (1 + 8 * torch.finfo(self.dtype).eps)

    def pinv(self, y: Any, *, rtol: float | None = None, max_steps: int | None = None) -> Any:
        """The image whose pixels are the means of their patches; nothing to iterate.

        Parameters
        ----------
        y : Tensor, shape (batch..., patch, channel, *size)
        rtol, max_steps : optional
            Not used.
        """
        back = self.H(y)
        return back / self.counts().to(back)

    def _ridge(self, y: Tensor | None, z: Tensor | None, weight: Tensor) -> Tensor:
        w = per_sample(weight, self.domain)
        given = [] if y is None else [self.adjoint(y)]
        total = torch.stack(torch.broadcast_tensors(*given, *([] if z is None else [w * z]))).sum(0)
        return total / (self.counts().to(total.device, weight.dtype) + w)

    def _svd(self) -> SVD:
        from ._svd import SVD

        s = self.counts().sqrt()
        U: Any = self @ Mask(1 / s, self.domain)
        return SVD(U=U, s=s, V=Identity(self.domain))
