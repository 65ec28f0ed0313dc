"""Perturbations of data: noise, and phase errors of k-space lines."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

import invcore
from invcore import Space
from invcore.spaces import randn

from .base import Transform


class AddNoise(Transform):
    """White Gaussian noise, x + σ n; the parameter is the seed of each sample.

    Parameters
    ----------
    sigma : float
        Standard deviation of each real component.

    Examples
    --------
    >>> T = AddNoise(sigma=0.1)
    >>> x = torch.zeros(1, 50, 50)
    >>> y = T(x, generator=torch.Generator().manual_seed(0))
    >>> round(float(y.std()), 2)
    0.1
    """

    linear: ClassVar[bool] = False
    sigma: float = 0.1

    def __post_init__(self) -> None:
        if not self.sigma >= 0:
            raise invcore.ParameterError(f"AddNoise: sigma must be >= 0, got {self.sigma!r}")

    def _draw(self, generator: torch.Generator) -> Tensor:
        return torch.randint(2**24, (1,), generator=generator).double()

    def _noise(self, x: Tensor, g: Tensor) -> Tensor:
        space = Space(tuple(x.shape[1:]), "complex" if x.is_complex() else "real")
        seeds = [torch.Generator().manual_seed(int(s)) for s in g[:, 0].tolist()]
        drawn = [randn(space, generator=own, dtype=x.dtype, device=x.device) for own in seeds]
        return self.sigma * torch.stack(drawn)

    def _apply(self, x: Tensor, g: Tensor) -> Tensor:
        return x + self._noise(x, g)

    def _undo(self, x: Tensor, g: Tensor) -> Tensor:
        return x - self._noise(x, g)


class PhaseError(Transform):
    """Phases of even and of odd lines, as between the echoes of an echo-planar readout.

    Parameters
    ----------
    scale : float
        Largest phase, in radians.

    Raises
    ------
    DtypeError
        If the data are not complex.

    Notes
    -----
    Lines run along the last dimension; even and odd counts along the one before.

    References
    ----------
    A. D. Desai et al., VORTEX: physics-driven data augmentations using consistency training for robust
    accelerated MRI reconstruction, MIDL 2022.

    Examples
    --------
    >>> import math
    >>> x = torch.ones(1, 2, 1, dtype=torch.complex64)
    >>> PhaseError().apply(x, torch.tensor([0.0, math.pi])).real.flatten()
    tensor([ 1., -1.])
    """

    scale: float = 0.1

    def _draw(self, generator: torch.Generator) -> Tensor:
        return self.scale * (2 * torch.rand(2, dtype=torch.float64, generator=generator) - 1)

    def _apply(self, x: Tensor, g: Tensor) -> Tensor:
        if not x.is_complex():
            raise invcore.DtypeError(f"PhaseError: expected complex data, got {x.dtype}")
        phase = g.to(x.device)[:, torch.arange(x.shape[-2], device=x.device) % 2]
        turn = torch.polar(torch.ones_like(phase), phase).to(x.dtype)
        return x * turn.reshape(len(x), *(1,) * (x.ndim - 3), -1, 1)

    def _undo(self, x: Tensor, g: Tensor) -> Tensor:
        return self._apply(x, -g)

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        """The sum of the phases."""
        return a + b
