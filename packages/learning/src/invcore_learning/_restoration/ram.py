"""RAM: one network for many linear inverse problems, which sees the operator and the noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

import invcore
from invcore import LinearOperator, Physics, Space
from invcore.noises import GaussianMapNoise, GaussianNoise, NoNoise, PoissonGaussianNoise, PoissonNoise
from invcore.operators import least_squares
from invcore.spaces import batch_shape, check, dtype_of, scaled, spaces_of

from .._networks.base import padded
from .._networks.layers import CONVOLUTION, UPWARDS, ResidualBlock, chosen, require_counts
from .._networks.unet import UNet

FLOOR = 1e-4
"""Noise over signal, at least, in the weight of the data."""
RTOL = 1e-4
"""Relative residual to which the least-squares estimate is computed."""
SHARE = 0.1
"""What the operator adds to the features, at first, in a model that starts as a denoiser."""


class RAM(nn.Module):
    r"""Reconstruct-anything model [1]_: a U-Net that sees the operator and the noise.

    Its input is

    .. math:: \hat x = \arg\min_x ρ\,\mathrm{snr}\,‖\bar A x - \bar y‖^2 + ‖x - \bar A^H \bar y‖^2

    with :math:`\bar A = A/‖A‖`, beside constant maps of the noise level σ and the gain γ. On the scale of
    factor s each block adds

    .. math:: \mathrm{relu}\, E[K_s(\hat x_s), K_s(D h)], \qquad K_s(u) = (u, U_s^T \bar A^H \bar A U_s u)

    to the features h: D and E are convolutions to image channels and back, :math:`U_s` enlarges an image by s
    and keeps norms. What the network computes is added to :math:`\hat x`; at first it is zero, or that of a
    denoiser (`start_as`). There are no biases, and ReLU is homogeneous: R(c y; c σ, c γ) = c R(y; σ, γ), and
    the unit of A does not matter. Derivatives take the norm of A as a constant.

    Parameters
    ----------
    channels : tuple of int
        Numbers of channels of the images that it takes; a complex channel counts as two. Each has its own
        first, last and conditioning convolutions.
    features : tuple of int
        Features on each scale, the finest first.
    blocks : int
        Residual blocks on each scale, on the way down and on the way up.
    spatial_dims : int
        1, 2 or 3.

    References
    ----------
    .. [1] M. Terris, S. Hurault, M. Song, J. Tachella, Reconstruct anything model: a lightweight foundation
       model for computational imaging, 2025, arXiv:2503.08915.

    Examples
    --------
    >>> from invcore.operators import Mask
    >>> mask = torch.tensor([[1.0, 0.0], [1.0, 1.0]]).repeat(4, 4)
    >>> physics = Physics(Mask(mask, (3, 8, 8)), GaussianNoise(sigma=0.1))
    >>> RAM(features=(4, 8), blocks=1)(torch.ones(5, 3, 8, 8), physics).shape
    torch.Size([5, 3, 8, 8])
    """

    def __init__(
        self,
        *,
        channels: tuple[int, ...] = (1, 2, 3),
        features: tuple[int, ...] = (64, 128, 256, 512),
        blocks: int = 4,
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        conv = chosen("RAM", "spatial_dims", spatial_dims, CONVOLUTION)
        require_counts("RAM", blocks=blocks)
        self.channels, self.features = tuple(channels), tuple(features)
        self.blocks, self.spatial_dims = blocks, spatial_dims
        up, pairs = UPWARDS[spatial_dims], list(pairwise(features))

        def scale(n: int) -> nn.ModuleList:
            return nn.ModuleList(Conditioned(n, self.channels, conv) for _ in range(blocks))

        def heads(make: Callable[[int], nn.Module]) -> nn.ModuleDict:
            return nn.ModuleDict({str(c): make(c) for c in channels})

        self.log_balance = nn.Parameter(torch.zeros(()))
        self.head = heads(lambda c: conv(c + 2, features[0], 3, padding=1, bias=False))
        self.encoder = nn.ModuleList(scale(n) for n in features[:-1])
        self.down = nn.ModuleList(conv(a, b, 2, stride=2, bias=False) for a, b in pairs)
        self.bottom = scale(features[-1])
        self.up = nn.ModuleList(up(b, a, 2, stride=2, bias=False) for a, b in pairs)
        self.decoder = nn.ModuleList(scale(n) for n in features[:-1])
        self.tail = heads(lambda c: conv(features[0], c, 3, padding=1, bias=False))
        for p in self.tail.parameters():
            nn.init.zeros_(p)

    def start_as(self, denoiser: UNet) -> None:
        """Take over the weights of a denoiser: where A is the identity, nearly its result.

        Parameters
        ----------
        denoiser : UNet
            Without biases, with noise level, with the features and blocks of this model and one of its
            numbers of channels.

        Raises
        ------
        ParameterError
            If it differs in one of these.
        """
        c, mine = denoiser.in_channels, (self.features, self.blocks, self.spatial_dims)
        theirs = (denoiser.features, denoiser.blocks, denoiser.spatial_dims)
        if theirs != mine or c not in self.channels or denoiser.bias or not denoiser.noise_level:
            raise invcore.ParameterError(
                "RAM: it starts as a U-Net without biases, with noise level, with (features, blocks, "
                f"spatial_dims) {mine} and one of the channels {self.channels}, got {theirs}, {c} channels, "
                f"bias={denoiser.bias}, noise_level={denoiser.noise_level}"
            )
        with torch.no_grad():
            for part, twin in self._pairs(denoiser):
                for p, q in zip(part.parameters(), twin.parameters(), strict=True):
                    p.copy_(q)
            (p,), (q,) = self.head[str(c)].parameters(), denoiser.head.parameters()
            p.zero_()[:, : q.shape[1]].copy_(q)  # the gain is not seen yet
            for name, p in self.named_parameters():
                if ".encode." in name:
                    p.mul_(SHARE)

    def _pairs(self, other: UNet) -> Iterator[tuple[nn.Module, nn.Module]]:
        """Parts with those of a U-Net that do the same."""
        yield from zip(self.down, other.down)
        yield from zip(self.up, other.up)
        yield self.tail[str(other.in_channels)], other.tail
        scales: list[tuple[Any, Any]] = [(self.bottom, other.bottom)]
        scales += [*zip(self.encoder, other.encoder), *zip(self.decoder, other.decoder)]
        for ours, theirs in scales:
            yield from ((block.block, twin) for block, twin in zip(ours, theirs))

    def forward(self, y: Any, physics: Physics) -> Tensor:
        """Reconstruct.

        Parameters
        ----------
        y : Tensor or tuple of Tensor, shape (batch..., *range.shape)
        physics : Physics
            A linear operator, with Gaussian or Poisson noise, or both, or none.

        Returns
        -------
        Tensor, shape (batch..., *domain.shape)

        Raises
        ------
        ParameterError
            If the operator is not linear, there is no head for its channels, or the noise is of another kind.
        ShapeError, DtypeError
        """
        A, d = physics.operator, self.spatial_dims
        if not isinstance(A, LinearOperator):
            raise invcore.ParameterError(f"RAM: A must be linear, got {type(A).__name__}")
        space = A.domain
        if not isinstance(space, Space) or len(space.shape) != d + 1:
            raise invcore.ShapeError(
                f"RAM: images must be (channel, *spatial), {d} spatial; A's are in {space}"
            )
        count = space.shape[0] * (2 if space.kind == "complex" else 1)
        if count not in self.channels:
            raise invcore.ParameterError(
                f"RAM: it has heads for {self.channels} real channels, the images of A have {count}"
            )
        check(y, A.range, "RAM: data")
        unit = A.norm().detach().to(dtype_of(y).to_real())  # a geometry may be in double precision
        back = scaled(unit**-2, A.H(y), space)
        batch, size = tuple(batch_shape(back, space)), space.shape[1:]
        if not back.numel():
            return back
        sigma, gain = self._levels(physics, batch, unit, back)
        image = self._estimate(A, y, back, unit, sigma)
        x = padded(as_channels(image, d).reshape(-1, count, *size), 2 ** (len(self.features) - 1), d)
        out = self._network(x, torch.stack([sigma, gain], -1).reshape(-1, 2), Gram(A, unit, batch, d))
        for dim, n in zip(range(-d, 0), size):
            out = out.narrow(dim, 0, n)
        return as_image(out.reshape(*batch, count, *size), space, d)

    def _levels(
        self, physics: Physics, batch: tuple[int, ...], unit: Tensor, like: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Standard deviation and gain of the noise over the norm of A, shape (batch...)."""
        noise = physics.noise.per_sample(physics.range, batch)
        known = (GaussianNoise, GaussianMapNoise, PoissonNoise, PoissonGaussianNoise, NoNoise)
        if not isinstance(noise, known):
            raise invcore.ParameterError(
                f"RAM: the noise must be Gaussian, Poisson, both, or none, got {type(noise).__name__}"
            )
        sigma, gain = getattr(noise, "sigma", 0.0), getattr(noise, "gain", 0.0)
        if isinstance(noise, GaussianMapNoise):
            sigma = noise.sigma.square().mean(tuple(range(-len(spaces_of(physics.range)[0].shape), 0))).sqrt()
        levels = (torch.as_tensor(t, dtype=like.real.dtype, device=like.device) for t in (sigma, gain))
        first, second = ((t / unit).expand(batch) for t in levels)
        return first, second

    def _estimate(self, A: LinearOperator, y: Any, back: Tensor, unit: Tensor, sigma: Tensor) -> Tensor:
        """The least-squares estimate, near A^H y where noise is strong."""
        batch = sigma.shape
        total, count = torch.zeros_like(sigma), 0
        for part, space in zip(y if isinstance(y, tuple) else (y,), spaces_of(A.range)):
            entries = part.abs().flatten(part.ndim - len(space.shape))
            total, count = total + entries.sum(-1) / unit, count + entries.shape[-1]
        signal = (total / count).clamp_min(torch.finfo(sigma.dtype).tiny)
        shift = unit**2 * (FLOOR + sigma / signal) / self.log_balance.exp()
        found: Any = least_squares(A, y, shift=shift.expand(batch), center=back, rtol=RTOL)
        return found

    def _network(self, x: Tensor, levels: Tensor, gram: Gram) -> Tensor:
        """The U-Net, from images (n, channel, *spatial) and noise levels (n, 2)."""
        head = str(x.shape[1])
        maps = levels.reshape(*levels.shape, *(1,) * self.spatial_dims).expand(*levels.shape, *x.shape[2:])
        factors = [2**k for k in range(len(self.features))]
        images = [gram.krylov(reduced(x, s, self.spatial_dims), s) for s in factors]

        def through(blocks: Any, h: Tensor, k: int) -> Tensor:
            for block in blocks:
                h = block(h, images[k], head, lambda u: gram.krylov(u, factors[k]))
            return h

        h, skips = self.head[head](torch.cat([x, maps], dim=1)), []
        for k, (blocks, down) in enumerate(zip(self.encoder, self.down)):
            skips.append(h)
            h = down(through(blocks, h, k))
        h = through(self.bottom, h, len(factors) - 1)
        for k in reversed(range(len(factors) - 1)):
            h = through(self.decoder[k], self.up[k](h) + skips.pop(), k)
        return x + self.tail[head](h)


