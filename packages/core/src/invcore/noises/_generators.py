"""Random noise levels, for training and simulation."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from .._errors import ParameterError
from .._value import Value


class SigmaUniform(Value):
    """Noise levels σ, one per sample, uniform (or log-uniform) between two limits.

    Returns ``{"sigma": Tensor}``, ready for ``physics(x, generator=g, **levels)``.

    Parameters
    ----------
    low, high : float
        0 <= low <= high; 0 < low for the logarithmic scale.
    scale : {"linear", "log"}
        "log" draws log σ uniformly.

    Raises
    ------
    ParameterError

    References
    ----------
    K. Zhang, W. Zuo, L. Zhang, "FFDNet: toward a fast and flexible solution for CNN-based image denoising",
    IEEE Trans. Image Process. 27 (2018): training over a range of levels.

    Examples
    --------
    >>> levels = SigmaUniform(low=0.1, high=0.2)(batch=(4,), generator=torch.Generator().manual_seed(0))
    >>> levels["sigma"].shape, bool(((levels["sigma"] >= 0.1) & (levels["sigma"] <= 0.2)).all())
    (torch.Size([4]), True)
    """

    low: float
    high: float
    scale: Literal["linear", "log"] = "linear"

    def __post_init__(self) -> None:
        _check(self)

    def __call__(
        self, batch: tuple[int, ...] = (), *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Draw ``sigma`` of shape ``batch``."""
        return {"sigma": _draw(self, batch, generator)}


class GainUniform(Value):
    """Gains γ of Poisson noise, one per sample, uniform (or log-uniform) between two limits.

    Returns ``{"gain": Tensor}``, ready for ``physics(x, generator=g, **gains)``.

    Parameters
    ----------
    low, high : float
        0 < low <= high, data units per count.
    scale : {"linear", "log"}
        "log" draws log γ uniformly.

    Raises
    ------
    ParameterError

    References
    ----------
    A. Foi, M. Trimeche, V. Katkovnik, K. Egiazarian, IEEE Trans. Image Process. 17 (2008).

    Examples
    --------
    >>> draw = GainUniform(0.01, 1.0, scale="log")
    >>> gains = draw(batch=(3,), generator=torch.Generator().manual_seed(0))
    >>> gains["gain"].shape
    torch.Size([3])
    """

    low: float
    high: float
    scale: Literal["linear", "log"] = "linear"

    def __post_init__(self) -> None:
        _check(self)
        if not self.low > 0:
            raise ParameterError(f"GainUniform: low must be > 0, got {self.low!r}")

    def __call__(
        self, batch: tuple[int, ...] = (), *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Draw ``gain`` of shape ``batch``."""
        return {"gain": _draw(self, batch, generator)}


def _check(holder: Any) -> None:
    name = type(holder).__name__
    if not 0 <= holder.low <= holder.high < math.inf:
        raise ParameterError(
            f"{name}: expected 0 <= low <= high, got low={holder.low!r}, high={holder.high!r}"
        )
    if holder.scale not in ("linear", "log"):
        raise ParameterError(f"{name}: scale must be 'linear' or 'log', got {holder.scale!r}")
    if holder.scale == "log" and not holder.low > 0:
        raise ParameterError(f"{name}: low must be > 0 for the logarithmic scale, got {holder.low!r}")


def _draw(holder: Any, batch: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    if generator is None:
        raise ParameterError(
            f"{type(holder).__name__} draws random numbers: pass generator=torch.Generator().manual_seed(0). "
            "invcore never uses the global generator."
        )
    n = math.prod(batch)
    draws = [torch.rand((), generator=generator, device=generator.device) for _ in range(n)]
    x = torch.stack(draws) if draws else torch.zeros(0, device=generator.device)
    x = x.reshape(batch)
    if holder.scale == "linear":
        return torch.lerp(torch.full_like(x, holder.low), torch.full_like(x, holder.high), x)
    return torch.exp(math.log(holder.low) + x * math.log(holder.high / holder.low))
