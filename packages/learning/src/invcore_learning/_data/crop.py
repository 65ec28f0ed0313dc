"""Random crops."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError


@dataclass(frozen=True)
class RandomCrop:
    """Cut a part of an image out at a random place, and reflect it at random.

    Parameters
    ----------
    size : tuple of int
        Of the part, for each of the last dimensions.
    flips : bool
        Reflect each of these dimensions with probability 1/2.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> crop = RandomCrop((4, 4))
    >>> crop(torch.zeros(1, 9, 7), generator=torch.Generator().manual_seed(0)).shape
    torch.Size([1, 4, 4])
    """

    size: tuple[int, ...]
    flips: bool = True

    def __post_init__(self) -> None:
        if not self.size or not all(isinstance(n, int) and n > 0 for n in self.size):
            raise ParameterError(f"RandomCrop: size must be whole numbers above 0, got {self.size!r}")

    def __call__(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        """Crop an image.

        Parameters
        ----------
        x : Tensor, shape (..., *spatial)
        generator : torch.Generator

        Returns
        -------
        Tensor, shape (..., *size)

        Raises
        ------
        ShapeError
            If the image is smaller.
        """
        d = len(self.size)
        if x.ndim < d or any(n < m for n, m in zip(x.shape[-d:], self.size)):
            raise ShapeError(f"RandomCrop: an image {tuple(x.shape)} has no part of size {self.size}")
        for dim, m in zip(range(-d, 0), self.size):
            start = int(torch.randint(x.shape[dim] - m + 1, (), generator=generator))
            x = x.narrow(dim, start, m)
        if self.flips:
            chosen = [k - d for k in range(d) if int(torch.randint(2, (), generator=generator))]
            x = x.flip(chosen)
        return x
