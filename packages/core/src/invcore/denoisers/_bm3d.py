"""Block matching and 3-D filtering."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from .._errors import ParameterError
from ._base import Denoiser
from ._block_matching import Pass, collaborative_filter
from ._windows import flat_batch, require_real

_OPPONENT = ((1 / 3, 1 / 3, 1 / 3), (1 / 2, 0.0, -1 / 2), (1 / 4, -1 / 2, 1 / 4))
_LOUD = 40 / 255
"""Above this noise level, relative to the peak, the parameters for strong noise are used."""


class BM3D(Denoiser):
    """Block matching and 3-D filtering: stacks of similar blocks are shrunk in a 3-D transform domain.

    Two passes [1]_. The first thresholds the coefficients T₃(Z) of each stack Z of blocks of the noisy image
    at 2.7 σ (blocks 8 × 8, 2-D transform bior1.5, Haar transform along the stack of at most 16 blocks); the
    second matches the blocks in that first estimate b and multiplies the coefficients of stacks of at most 32
    blocks (DCT, Haar) by the Wiener weights |T₃(b)|² / (|T₃(b)|² + σ²). Blocks return to their places,
    weighted by the inverse of the noise variance left in their stack and by a Kaiser window. The parameters
    are those of the authors' "normal profile", and above σ = 40/255 of the peak those they give for strong
    noise (λ = 2.8, 11 × 11 blocks in the second pass, larger matching distances; without the coarse
    prefiltering of distances).

    Images of three channels are taken to be RGB: blocks are matched in the luminance and the stacks filtered
    in an opponent color space [2]_. With ``color="separate"``, and for any other number of channels, each
    channel is denoised alone. Memory grows with the width of the image, not its area, unless derivatives are
    recorded; these take the matching and the thresholding decisions as fixed. Real images.

    Parameters
    ----------
    peak : float
        Largest value of clean images: sets the scale of the matching distances.
    color : "opponent" or "separate"
    wiener : bool
        Whether to run the second pass.
    stride : int
        Distance between reference blocks; more is faster and slightly worse.
    window : int
        Side of the search window, odd.

    References
    ----------
    .. [1] K. Dabov, A. Foi, V. Katkovnik, K. Egiazarian, "Image denoising by sparse 3-D transform-domain
       collaborative filtering", IEEE Trans. Image Process. 16 (2007).
    .. [2] K. Dabov, A. Foi, V. Katkovnik, K. Egiazarian, "Color image denoising via sparse 3-D collaborative
       filtering with grouping constraint in luminance-chrominance space", ICIP (2007).

    Examples
    --------
    >>> x = torch.zeros(1, 24, 24)
    >>> x[..., 12:] = 1
    >>> y = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    >>> error = (BM3D()(y, 0.1) - x).square().mean().sqrt()
    >>> bool(error < 0.03)
    True
    """

    channels: ClassVar[int | None] = None
    sigma_range: ClassVar[tuple[float, float]] = (0.0, math.inf)
    spatial_dims: ClassVar[int] = 2

    peak: float = 1.0
    color: Literal["opponent", "separate"] = "opponent"
    wiener: bool = True
    stride: int = 3
    window: int = 39

    def __post_init__(self) -> None:
        if not 0 < self.peak < math.inf:
            raise ParameterError(f"BM3D: peak must be positive and finite, got {self.peak!r}.")
        if self.color not in ("opponent", "separate"):
            raise ParameterError(f"BM3D: color must be 'opponent' or 'separate', got {self.color!r}.")
        if not 1 <= self.stride <= 8:
            raise ParameterError(f"BM3D: stride must be from 1 to 8, got {self.stride!r}.")
        if self.window < 1 or self.window % 2 == 0:
            raise ParameterError(f"BM3D: window must be odd and positive, got {self.window!r}.")

    @property
    def value_range(self) -> tuple[float, float]:  # type: ignore[override]
        """Clean images lie between 0 and the peak."""
        return 0.0, float(self.peak)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        require_real(self, x)
        images, levels = flat_batch(x, sigma, 2)
        if not x.numel():
            return x.clone()
        return torch.stack([self._one(image, s) for image, s in zip(images, levels)]).view(x.shape)

    def _one(self, x: Tensor, sigma: Tensor) -> Tensor:
        """One image ``(channel, y, x)``."""
        level = float(sigma)
        if level == 0:
            return x
        first, second = self._passes(level > _LOUD * self.peak)
        side = max(first.block, second.block)
        missing = [max(0, side - n) for n in x.shape[:0:-1]]
        padded = x
        if any(missing):
            padded = torch.nn.functional.pad(x[None], (0, missing[0], 0, missing[1]), mode="replicate")[0]
        if x.shape[0] == 3 and self.color == "opponent":
            mix = x.new_tensor(_OPPONENT)
            mixed = torch.einsum("dc,chw->dhw", mix, padded)
            out = torch.einsum(
                "dc,chw->dhw",
                torch.linalg.inv(mix),
                self._two_passes(mixed, sigma * mix.norm(dim=1), first, second),
            )
        else:
            out = torch.cat([self._two_passes(c[None], sigma[None], first, second) for c in padded])
        return out[:, : x.shape[1], : x.shape[2]]

    def _two_passes(self, x: Tensor, sigma: Tensor, first: Pass, second: Pass) -> Tensor:
        basic = collaborative_filter(x, sigma, None, first)
        return collaborative_filter(x, sigma, basic, second) if self.wiener else basic

    def _passes(self, loud: bool) -> tuple[Pass, Pass]:
        unit = (self.peak / 255) ** 2
        if not loud:
            return (
                Pass(8, self.stride, 16, self.window, 2500 * unit, "bior1.5", 2.7),
                Pass(8, self.stride, 32, self.window, 400 * unit, "dct"),
            )
        return (
            Pass(8, self.stride + 1, 32, self.window, 25000 * unit, "bior1.5", 2.8),
            Pass(11, 2 * self.stride, 32, self.window, 3500 * unit, "dct"),
        )