class Conditioned(nn.Module):
    """A residual block that applies the operator to images made of its features."""

    def __init__(self, features: int, channels: tuple[int, ...], conv: Any) -> None:
        super().__init__()
        self.block = ResidualBlock(features, conv, bias=False)
        self.decode = nn.ModuleDict(
            {str(c): conv(features, 2 * c, 3, padding=1, bias=False) for c in channels}
        )
        self.encode = nn.ModuleDict(
            {str(c): conv(6 * c, features, 3, padding=1, bias=False) for c in channels}
        )

    def forward(self, h: Tensor, image: Tensor, head: str, krylov: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply the block; ``image`` is the Krylov pair of the input on this scale."""
        seen = torch.cat([image, krylov(self.decode[head](h))], dim=1)
        return self.block(h) + torch.relu(self.encode[head](seen))


class Gram:
    """AᴴA/‖A‖² on images of a scale: enlarged, through the operator, and reduced."""

    def __init__(self, A: LinearOperator, unit: Tensor, batch: tuple[int, ...], dims: int) -> None:
        self.A, self.unit, self.batch, self.dims = A, unit, batch, dims

    def krylov(self, u: Tensor, factor: int) -> Tensor:
        """Images (n, k channel, *coarse), each k-th part of the channels an image, and their Gram."""
        space, d = self.A.domain, self.dims
        assert isinstance(space, Space)
        u = u.to(self.unit.dtype)  # autocast lowers what a convolution returns, and operators take no less
        count = space.shape[0] * (2 if space.kind == "complex" else 1)
        parts = u.reshape(*self.batch, -1, count, *u.shape[2:]).movedim(len(self.batch), 0)
        seen = self.A.gram(as_image(enlarged(parts, factor, space.shape[1:]), space, d))
        seen = as_channels(scaled(self.unit**-2, seen, space), d)
        for dim, (n, wanted) in enumerate(zip(space.shape[1:], u.shape[2:]), -d):
            more = list(seen.shape)
            more[dim] = wanted * factor - n
            seen = torch.cat([seen, seen.new_zeros(more)], dim)
        back = reduced(seen, factor, d).movedim(0, len(self.batch))
        return torch.cat([u, back.reshape(u.shape)], dim=1)


def enlarged(x: Tensor, factor: int, size: tuple[int, ...]) -> Tensor:
    """Repeat each pixel ``factor`` times along each axis, and crop to ``size``."""
    for dim, n in zip(range(-len(size), 0), size):
        x = x.repeat_interleave(factor, dim).narrow(dim, 0, n)
    return x


def reduced(x: Tensor, factor: int, dims: int) -> Tensor:
    """The mean of each cell of ``factor`` pixels along each of the last axes."""
    for dim in range(-dims, 0):
        x = x.unflatten(dim, (-1, factor)).movedim(dim, -1).mean(-1) if factor > 1 else x
    return x


def as_channels(x: Tensor, dims: int) -> Tensor:
    """Complex images as real ones with twice as many channels."""
    return torch.cat([x.real, x.imag], dim=-dims - 1) if x.is_complex() else x


def as_image(x: Tensor, space: Space, dims: int) -> Tensor:
    """The inverse of `as_channels`."""
    return torch.complex(*x.chunk(2, dim=-dims - 1)) if space.kind == "complex" else x
