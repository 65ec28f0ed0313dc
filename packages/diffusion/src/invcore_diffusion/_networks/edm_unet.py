"""The U-Nets of EDM: DDPM++ and NCSN++ (Song et al.), and ADM (Dhariwal and Nichol)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import silu

from invcore import ParameterError

from .adm_unet import embedded


class EDMUNet(nn.Module):
    """A U-Net of EDM [1]_ under the names of its files: DDPM++ and NCSN++ [2]_, or ADM [3]_.

    It is called as ``network(z, t)`` or ``network(z, t, classes)`` with images (n, in_channels, y, x) whose
    sides are multiples of 2^(scales - 1), a time each, and the number of a class each. `from_edm` reads the
    parameters from the names and shapes of weights.

    Parameters
    ----------
    kind : {"song", "dhariwal"}
        DDPM++ and NCSN++ or ADM: how blocks are scaled, told the time, and attend.
    size : int
        The side of the images it was trained on, which names of weights have.
    in_channels, out_channels : int
    model_channels : int
        Features that the features of the scales are multiples of.
    channel_mult : tuple of int
        These multiples, the finest scale first.
    emb_channels : int
        Width of the embedding of the time.
    noise_channels : int
        Number of cosines and sines of the time.
    num_blocks : int
        Residual blocks on each scale on the way down, one less than on the way up.
    attention : tuple of int
        The scales with self-attention, 0 the finest.
    label_dim : int
        Number of classes, 0 for none.
    fourier : bool
        Whether frequencies of the time are weights (NCSN++), not geometric.
    encoder : {"standard", "skip", "residual"}
        How the way down sees the image at half the size, if it does (NCSN++: residual).
    decoder : {"standard", "skip"}
        Whether the way up adds images of all scales.
    filter_size : int
        Taps of the filter with which sizes change: 2, or 4 (NCSN++).

    References
    ----------
    .. [1] T. Karras, M. Aittala, T. Aila, S. Laine, Elucidating the design space of diffusion-based
       generative models, NeurIPS 2022.
    .. [2] Y. Song et al., Score-based generative modeling through stochastic differential equations,
       ICLR 2021.
    .. [3] P. Dhariwal, A. Nichol, Diffusion models beat GANs on image synthesis, NeurIPS 2021.

    Examples
    --------
    >>> network = EDMUNet("song", size=8, model_channels=16, channel_mult=(1, 2))
    >>> network(torch.zeros(1, 3, 8, 8), torch.tensor([0.1])).shape
    torch.Size([1, 3, 8, 8])
    """

    def __init__(
        self,
        kind: Literal["song", "dhariwal"],
        *,
        size: int = 64,
        in_channels: int = 3,
        out_channels: int = 3,
        model_channels: int = 128,
        channel_mult: tuple[int, ...] = (1, 2, 2, 2),
        emb_channels: int = 512,
        noise_channels: int = 128,
        num_blocks: int = 4,
        attention: tuple[int, ...] = (),
        label_dim: int = 0,
        fourier: bool = False,
        encoder: Literal["standard", "skip", "residual"] = "standard",
        decoder: Literal["standard", "skip"] = "standard",
        filter_size: int = 2,
    ) -> None:
        super().__init__()
        self.kind, self.size, self.in_channels, self.out_channels = kind, size, in_channels, out_channels
        self.model_channels, self.channel_mult = model_channels, tuple(channel_mult)
        self.emb_channels, self.noise_channels, self.num_blocks = emb_channels, noise_channels, num_blocks
        self.attention, self.label_dim, self.fourier = tuple(attention), label_dim, fourier
        self.encoder, self.decoder, self.filter_size = encoder, decoder, filter_size
        if kind not in ("song", "dhariwal"):
            raise ParameterError(f"EDMUNet: kind must be 'song' or 'dhariwal', got {kind!r}")
        song, last = kind == "song", len(channel_mult) - 1
        eps = 1e-6 if song else 1e-5

        def block(a: int, b: int, attends: bool = False, resize: str | None = None) -> Block:
            heads = 0 if not attends else 1 if song else b // 64
            return Block(a, b, emb_channels, song=song, heads=heads, eps=eps, resize=resize, taps=filter_size)

        def conv(a: int, b: int, kernel: int, resize: str | None = None, fused: bool = False) -> Conv:
            return Conv(a, b, kernel, resize=resize, taps=filter_size, fused=fused)

        if fourier:
            self.map_noise = nn.Module()
            self.map_noise.register_buffer("freqs", 16 * torch.randn(noise_channels // 2))
        self.map_layer0 = nn.Linear(noise_channels, emb_channels)
        self.map_layer1 = nn.Linear(emb_channels, emb_channels)
        if label_dim:
            self.map_label = nn.Linear(label_dim, noise_channels if song else emb_channels, bias=song)
        down: dict[str, nn.Module] = {}
        now, seen, skips = in_channels, in_channels, []
        for scale, multiple in enumerate(channel_mult):
            at, n = f"{size >> scale}x{size >> scale}", multiple * model_channels
            if scale == 0:
                now = model_channels if song else n
                down[f"{at}_conv"] = conv(in_channels, now, 3)
            else:
                down[f"{at}_down"] = block(now, now, resize="down")
            skips.append(now)
            if scale > 0 and encoder == "skip":
                down[f"{at}_aux_down"] = conv(seen, seen, 0, resize="down")
                down[f"{at}_aux_skip"] = conv(seen, now, 1)
            if scale > 0 and encoder == "residual":
                down[f"{at}_aux_residual"] = conv(seen, now, 3, resize="down", fused=True)
                seen = now
            for i in range(num_blocks):
                down[f"{at}_block{i}"] = block(now, n, scale in attention)
                skips.append(now := n)
        up: dict[str, nn.Module] = {}
        for scale, multiple in reversed(list(enumerate(channel_mult))):
            at, n = f"{size >> scale}x{size >> scale}", multiple * model_channels
            if scale == last:
                up[f"{at}_in0"], up[f"{at}_in1"] = block(now, now, True), block(now, now)
            else:
                up[f"{at}_up"] = block(now, now, resize="up")
            for i in range(num_blocks + 1):
                attends = scale in attention and (i == num_blocks or not song)
                up[f"{at}_block{i}"] = block(now + skips.pop(), n, attends)
                now = n
            if song and (decoder == "skip" or scale == 0):
                if decoder == "skip" and scale < last:
                    up[f"{at}_aux_up"] = conv(out_channels, out_channels, 0, resize="up")
                up[f"{at}_aux_norm"] = norm(now, eps)
                up[f"{at}_aux_conv"] = conv(now, out_channels, 3)
        self.enc, self.dec = nn.ModuleDict(down), nn.ModuleDict(up)
        if not song:
            self.out_norm, self.out_conv = norm(now, eps), conv(now, out_channels, 3)

    def forward(self, z: Tensor, time: Tensor, classes: Tensor | None = None) -> Tensor:
        """What the network estimates."""
        emb = self._embedding(time, classes).to(z.dtype)
        x = seen = z
        skips: list[Tensor] = []
        for name, layer in self.enc.items():
            if "aux_down" in name:
                seen = layer(seen)
            elif "aux_skip" in name:
                x = skips[-1] = x + layer(seen)
            elif "aux_residual" in name:
                x = seen = skips[-1] = (x + layer(seen)) / math.sqrt(2)
            else:
                x = layer(x, emb) if isinstance(layer, Block) else layer(x)
                skips.append(x)
        image: Tensor | None = None
        for name, layer in self.dec.items():
            if "aux_up" in name:
                image = layer(image)
            elif "aux_norm" in name:
                seen = silu(layer(x))
            elif "aux_conv" in name:
                image = layer(seen) if image is None else image + layer(seen)
            else:
                x = layer(torch.cat([x, skips.pop()], 1) if "_block" in name else x, emb)
        return self.out_conv(silu(self.out_norm(x))) if image is None else image

    def _embedding(self, time: Tensor, classes: Tensor | None) -> Tensor:
        """What blocks are told (n, emb_channels)."""
        one_hot = None
        if classes is not None:
            one_hot = functional.one_hot(classes, self.label_dim).to(self.map_layer0.weight.dtype)
        if self.fourier:
            angles = 2 * torch.pi * time[:, None] * self.map_noise.get_buffer("freqs")
            waves = torch.cat([angles.sin(), angles.cos()], 1)
        elif self.kind == "song":
            waves = embedded(time, self.noise_channels, endpoint=True).roll(self.noise_channels // 2, 1)
        else:
            waves = embedded(time, self.noise_channels)
        waves = waves.to(self.map_layer0.weight.dtype)
        if self.kind == "song":
            if one_hot is not None:
                waves = waves + self.map_label(one_hot * math.sqrt(self.label_dim))
            return silu(self.map_layer1(silu(self.map_layer0(waves))))
        emb = self.map_layer1(silu(self.map_layer0(waves)))
        return silu(emb if one_hot is None else emb + self.map_label(one_hot))


def norm(n: int, eps: float) -> nn.GroupNorm:
    """32 groups, but none of fewer than 4 features."""
    return nn.GroupNorm(min(32, n // 4), n, eps=eps)


class Conv(nn.Module):
    """A convolution of an image that is resized by a filter, before it or in one with it."""

    resample_filter: Tensor

    def __init__(
        self, a: int, b: int, kernel: int, *, resize: str | None = None, taps: int = 2, fused: bool = False
    ) -> None:
        super().__init__()
        self.resize, self.fused = resize, fused
        self.weight = nn.Parameter(torch.empty(b, a, kernel, kernel)) if kernel else None
        self.bias = nn.Parameter(torch.zeros(b)) if kernel else None
        if self.weight is not None:
            nn.init.kaiming_uniform_(self.weight)
        if resize is not None:
            f = torch.tensor([math.comb(taps - 1, i) for i in range(taps)], dtype=torch.float32)
            self.register_buffer("resample_filter", (f.outer(f) / f.sum() ** 2)[None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Features of the same, half or twice the size."""
        if self.fused and self.weight is not None:  # the filter may reach over the border
            pad = self.weight.shape[-1] // 2 + (self.resample_filter.shape[-1] - 1) // 2
            h = functional.conv2d(x, self.weight, padding=pad)
            return self._filtered(h, padding=0) + self.bias[:, None, None]  # type: ignore[index]
        if self.resize is not None:
            x = self._filtered(x, padding=(self.resample_filter.shape[-1] - 1) // 2)
        if self.weight is None:
            return x
        return functional.conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2)

    def _filtered(self, x: Tensor, padding: int) -> Tensor:
        """Each channel filtered, at half or twice the size."""
        n = x.shape[1]
        f = self.resample_filter.expand(n, -1, -1, -1)
        if self.resize == "up":
            return functional.conv_transpose2d(x, 4 * f, stride=2, padding=padding, groups=n)
        return functional.conv2d(x, f, stride=2, padding=padding, groups=n)


