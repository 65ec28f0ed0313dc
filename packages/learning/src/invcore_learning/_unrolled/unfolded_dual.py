"""Unfolded proximal networks: iterations on the dual of analysis denoising, with learned filters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import Parameter, functional

import invcore

from .._networks.base import Network
from .parameter import Number

CONVOLVE: dict[int, Any] = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
VARIANTS = ("dfb", "difb", "cp", "sccp")
_INERTIA = 3.0


class UnfoldedDual(Network):
    r"""Denoise by some iterations on the dual of an analysis prior whose filters are learned [1]_.

    They are those that solve

    .. math:: \min_x ½‖x - z‖^2 + ν‖Dx‖_1, \quad ν = ν_0 σ^2,

    with a filter bank D (periodic convolutions) of their own for each step, D_k: forward-backward on the dual
    (``"dfb"``), with inertia (``"difb"``), Chambolle-Pock (``"cp"``), or its variant for strong convexity
    (``"sccp"``). Their step sizes follow from ‖D_k‖, which is known. Filters and ν₀ are learned. A
    network of few weights; if one D serves all steps, more steps tend to the proximal operator of ν‖D·‖₁,
    which is nonexpansive. A few steps need not be.

    Parameters
    ----------
    in_channels : int
    features : int
        The number of filters J.
    kernel_size : int
        Odd.
    steps : int
    variant : {"dfb", "difb", "cp", "sccp"}
    tied : bool
        One D for all steps.
    tight : bool
        Filters that form a Parseval frame, :math:`D^{\mathsf T}D = I`, whatever their weights are; needs J of
        at least in_channels times the size of the kernel.
    apart : bool
        Learn the filters that take the place of Dᵀ apart from those of D: more freedom, and no longer an
        algorithm that minimizes something (LFO in [1]_). They start as Dᵀ; step sizes follow from the
        geometric mean of both norms.
    strength : float
        ν₀ > 0 at the start.
    value_range : tuple of float or None
        The result is clipped to it.
    spatial_dims : int
        1, 2 or 3.

    Raises
    ------
    ParameterError

    References
    ----------
    .. [1] H. T. V. Le, A. Repetti, N. Pustelnik, "Unfolded proximal neural networks for robust image Gaussian
       denoising", IEEE Trans. Image Process. 33 (2024).

    Examples
    --------
    >>> D = UnfoldedDual(features=9, steps=5, tight=True)
    >>> D(torch.rand(2, 1, 8, 8), 0.1).shape
    torch.Size([2, 1, 8, 8])
    """

    noise_level = True

    def __init__(
        self,
        *,
        in_channels: int = 1,
        features: int = 64,
        kernel_size: int = 3,
        steps: int = 20,
        variant: Literal["dfb", "difb", "cp", "sccp"] = "dfb",
        tied: bool = False,
        tight: bool = False,
        apart: bool = False,
        strength: float = 10.0,
        value_range: tuple[float, float] | None = (0.0, 1.0),
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        size = in_channels * kernel_size**spatial_dims
        if variant not in VARIANTS or spatial_dims not in CONVOLVE or kernel_size % 2 != 1:
            raise invcore.ParameterError(
                f"UnfoldedDual: variant is one of {VARIANTS}, spatial_dims 1, 2 or 3, kernel_size odd; got "
                f"{variant!r}, {spatial_dims!r} and {kernel_size!r}"
            )
        if tight and apart:
            raise invcore.ParameterError(
                "UnfoldedDual: tight=True is about one D and its adjoint; it excludes apart=True"
            )
        if tight and features < size:
            raise invcore.ParameterError(
                f"UnfoldedDual: a tight frame needs at least {size} filters (in_channels times the size of "
                f"the kernel), got features={features}"
            )
        self.in_channels = self.out_channels = in_channels
        self.features, self.kernel_size, self.steps, self.variant = features, kernel_size, steps, variant
        self.tied, self.tight, self.apart, self.strength = tied, tight, apart, strength
        self.value_range, self.spatial_dims = value_range, spatial_dims
        shape = (features, in_channels, *(kernel_size,) * spatial_dims)
        self.filters = Parameter(torch.randn(1 if tied else steps, *shape) / size**0.5)
        self.back = Parameter(self.filters.detach().clone()) if apart else None
        self.scale = Number(torch.tensor(strength), 0.0, dtype=torch.float32)

    def restore(self, x: Tensor, sigma: Tensor | None) -> Tensor:
        """See `Network.restore`."""
        assert sigma is not None
        banks = [self._bank(w) for w in self.filters]
        adjoints = banks if self.back is None else list(self.back)
        norms = [torch.ones((), dtype=x.dtype, device=x.device)] * len(banks)
        if not self.tight:
            norms = [squared_norm(w.detach(), tuple(x.shape[2:])) for w in banks]
        if self.back is not None:
            others = [squared_norm(w.detach(), tuple(x.shape[2:])) for w in adjoints]
            norms = [(a * b).sqrt() for a, b in zip(norms, others)]
        own = lambda values, k: values[min(k, len(values) - 1)]
        level = self.scale() * sigma**2
        y = denoised(
            lambda k, v: analysis(v, own(banks, k)),
            lambda k, u: synthesis(u, own(adjoints, k)),
            lambda k: own(norms, k),
            x,
            level,
            self.steps,
            self.variant,
        )
        return y if self.value_range is None else y.clamp(*self.value_range)

    def _bank(self, weights: Tensor) -> Tensor:
        """The filters of a step; those of a Parseval frame have orthogonal rows as a matrix."""
        if not self.tight:
            return weights
        q, _ = torch.linalg.qr(weights.flatten(1))
        return q.reshape(weights.shape) / self.kernel_size ** (self.spatial_dims / 2)


def denoised(
    D: Callable[[int, Tensor], Tensor],
    adjoint: Callable[[int, Tensor], Tensor],
    squared: Callable[[int], Any],
    z: Tensor,
    level: Any,
    steps: int,
    variant: str,
) -> Tensor:
    """Iterations for the minimizer of ½‖x - z‖² + ν‖Dx‖₁, with D, its adjoint and ‖D‖² of step k."""
    clip = lambda u: torch.maximum(torch.minimum(u, level), -level)
    u = before = torch.zeros_like(D(0, z))
    level = torch.as_tensor(level, dtype=z.dtype, device=z.device)
    if variant in ("dfb", "difb"):
        for k in range(steps):
            v = u
            if variant == "difb" and k:
                t, t_new = ((j + _INERTIA - 1) / _INERTIA for j in (k, k + 1))
                v = u + (t - 1) / t_new * (u - before)
            step = (1.99 if variant == "dfb" else 0.99) / squared(k)
            before, u = u, clip(v + step * D(k, z - adjoint(k, v)))
        return z - adjoint(steps - 1, u)
    x, mu, alpha = z, 1.0, 1.0
    for k in range(steps):
        new = (x + mu * (z - adjoint(k, u))) / (1 + mu)
        u = clip(u + 0.99 / (mu * squared(k)) * D(k, new + alpha * (new - x)))
        x = new
        if variant == "sccp":
            alpha = (1 + 2 * mu) ** -0.5
            mu = alpha * mu
    return x


def analysis(x: Tensor, filters: Tensor) -> Tensor:
    """Dx: periodic correlations of (n, c, *spatial) with each filter, (n, J, *spatial)."""
    dims = filters.ndim - 2
    half = filters.shape[-1] // 2
    wrapped = functional.pad(x, (half, half) * dims, mode="circular") if half else x
    return CONVOLVE[dims](wrapped, filters)


def synthesis(u: Tensor, filters: Tensor) -> Tensor:
    """The adjoint of `analysis`."""
    return analysis(u, filters.flip(tuple(range(2, filters.ndim))).transpose(0, 1))


def squared_norm(filters: Tensor, size: tuple[int, ...]) -> Tensor:
    """‖D‖² on images of this size: the largest value of the transfer function of DᵀD.

    An upper bound for several channels, and for images that do not hold the kernel of DᵀD.
    """
    dims, n = filters.ndim - 2, 2 * filters.shape[-1] - 1
    swapped = filters.transpose(0, 1)
    kernel = CONVOLVE[dims](swapped, swapped, padding=filters.shape[-1] - 1)  # (c, c, *)
    grid = tuple(m * -(-n // m) for m in size)  # a multiple of the image that holds the kernel
    transfer = torch.fft.fftn(kernel, s=grid, dim=tuple(range(2, filters.ndim))).abs()
    return transfer.sum(1).amax()
