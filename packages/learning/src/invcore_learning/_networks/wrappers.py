"""Networks for other images than they are made for: complex, volumes slice by slice, large ones in tiles."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

import invcore

from .base import Network


class ComplexNetwork(Network):
    """A network for complex images: real and imaginary parts are channels.

    Parameters
    ----------
    network : Network
        With twice as many channels in and out, first the real parts of all channels, then the imaginary ones.
    phase_equivariant : bool
        Turn each image so that the sum of its pixels is positive, and turn the result back: a global phase of
        the image, which depends on the receiver and not on the object, then is that of the result,
        R(exp(iφ) x) = exp(iφ) R(x). Not continuous at images whose sum is zero.

    Examples
    --------
    >>> from invcore_learning import DnCNN
    >>> R = ComplexNetwork(DnCNN(in_channels=2, out_channels=2, depth=3, features=4))
    >>> R(torch.zeros(5, 1, 8, 8, dtype=torch.complex64)).dtype
    torch.complex64
    """

    complex = True

    def __init__(self, network: Network, *, phase_equivariant: bool = False) -> None:
        super().__init__()
        _require_network("ComplexNetwork", network)
        if network.complex or network.in_channels % 2 or network.out_channels % 2:
            raise invcore.ParameterError(
                "ComplexNetwork: the network must take two real channels for each complex one, got one from "
                f"{network.in_channels} to {network.out_channels} channels"
            )
        self.network, self.phase_equivariant = network, phase_equivariant
        self.in_channels, self.out_channels = network.in_channels // 2, network.out_channels // 2
        self.spatial_dims, self.multiple = network.spatial_dims, network.multiple
        self.noise_level = network.noise_level

    def restore(self, x: Tensor, sigma: Tensor | None) -> Tensor:
        """See `Network.restore`."""
        if self.phase_equivariant:
            total = x.sum(tuple(range(1, x.ndim)), keepdim=True)
            phase = torch.where(total == 0, 1, torch.sgn(total))
            x = x * phase.conj()
        out = self.network.restore(torch.cat([x.real, x.imag], dim=1), sigma)
        image = torch.complex(*out.chunk(2, dim=1))
        return image * phase if self.phase_equivariant else image


class Slices(Network):
    """A network applied to each slice of a volume.

    Parameters
    ----------
    network : Network
        For images with one spatial dimension less.
    axis : int
        The spatial axis of the volume along which slices follow each other; 0 is the first.

    Examples
    --------
    >>> from invcore_learning import DnCNN
    >>> Slices(DnCNN(depth=3, features=4))(torch.zeros(1, 5, 8, 8)).shape
    torch.Size([1, 5, 8, 8])
    """

    def __init__(self, network: Network, *, axis: int = 0) -> None:
        super().__init__()
        _require_network("Slices", network)
        self.network, self.axis = network, axis
        self.spatial_dims, self.complex = network.spatial_dims + 1, network.complex
        self.in_channels, self.out_channels = network.in_channels, network.out_channels
        self.noise_level = network.noise_level
        if not 0 <= axis < self.spatial_dims:
            raise invcore.ParameterError(
                f"Slices: axis must be from 0 to {network.spatial_dims}, got {axis!r}"
            )

    def restore(self, x: Tensor, sigma: Tensor | None) -> Tensor:
        """See `Network.restore`."""
        slices = x.movedim(2 + self.axis, 1)
        if sigma is not None:
            shape = list(sigma.shape)
            shape[2 + self.axis] = x.shape[2 + self.axis]
            sigma = sigma.expand(shape).movedim(2 + self.axis, 1).flatten(0, 1)
        out = self.network(slices.flatten(0, 1), sigma)
        return out.reshape(*slices.shape[:2], *out.shape[1:]).movedim(1, 2 + self.axis)


class TiledNetwork(Network):
    """A network applied tile by tile, so that its memory is bounded by the size of a tile.

    Each tile is restored together with ``margin`` pixels around it, which are then thrown away. If a pixel of
    the result depends on pixels at most ``margin`` away, the result equals that of the whole image. Tiles
    with their margin begin and end at multiples of `Network.multiple`.

    Parameters
    ----------
    network : Network
    tile : int
        Side of the tiles without margin.
    margin : int

    Examples
    --------
    >>> from invcore_learning import DnCNN
    >>> R, x = DnCNN(depth=3, features=4), torch.rand(1, 20, 30, generator=torch.Generator().manual_seed(0))
    >>> torch.allclose(TiledNetwork(R, tile=8, margin=3)(x), R(x), atol=1e-6)
    True
    """

    def __init__(self, network: Network, *, tile: int = 256, margin: int = 64) -> None:
        super().__init__()
        _require_network("TiledNetwork", network)
        if tile < 1 or margin < 0:
            raise invcore.ParameterError(
                f"TiledNetwork: expected tile >= 1 and margin >= 0, got {tile!r} and {margin!r}"
            )
        self.network, self.tile, self.margin = network, tile, margin
        self.spatial_dims, self.complex, self.multiple = (
            network.spatial_dims,
            network.complex,
            network.multiple,
        )
        self.in_channels, self.out_channels = network.in_channels, network.out_channels
        self.noise_level = network.noise_level

    def restore(self, x: Tensor, sigma: Tensor | None) -> Tensor:
        """See `Network.restore`."""
        size = x.shape[2:]
        out = x.new_empty(x.shape[0], self.out_channels, *size)
        for spans in product(*(self._spans(n) for n in size)):
            part, kept, place = zip(*spans)
            level = sigma[(..., *part)] if sigma is not None and sigma.shape[2:] == size else sigma
            out[(..., *place)] = self.network.restore(x[(..., *part)], level)[(..., *kept)]
        return out

    def _spans(self, length: int) -> list[tuple[slice, slice, slice]]:
        """Tiles along an axis: what is restored, what is kept of it, and where that goes."""
        spans, m = [], self.multiple
        for start in range(0, length, self.tile):
            stop = min(start + self.tile, length)
            first = max(0, start - self.margin) // m * m
            last = min(length, -(-(stop + self.margin) // m) * m)
            spans.append((slice(first, last), slice(start - first, stop - first), slice(start, stop)))
        return spans


def _require_network(name: str, network: object) -> None:
    if not isinstance(network, Network):
        raise invcore.ParameterError(f"{name}: network must be a Network, got {type(network).__name__}")
