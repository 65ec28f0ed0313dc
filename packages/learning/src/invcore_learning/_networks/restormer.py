"""Restormer: a U-Net of transformers that attend across channels."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, normalize, pixel_shuffle, pixel_unshuffle

import invcore

from .base import Network
from .layers import require_counts

EPSILON = 1e-5
"""Added to the variance of features."""


class Restormer(Network):
    """Restormer: transformer blocks on four scales, with attention between channels [1]_.

    Attention between channels costs as many operations as there are pixels, unlike that between pixels. The
    network adds what it computes to the image where both have as many channels.

    Parameters
    ----------
    in_channels, out_channels : int
    features : int
        On the finest scale; doubled on each of the others.
    blocks : tuple of int
        Transformer blocks on each scale, the finest first.
    refinement : int
        Blocks that follow on the finest scale.
    heads : tuple of int
        Attention heads on each scale; they divide the number of features.
    expansion : float
        Width of the feed-forward part over the number of features.
    centered : bool
        Whether the normalization of features subtracts their mean, and has a bias: so for deblurring and
        deraining in the paper, and not for denoising.

    References
    ----------
    .. [1] S. W. Zamir, A. Arora, S. Khan, M. Hayat, F. S. Khan, M.-H. Yang, Restormer: efficient transformer
       for high-resolution image restoration, CVPR 2022.

    Examples
    --------
    >>> network = Restormer(features=4, blocks=(1, 1), heads=(1, 2), refinement=1)
    >>> network(torch.zeros(2, 1, 9, 7)).shape
    torch.Size([2, 1, 9, 7])
    """

    spatial_dims = 2

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        features: int = 48,
        blocks: tuple[int, ...] = (4, 6, 6, 8),
        refinement: int = 4,
        heads: tuple[int, ...] = (1, 2, 4, 8),
        expansion: float = 2.66,
        centered: bool = False,
    ) -> None:
        super().__init__()
        require_counts("Restormer", in_channels=in_channels, out_channels=out_channels, features=features)
        sizes = [features * 2**k for k in range(len(blocks))]
        if len(heads) != len(blocks) or len(blocks) < 2 or any(n % h for n, h in zip(sizes, heads)):
            raise invcore.ParameterError(
                f"Restormer: expected one number of heads for each of {len(blocks)} scales (2 or more), that "
                f"divides its features {sizes}, got {heads!r}"
            )
        self.in_channels, self.out_channels, self.features = in_channels, out_channels, features
        self.blocks, self.refinement, self.heads = tuple(blocks), refinement, tuple(heads)
        self.expansion, self.centered = expansion, centered
        self.multiple = 2 ** (len(blocks) - 1)

        def scale(count: int, size: int, heads: int) -> nn.Sequential:
            return nn.Sequential(*(Transformer(size, heads, expansion, centered) for _ in range(count)))

        # the finest decoder keeps the features of its input and of the skip, without reducing them
        widths = [2 * features, *sizes[1:-1]]
        self.head = nn.Conv2d(in_channels, features, 3, padding=1, bias=False)
        self.encoder = nn.ModuleList(scale(*of) for of in zip(blocks[:-1], sizes[:-1], heads[:-1]))
        self.down = nn.ModuleList(nn.Conv2d(n, n // 2, 3, padding=1, bias=False) for n in sizes[:-1])
        self.bottom = scale(blocks[-1], sizes[-1], heads[-1])
        self.up = nn.ModuleList(nn.Conv2d(n, 2 * n, 3, padding=1, bias=False) for _, n in pairwise(sizes))
        self.reduce = nn.ModuleList(nn.Conv2d(2 * n, n, 1, bias=False) for n in sizes[1:-1])
        self.decoder = nn.ModuleList(scale(*of) for of in zip(blocks[:-1], widths, heads[:-1]))
        self.refiner = scale(refinement, widths[0], heads[0])
        self.tail = nn.Conv2d(widths[0], out_channels, 3, padding=1, bias=False)

    def restore(self, x: Tensor, sigma: Tensor | None) -> Tensor:
        """See `Network.restore`."""
        h, skips = self.head(x), []
        for scale, down in zip(self.encoder, self.down):
            skips.append(scale(h))
            h = pixel_unshuffle(down(skips[-1]), 2)
        h = self.bottom(h)
        for k in reversed(range(len(self.decoder))):
            h = torch.cat([pixel_shuffle(self.up[k](h), 2), skips[k]], dim=1)
            h = self.decoder[k](self.reduce[k - 1](h) if k else h)
        h = self.tail(self.refiner(h))
        return x + h if self.in_channels == self.out_channels else h


class Transformer(nn.Module):
    """Attention, then a gated feed-forward network, each added to the features."""

    def __init__(self, features: int, heads: int, expansion: float, centered: bool) -> None:
        super().__init__()
        self.before_attention = FeatureNorm(features, centered)
        self.attention = ChannelAttention(features, heads)
        self.before_gate = FeatureNorm(features, centered)
        self.gate = Gate(features, int(features * expansion))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        x = x + self.attention(self.before_attention(x))
        return x + self.gate(self.before_gate(x))


class FeatureNorm(nn.Module):
    """The features of each pixel over their standard deviation."""

    def __init__(self, features: int, centered: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features)) if centered else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalize."""
        size = torch.sqrt(x.var(1, keepdim=True, correction=0) + EPSILON)
        weight = self.weight[:, None, None]
        if self.bias is None:
            return x / size * weight
        return (x - x.mean(1, keepdim=True)) / size * weight + self.bias[:, None, None]


class ChannelAttention(nn.Module):
    """Softmax attention between the channels of each head, each a vector of all pixels."""

    def __init__(self, features: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.mix = nn.Conv2d(features, 3 * features, 1, bias=False)
        self.local = nn.Conv2d(3 * features, 3 * features, 3, padding=1, groups=3 * features, bias=False)
        self.out = nn.Conv2d(features, features, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Attend."""
        parts = self.local(self.mix(x)).flatten(2).unflatten(1, (3, self.heads, -1))
        query, key, value = parts.unbind(1)
        scores = normalize(query, dim=-1) @ normalize(key, dim=-1).mT * self.temperature
        return self.out((scores.softmax(dim=-1) @ value).reshape(x.shape))


class Gate(nn.Module):
    """Features weighted by the GELU of others."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(features, 2 * hidden, 1, bias=False)
        self.local = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.out = nn.Conv2d(hidden, features, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Apply."""
        gate, value = self.local(self.mix(x)).chunk(2, dim=1)
        return self.out(gelu(gate) * value)
