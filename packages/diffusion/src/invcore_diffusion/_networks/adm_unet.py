"""The U-Net of guided diffusion (ADM)."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from invcore import ParameterError

GROUPS = 32
"""Of group normalization."""


class ADMUNet(nn.Module):
    """The U-Net of guided diffusion, ADM [1]_, and improved diffusion [2]_, under the names of their files.

    It is called as ``network(z, t)`` or ``network(z, t, classes)`` with images (n, in_channels, y, x) whose
    sides are multiples of 2^(scales - 1), a time each, and the number of a class each. `from_adm` reads the
    parameters below from the shapes of weights, but for those of attention, which shapes do not tell.

    Parameters
    ----------
    in_channels, out_channels : int
        Twice as many come out where the variance is learned, too.
    model_channels : int
        Features of the embedding of the time.
    features : tuple of int
        Features on each scale, the finest first; multiples of 32.
    blocks : int
        Residual blocks on each scale on the way down, one less than on the way up.
    attention : tuple of int
        The scales with self-attention, 0 the finest; the bottom always has it.
    heads : int, optional
        Attention heads on each scale; or give ``head_channels``.
    head_channels : int, optional
        Features of each head.
    new_attention_order : bool
        Whether features before attention are ordered as (query, key, value; head) or (head; query, key,
        value).
    num_classes : int, optional
        Number of classes, if it is told one.
    scale_shift : bool
        Whether the embedding scales normalized features before it shifts them.
    resblock_updown : bool
        Whether residual blocks change the size, or convolutions.

    References
    ----------
    .. [1] P. Dhariwal, A. Nichol, Diffusion models beat GANs on image synthesis, NeurIPS 2021.
    .. [2] A. Nichol, P. Dhariwal, Improved denoising diffusion probabilistic models, ICML 2021.

    Examples
    --------
    >>> network = ADMUNet(in_channels=1, out_channels=2, model_channels=32, features=(32, 64), heads=2)
    >>> network(torch.zeros(1, 1, 8, 8), torch.tensor([10])).shape
    torch.Size([1, 2, 8, 8])
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int = 6,
        model_channels: int = 128,
        features: tuple[int, ...] = (128, 128, 256, 256, 512, 512),
        blocks: int = 1,
        attention: tuple[int, ...] = (),
        heads: int | None = None,
        head_channels: int | None = None,
        new_attention_order: bool = False,
        num_classes: int | None = None,
        scale_shift: bool = True,
        resblock_updown: bool = True,
    ) -> None:
        super().__init__()
        if (heads is None) == (head_channels is None):
            raise ParameterError("ADMUNet: give heads=, the number of attention heads, or head_channels=")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.model_channels, self.features, self.blocks = model_channels, tuple(features), blocks
        self.attention, self.heads, self.head_channels = tuple(attention), heads, head_channels
        self.new_attention_order, self.num_classes = new_attention_order, num_classes
        self.scale_shift, self.resblock_updown = scale_shift, resblock_updown
        width, last = 4 * model_channels, len(features) - 1
        residual = partial(ResidualBlock, width=width, scale_shift=scale_shift)

        def attending(n: int) -> Attention:
            number = n / head_channels if heads is None and head_channels else heads or 0
            if number < 1 or n % number:
                raise ParameterError(
                    f"ADMUNet: {n} features do not make attention heads of equal size with heads={heads} and "
                    f"head_channels={head_channels}"
                )
            return Attention(n, heads=int(number), new_order=new_attention_order)

        def block(a: int, b: int, scale: int) -> list[nn.Module]:
            return [residual(a, b), *([attending(b)] if scale in self.attention else [])]

        self.time_embed = nn.Sequential(nn.Linear(model_channels, width), nn.SiLU(), nn.Linear(width, width))
        if num_classes is not None:
            self.label_emb = nn.Embedding(num_classes, width)
        now = features[0]
        skips, down = [now], [[convolution(in_channels, now)]]
        for scale, n in enumerate(features):
            for _ in range(blocks):
                down.append(block(now, n, scale))
                skips.append(now := n)
            if scale < last:
                down.append([residual(n, n, resize="down") if resblock_updown else Downsample(n)])
                skips.append(n)
        up = []
        self.middle_block = nn.ModuleList([residual(now, now), attending(now), residual(now, now)])
        for scale, n in reversed(list(enumerate(features))):
            for i in range(blocks + 1):
                layers, now = block(now + skips.pop(), n, scale), n
                if scale > 0 and i == blocks:
                    layers.append(residual(n, n, resize="up") if resblock_updown else Upsample(n))
                up.append(layers)
        self.input_blocks = nn.ModuleList(map(nn.ModuleList, down))
        self.output_blocks = nn.ModuleList(map(nn.ModuleList, up))
        self.out = nn.Sequential(nn.GroupNorm(GROUPS, now), nn.SiLU(), convolution(now, out_channels))

    def forward(self, z: Tensor, time: Tensor, classes: Tensor | None = None) -> Tensor:
        """What the network estimates."""
        emb = self.time_embed(embedded(time, self.model_channels).to(z.dtype))
        if classes is not None:
            emb = emb + self.label_emb(classes)
        h, skips = z, []
        for block in self.input_blocks:
            h = through(block, h, emb)
            skips.append(h)
        h = through(self.middle_block, h, emb)
        for block in self.output_blocks:
            h = through(block, torch.cat([h, skips.pop()], 1), emb)
        estimate: Tensor = self.out(h)
        return estimate


