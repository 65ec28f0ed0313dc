"""Random masks for inpainting."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .._errors import ParameterError
from .._value import Value


class RandomMask(Value):
    """Masks that keep pixels, rows or columns at random, for `Mask`: inpainting, dropped lines.

    Parameters
    ----------
    shape : tuple of int
        Spatial shape of the image, ``(x,)``, ``(y, x)`` or ``(z, y, x)``.
    keep : float
        Probability that a position is kept, 0 to 1.
    axes : tuple of int, optional
        The axes along which positions are drawn; along the others the mask is constant and has size 1.
        ``(0,)`` keeps rows of an image, ``(1,)`` columns; by default pixels are kept.
    exact : bool
        Keep exactly ``round(keep * positions)``, drawn without replacement; otherwise each position for
        itself.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> draw = RandomMask((4, 6), keep=0.25, exact=True)
    >>> mask = draw(batch=(3,), generator=torch.Generator().manual_seed(0))
    >>> mask.shape, mask.sum((1, 2, 3)).tolist()
    (torch.Size([3, 1, 4, 6]), [6.0, 6.0, 6.0])
    """

    shape: tuple[int, ...]
    keep: float = 0.5
    axes: tuple[int, ...] | None = None
    exact: bool = False

    def __post_init__(self) -> None:
        n = len(self.shape)
        if n < 1 or any(int(k) != k or k < 1 for k in self.shape):
            raise ParameterError(f"RandomMask: shape must be positive lengths, got {self.shape}")
        if not 0 <= self.keep <= 1:
            raise ParameterError(f"RandomMask: keep is a probability, 0 to 1; got {self.keep!r}")
        if self.axes is not None and (not self.axes or any(not -n <= a < n for a in self.axes)):
            raise ParameterError(f"RandomMask: axes must be axes of {self.shape}, got {self.axes}")

    def __call__(
        self,
        batch: tuple[int, ...] = (),
        *,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Draw masks one after the other: the same seed gives the same ones however a batch is split.

        Returns
        -------
        Tensor, shape (*batch, 1, *shape)
            Ones and zeros, with size 1 along the axes that are not drawn.
        """
        n = len(self.shape)
        drawn = range(n) if self.axes is None else {a % n for a in self.axes}
        grid = tuple(k if i in drawn else 1 for i, k in enumerate(self.shape))
        masks = [self._draw(math.prod(grid), generator) for _ in range(math.prod(batch))]
        out = torch.stack(masks) if masks else torch.zeros(0, math.prod(grid), device=generator.device)
        return out.reshape(*batch, 1, *grid).to(dtype)

    def _draw(self, positions: int, generator: torch.Generator) -> Tensor:
        draws = torch.rand(positions, dtype=torch.float64, generator=generator, device=generator.device)
        if not self.exact:
            return draws < self.keep
        mask = torch.zeros(positions, dtype=torch.bool, device=generator.device)
        mask[draws.argsort()[: math.floor(self.keep * positions + 0.5)]] = True
        return mask
