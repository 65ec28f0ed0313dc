"""Denoisers made of a denoiser: averaged over flips and rotations, tile by tile, complex, in another unit."""

from __future__ import annotations

import dataclasses
import math
from itertools import product
from typing import Literal, Self

import torch
from torch import Tensor

from .._errors import ParameterError
from ._base import Denoiser


class Wrapper(Denoiser, abstract=True):
    """A denoiser made of another one, ``denoiser``, whose properties it has unless it says otherwise."""

    denoiser: Denoiser

    @property
    def channels(self) -> int | None:  # type: ignore[override]
        """Those of the denoiser."""
        return self.denoiser.channels

    @property
    def value_range(self) -> tuple[float, float] | None:  # type: ignore[override]
        """The same as of the denoiser."""
        return self.denoiser.value_range

    @property
    def sigma_range(self) -> tuple[float, float]:  # type: ignore[override]
        """The same as of the denoiser."""
        return self.denoiser.sigma_range

    @property
    def identity_at_zero(self) -> bool:  # type: ignore[override]
        """As the denoiser."""
        return self.denoiser.identity_at_zero

    @property
    def spatial_dims(self) -> int:
        """Those of the denoiser."""
        return self.denoiser.spatial_dims

    def at(self, k: int) -> Self:
        """The denoiser that iteration ``k`` uses."""
        inner = self.denoiser.at(k)
        return self if inner is self.denoiser else dataclasses.replace(self, denoiser=inner)

    @property
    def stochastic(self) -> bool:
        """As the denoiser."""
        return self.denoiser.stochastic


class Equivariant(Wrapper):
    """A denoiser made equivariant to the eight flips and quarter turns of the plane.

    ``draw="mean"``: ``(1 / 8) Σ_g g⁻¹ D(g x)`` over the dihedral group. ``draw="random"``: ``g⁻¹ D(g x)`` for
    one element, drawn from ``seed``; `at` draws another one for each iteration of an algorithm, which costs
    nothing more than D and makes plug-and-play iterations more stable.

    Parameters
    ----------
    denoiser : Denoiser
        With two spatial dimensions.
    draw : "mean" or "random"
    seed : int
    element : int, optional
        Use this element of the group only, 0 to 7: quarter turns, plus 4 for a flip before; what `at` fills
        in.

    References
    ----------
    M. Terris, T. Moreau, N. Pustelnik, J. Tachella, "Equivariant plug-and-play image reconstruction", CVPR
    (2024).

    Examples
    --------
    >>> from invcore.denoisers import WaveletDenoiser
    >>> D = Equivariant(WaveletDenoiser(wavelet="db2", levels=1))
    >>> x = torch.arange(32.0).reshape(1, 4, 8) % 5
    >>> torch.allclose(D(x.flip(-1), 1.0), D(x, 1.0).flip(-1))
    True
    """

    denoiser: Denoiser
    draw: Literal["mean", "random"] = "mean"
    seed: int = 0
    element: int | None = None

    def __post_init__(self) -> None:
        if self.denoiser.spatial_dims != 2:
            raise ParameterError(
                f"Equivariant: the denoiser must have 2 spatial dimensions, got {self.denoiser.spatial_dims}."
            )
        if self.draw not in ("mean", "random"):
            raise ParameterError(f"Equivariant: draw must be 'mean' or 'random', got {self.draw!r}.")
        if not 0 <= self.seed < 2**31:
            raise ParameterError(f"Equivariant: seed must be from 0 to 2**31 - 1, got {self.seed!r}.")
        if self.element is not None and not 0 <= self.element < 8:
            raise ParameterError(f"Equivariant: element must be None or from 0 to 7, got {self.element!r}.")

    def at(self, k: int) -> Self:
        """The denoiser that iteration ``k`` uses: with ``draw="random"`` another element of the group."""
        inner = super().at(k)
        if self.draw != "random" or self.element is not None:
            return inner
        mixed = (self.seed * 0x9E3779B1 + k) % 2**32
        drawn = torch.randint(0, 8, (), generator=torch.Generator().manual_seed(mixed))
        return dataclasses.replace(inner, element=int(drawn))

    @property
    def stochastic(self) -> bool:
        """True if `at` gives another denoiser in each iteration."""
        return super().stochastic or (self.draw == "random" and self.element is None)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        level = sigma.reshape(x.shape[:-3]) if sigma.ndim else sigma
        element = self.at(0).element if self.draw == "random" else self.element
        elements = range(8) if element is None else (element,)
        total = torch.zeros_like(x)
        for g in elements:
            total = total + _inverse(self.denoiser(_act(x, g), level), g)
        return total / len(elements)