class Block(nn.Module):
    """Two convolutions told the time, beside the image itself, and attention."""

    def __init__(
        self,
        a: int,
        b: int,
        width: int,
        *,
        song: bool,
        heads: int,
        eps: float,
        resize: str | None,
        taps: int,
    ) -> None:
        super().__init__()
        self.song, self.heads, self.factor = song, heads, math.sqrt(0.5) if song else 1.0
        self.norm0, self.norm1 = norm(a, eps), norm(b, eps)
        self.conv0, self.conv1 = Conv(a, b, 3, resize=resize, taps=taps), Conv(b, b, 3)
        self.affine = nn.Linear(width, b if song else 2 * b)
        if a != b or resize is not None:
            self.skip: Conv | None = Conv(a, b, 1 if song or a != b else 0, resize=resize, taps=taps)
        else:
            self.skip = None
        if heads:
            self.norm2, self.qkv, self.proj = norm(b, eps), Conv(b, 3 * b, 1), Conv(b, b, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Features (n, b, y, x)."""
        h, told = self.conv0(silu(self.norm0(x))), self.affine(emb)[..., None, None]
        if self.song:
            h = silu(self.norm1(h + told))
        else:
            scale, shift = told.chunk(2, 1)
            h = silu(shift + self.norm1(h) * (1 + scale))
        h = self.factor * (self.conv1(h) + (x if self.skip is None else self.skip(x)))
        return self.factor * (h + self.proj(self._attention(h))) if self.heads else h

    def _attention(self, x: Tensor) -> Tensor:
        """Of all pixels; query, key and value of a feature follow each other."""
        n, c = x.shape[:2]
        whole = self.qkv(self.norm2(x)).reshape(n, self.heads, c // self.heads, 3, -1)
        q, k, v = whole.movedim(3, 0).mT
        return functional.scaled_dot_product_attention(q, k, v).mT.reshape(x.shape)
