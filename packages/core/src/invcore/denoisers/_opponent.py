"""A denoiser of gray images for color ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .._errors import ParameterError
from ._base import Denoiser
from ._wrappers import Wrapper

_CHROMA = math.sqrt(6) / 4  # what brings (R - 2 G + B)/√6 of colors in [0, 1] into [-1/2, 1/2]


class Opponent(Wrapper):
    r"""A denoiser of gray images for color ones: in opponent colors, as BM3D is for color images [1]_.

    The orthonormal transform

    .. math:: (R + G + B)/\sqrt 3, \quad (R - B)/\sqrt 2, \quad (R - 2 G + B)/\sqrt 6

    leaves white noise white, and puts nearly all detail into the first channel. Divided by √3 that is a gray
    image with the noise σ/√3, which D removes better than that of R, G and B one by one. The two differences
    have both signs: where D has a range of values, they are brought into it, (D(m + s u, s σ) - m)/s with its
    middle m and s = √6/4.

    Parameters
    ----------
    denoiser : Denoiser
        D, for one channel or any number.

    Raises
    ------
    ParameterError
        If D takes another number of channels.

    References
    ----------
    .. [1] K. Dabov, A. Foi, V. Katkovnik, K. Egiazarian, "Color image denoising via sparse 3D collaborative
       filtering with grouping constraint in luminance-chrominance space", ICIP (2007).

    Examples
    --------
    >>> from invcore.denoisers import Median
    >>> x = torch.tensor([0.2, 0.4, 0.9]).reshape(3, 1, 1).expand(3, 5, 5)
    >>> torch.allclose(Opponent(Median())(x, 0.1), x)
    True
    """

    denoiser: Denoiser

    def __post_init__(self) -> None:
        if self.denoiser.channels not in (None, 1):
            raise ParameterError(
                f"Opponent: expected a denoiser of gray images, got one of {self.denoiser.channels} channels"
            )

    @property
    def channels(self) -> int:  # type: ignore[override]
        """Three."""
        return 3

    @property
    def sigma_range(self) -> tuple[float, float]:  # type: ignore[override]
        """That in which all three channels are in the range of the denoiser."""
        low, high = self.denoiser.sigma_range
        return math.sqrt(3) * low, high / self._scale

    @property
    def _scale(self) -> float:
        """The factor s of the differences."""
        return 1.0 if self.denoiser.value_range is None else _CHROMA

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """See `Denoiser.denoise`."""
        dim, s = x.ndim - self.spatial_dims - 1, self._scale
        red, green, blue = x.unbind(dim)
        gray = (red + green + blue) / 3
        differences = (red - blue) / math.sqrt(2), (red - 2 * green + blue) / math.sqrt(6)
        middle = 0.0 if self.denoiser.value_range is None else sum(self.denoiser.value_range) / 2
        seen = torch.stack([gray, *(middle + s * u for u in differences)]).unsqueeze(dim + 1)
        level = sigma.reshape(x.shape[:dim]) if sigma.ndim else sigma
        levels = torch.stack([level / math.sqrt(3), s * level, s * level]).clamp(*self.denoiser.sigma_range)
        if not sigma.ndim:
            levels = levels.reshape(3, *(1,) * dim).expand(3, *x.shape[:dim])
        gray, *rest = self.denoiser(seen, levels).squeeze(dim + 1).unbind(0)
        first, second = ((u - middle) / s for u in rest)
        green = gray - math.sqrt(2 / 3) * second
        outer = gray + second / math.sqrt(6)
        return torch.stack([outer + first / math.sqrt(2), green, outer - first / math.sqrt(2)], dim)
