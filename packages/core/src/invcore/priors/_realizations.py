"""Agreement of the reconstructions of independent parts of the data."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from ..operators import Space
from ..spaces import per_sample
from ._base import Prior


class IndependentRealizations(Prior):
    r"""The spread of several reconstructions of one object, each from an independent part of the data.

    .. math:: g(x_1, …, x_K) = \tfrac12 \sum_k \|x_k - \bar x\|^2, \quad \bar x = \tfrac1K \sum_k x_k

    What the parts do not have in common is noise, so that the weight stops the iterations of maximum
    likelihood from amplifying it, without a model of the object. Split counts with `invcore.noises.Thinning`
    (or take each second event), give each part its own block of `invcore.block_diag` of K operators, or its
    own channels of one operator, and take the mean of the result. For two parts g is ‖x₁ - x₂‖²/4.

    Parameters
    ----------
    count : int
        K ≥ 2. The image is a tuple of K images, or one image whose channels are those of the first
        realization, then those of the second, and so on.

    Raises
    ------
    ParameterError, ShapeError

    Examples
    --------
    >>> g = IndependentRealizations(2)
    >>> x = torch.tensor([[1.0, 2.0], [3.0, 2.0]])
    >>> g.value(x), g.prox(x, 1.0)
    (tensor(1.), tensor([[1.5000, 2.0000],
            [2.5000, 2.0000]]))
    """

    degree: ClassVar[int] = 2
    blocks: ClassVar[bool] = True

    count: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isinstance(self.count, int) and self.count >= 2):
            raise ParameterError(
                f"IndependentRealizations: count must be a whole number >= 2, got {self.count!r}"
            )

    def _value(self, x: Any, space: Any) -> Tensor:
        own, apart = self._apart(x, space)
        dims = tuple(range(-len(own.shape) - 1, 0))
        return 0.5 * apart.abs().square().sum(dims)

    def _grad(self, x: Any, space: Any) -> Any:
        return self._back(self._apart(x, space)[1], space)

    def _prox(self, x: Any, step: float | Tensor, space: Any) -> Any:
        own, apart = self._apart(x, space)
        t = step if not isinstance(step, Tensor) else per_sample(step, Space((self.count, *own.shape)))
        return self._back(self._stacked(x, space) - apart * (t / (1 + t)), space)

    def _conjugate(self, u: Any, space: Any, weight: float | Tensor) -> Tensor:
        """‖u‖²/(2 weight) where the uₖ add up to zero (up to rounding), else infinity."""
        own, apart = self._apart(u, space)
        dims = tuple(range(-len(own.shape) - 1, 0))
        whole, square = (t.abs().square().sum(dims) for t in (self._stacked(u, space), apart))
        eps = torch.finfo(whole.dtype).eps
        return torch.where(whole - square > 100 * eps * whole, torch.inf, square / (2 * weight))

    def _apart(self, x: Any, space: Any) -> tuple[Space, Tensor]:
        """The space of a realization, and xₖ - x̄."""
        own = self._own(space)
        stacked = self._stacked(x, space)
        return own, stacked - stacked.mean(-len(own.shape) - 1, keepdim=True)

    def _own(self, space: Any) -> Space:
        if isinstance(space, tuple):
            if len(space) != self.count or len(set(space)) != 1 or not isinstance(space[0], Space):
                raise ShapeError(
                    f"IndependentRealizations({self.count}): expected {self.count} images of one space, got "
                    f"{space}"
                )
            return space[0]
        if not space.shape or space.shape[0] % self.count:
            raise ShapeError(
                f"IndependentRealizations({self.count}): the channels must be a multiple of {self.count}, "
                f"got an image of {space.shape}"
            )
        return Space((space.shape[0] // self.count, *space.shape[1:]), space.kind)

    def _stacked(self, x: Any, space: Any) -> Tensor:
        """(batch..., K, *own)."""
        own = self._own(space)
        at = -len(own.shape)
        if isinstance(x, tuple):
            return torch.stack(torch.broadcast_tensors(*x), at - 1)
        return x.unflatten(at, (self.count, own.shape[0]))

    def _back(self, stacked: Tensor, space: Any) -> Any:
        at = -len(self._own(space).shape)
        return tuple(stacked.unbind(at - 1)) if isinstance(space, tuple) else stacked.flatten(at - 1, at)