def _act(x: Tensor, element: int) -> Tensor:
    return torch.rot90(x.flip(-1) if element >= 4 else x, element % 4, (-2, -1))


def _inverse(x: Tensor, element: int) -> Tensor:
    x = torch.rot90(x, -(element % 4), (-2, -1))
    return x.flip(-1) if element >= 4 else x


class Tiled(Wrapper):
    """A denoiser applied tile by tile, so that memory is bounded by the size of a tile.

    Each tile is denoised together with ``margin`` pixels around it, which are then thrown away; at the edges
    of the image there is no margin. If a pixel of the result depends only on pixels at most ``margin`` away,
    the result equals that of the whole image. This *receptive radius* is ``radius + patch // 2`` of
    `NonLocalMeans`, ``size // 2`` of `Median`, half the receptive field of a convolutional network. A
    denoiser that works on a grid (a network with downsampling, `BM3D`) depends on where a tile begins:
    ``stride`` makes tiles with their margin begin, and end except at the end of the image, at multiples of it
    (`BM3D`: 3, and a margin of 90).

    Parameters
    ----------
    denoiser : Denoiser
    tile : int
        Side of the tiles without margin.
    margin : int
    stride : int

    Examples
    --------
    >>> from invcore.denoisers import Median
    >>> x = torch.randn(1, 20, 30, generator=torch.Generator().manual_seed(0))
    >>> torch.equal(Tiled(Median(), tile=8, margin=1)(x, 1.0), Median()(x, 1.0))
    True
    """

    denoiser: Denoiser
    tile: int = 256
    margin: int = 32
    stride: int = 1

    def __post_init__(self) -> None:
        if self.tile < 1 or self.margin < 0 or self.stride < 1:
            raise ParameterError(
                f"Tiled: expected tile >= 1, margin >= 0 and stride >= 1, got {self.tile!r}, {self.margin!r} "
                f"and {self.stride!r}."
            )

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        d = self.spatial_dims
        level = sigma.reshape(x.shape[: x.ndim - d - 1]) if sigma.ndim else sigma
        out = torch.zeros_like(x)
        for spans in product(*(self._spans(n) for n in x.shape[-d:])):
            part, kept, place = zip(*spans)
            out[(..., *place)] = self.denoiser(x[(..., *part)], level)[(..., *kept)]
        return out

    def _spans(self, length: int) -> list[tuple[slice, slice, slice]]:
        """Tiles along an axis: what is denoised, what is kept of it, and where that goes."""
        spans = []
        for start in range(0, length, self.tile):
            stop = min(start + self.tile, length)
            first = max(0, start - self.margin) // self.stride * self.stride
            last = min(length, -(-(stop + self.margin) // self.stride) * self.stride)
            spans.append((slice(first, last), slice(start - first, stop - first), slice(start, stop)))
        return spans


class ComplexParts(Wrapper):
    """A denoiser of real images for complex ones: real and imaginary part, or the magnitude alone.

    Noise of the real and of the imaginary part is independent, each of standard deviation σ: their denoiser
    meets the noise that it is made for. Where its images have values from ``low`` to ``high`` and not below
    zero, the real and the imaginary part u, from -``high`` to ``high``, are brought into that range: (D(m +
    s u, s σ) - m)/s, with its middle m and s = (``high`` - ``low``)/(2 ``high``). A network for photographs
    takes negative values for something else. The magnitude has one-sided noise where it is not well above σ,
    and keeps its phase. Real images go to the denoiser as they are.

    Parameters
    ----------
    denoiser : Denoiser
    parts : "real and imaginary" or "magnitude"

    Examples
    --------
    >>> from invcore.denoisers import Median
    >>> x = torch.tensor([[1 + 2j, 5 + 0j, 1 - 2j]])
    >>> ComplexParts(Median(spatial_dims=1))(x, 1.0)
    tensor([[1.+2.j, 1.+0.j, 1.-2.j]])
    """

    denoiser: Denoiser
    parts: Literal["real and imaginary", "magnitude"] = "real and imaginary"

    def __post_init__(self) -> None:
        if self.parts not in ("real and imaginary", "magnitude"):
            raise ParameterError(
                f"ComplexParts: parts must be 'real and imaginary' or 'magnitude', got {self.parts!r}."
            )

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        level = sigma.reshape(x.shape[: x.ndim - self.spatial_dims - 1]) if sigma.ndim else sigma
        if not x.is_complex():
            return self.denoiser(x, level)
        if self.parts == "magnitude":
            size = x.abs()
            there = size > 0
            return torch.where(there, x / torch.where(there, size, 1), 1) * self.denoiser(size, level)
        levels = level.expand(2, *level.shape) if level.ndim else level
        return torch.complex(*self._of_either_sign(torch.stack((x.real, x.imag)), levels))

    def _of_either_sign(self, x: Tensor, level: Tensor) -> Tensor:
        """D of an image whose values have both signs, in the range of values that it is meant for."""
        low, high = self.denoiser.value_range or (-1.0, 1.0)
        if not 0 <= low < high:
            return self.denoiser(x, level)
        middle, scale = (low + high) / 2, (high - low) / (2 * high)
        least, most = self.denoiser.sigma_range
        return (self.denoiser(middle + scale * x, (scale * level).clamp(least, most)) - middle) / scale


class Rescaled(Wrapper):
    """A denoiser for images in another unit: s D(x/s, σ/s).

    A network for values in [0, 1] serves a scan whose values reach a millionth. Take for ``scale`` what is 1
    in the unit of the denoiser: the largest value of the image, or of a first reconstruction.

    Parameters
    ----------
    denoiser : Denoiser
    scale : float
        s > 0.

    Examples
    --------
    >>> from invcore.denoisers import Bilateral
    >>> D = Rescaled(Bilateral(spread=1.0), scale=1e-6)
    >>> D.value_range, bool((D(torch.full((1, 5, 5), 1e-6), 1e-7) == 1e-6).all())
    (None, True)
    """

    denoiser: Denoiser
    scale: float

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise ParameterError(f"Rescaled: scale must be positive and finite, got {self.scale!r}")

    @property
    def value_range(self) -> tuple[float, float] | None:  # type: ignore[override]
        """That of the denoiser in the unit of the images."""
        return None if self.denoiser.value_range is None else self._times(self.denoiser.value_range)

    @property
    def sigma_range(self) -> tuple[float, float]:  # type: ignore[override]
        """Those of the denoiser in the unit of the images."""
        return self._times(self.denoiser.sigma_range)

    def _times(self, limits: tuple[float, float]) -> tuple[float, float]:
        low, high = limits
        return low * self.scale, high * self.scale

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        low, high = self.denoiser.sigma_range  # what rounding moved out of it
        level = (sigma.flatten() if sigma.ndim else sigma) / self.scale
        level = level.clamp(low, high).reshape(sigma.shape[: x.ndim - self.spatial_dims - 1])
        return self.scale * self.denoiser(x / self.scale, level)