def through(layers: nn.Module, h: Tensor, emb: Tensor) -> Tensor:
    """One layer after another, told the embedding where it takes one."""
    for layer in layers.children():
        h = layer(h, emb) if isinstance(layer, ResidualBlock) else layer(h)
    return h


def embedded(time: Tensor, n: int, *, endpoint: bool = False) -> Tensor:
    """Cosines and sines of a time (n,), of geometric frequencies from 1 to 1e-4, which may be left out."""
    rates = torch.exp(-math.log(1e4) / (n // 2 - endpoint) * torch.arange(n // 2, device=time.device))
    angles = time.float()[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], 1)


def convolution(a: int, b: int, *, stride: int = 1) -> nn.Module:
    """3 x 3 pixels."""
    return nn.Conv2d(a, b, 3, stride=stride, padding=1)


def doubled(x: Tensor) -> Tensor:
    """Each pixel four times."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


class ResidualBlock(nn.Module):
    """Two convolutions told the time, beside the image itself; either of them of half or twice the size."""

    def __init__(self, a: int, b: int, *, width: int, scale_shift: bool, resize: str | None = None) -> None:
        super().__init__()
        self.scale_shift, self.resize = scale_shift, resize
        self.in_layers = nn.Sequential(nn.GroupNorm(GROUPS, a), nn.SiLU(), convolution(a, b))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(width, (1 + scale_shift) * b))
        self.out_layers = nn.Sequential(nn.GroupNorm(GROUPS, b), nn.SiLU(), nn.Identity(), convolution(b, b))
        self.skip_connection = nn.Identity() if a == b else nn.Conv2d(a, b, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Features (n, b, y, x)."""
        norm, activation, first = self.in_layers
        h, told = activation(norm(x)), self.emb_layers(emb)[..., None, None]
        if self.resize is not None:
            to = doubled if self.resize == "up" else partial(functional.avg_pool2d, kernel_size=2)
            h, x = to(h), to(x)
        h = first(h)
        if self.scale_shift:
            scale, shift = told.chunk(2, 1)
            h = self.out_layers[1:](self.out_layers[0](h) * (1 + scale) + shift)
        else:
            h = self.out_layers(h + told)
        out: Tensor = self.skip_connection(x) + h
        return out


class Attention(nn.Module):
    """Self-attention of all pixels."""

    def __init__(self, n: int, *, heads: int, new_order: bool) -> None:
        super().__init__()
        self.heads, self.new_order = heads, new_order
        self.norm = nn.GroupNorm(GROUPS, n)
        self.qkv, self.proj_out = nn.Conv1d(n, 3 * n, 1), nn.Conv1d(n, n, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Features of the same shape."""
        n, c, *size = x.shape
        flat = x.reshape(n, c, -1)
        whole = self.qkv(self.norm(flat))
        if self.new_order:
            q, k, v = whole.reshape(n, 3, self.heads, c // self.heads, -1).mT.unbind(1)
        else:
            q, k, v = whole.reshape(n, self.heads, 3, c // self.heads, -1).mT.unbind(2)
        seen = functional.scaled_dot_product_attention(q, k, v).mT.reshape(n, c, -1)
        out: Tensor = (flat + self.proj_out(seen)).reshape(n, c, *size)
        return out


class Downsample(nn.Module):
    """A convolution at every second pixel."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.op = convolution(n, n, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Half the size."""
        out: Tensor = self.op(x)
        return out


class Upsample(nn.Module):
    """Pixels doubled, and a convolution."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.conv = convolution(n, n)

    def forward(self, x: Tensor) -> Tensor:
        """Twice the size."""
        out: Tensor = self.conv(doubled(x))
        return out
