"""The density of images under a flow."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from invcore import ParameterError
from invcore.samplers import Sampler

from .velocity import Velocity, velocity_of

EXACT = 64
"""Pixels up to which the divergence of a velocity is computed entry by entry."""


def divergence(
    velocity: Callable[[Tensor], Tensor], x: Tensor, dims: int, probe: Tensor | None
) -> tuple[Tensor, Tensor]:
    """(v(x), div v) of real images with ``dims`` dimensions each: exact, or ⟨e, J e⟩ for a probe e."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        v = velocity(x)
        flat = tuple(range(-dims, 0))
        if probe is not None:
            (g,) = torch.autograd.grad(v, x, probe)
            return v.detach(), (g * probe).sum(flat)
        n, total = math.prod(x.shape[-dims:]), torch.zeros(x.shape[:-dims], dtype=x.dtype, device=x.device)
        for i in range(n):
            unit = torch.zeros(n, dtype=x.dtype, device=x.device)
            unit[i] = 1
            (g,) = torch.autograd.grad(v, x, unit.view(x.shape[-dims:]).expand_as(v), retain_graph=i < n - 1)
            total = total + g.flatten(-dims)[..., i]
    return v.detach(), total


def flow_log_density(
    velocity: Any,
    x: Tensor,
    *,
    sigma: float = 0.0,
    spatial_dims: int = 2,
    steps: int = 100,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""The log-density of images, or of images with noise, under a flow.

    .. math:: \log p_t(x_t) = \log N(x_0; 0, 1) - \int_0^t \operatorname{div} v(x_s, s) \, ds

    along the path that ends at the image [1]_, by the Runge-Kutta method of fourth order. Images with noise
    σ are on it at t = 1/(1 + σ): log p_σ(x) = log p_t(t x) + n log t. The divergence is exact for images of
    up to 64 pixels, else estimated by ⟨e, J e⟩ with one random vector e of signs for the path.

    Parameters
    ----------
    velocity : Velocity or Module
        ``velocity(x, t)``.
    x : Tensor, shape (batch..., channel, *spatial)
        Real.
    sigma : float
        The noise in x. A `Velocity`, which knows times before 1 only, needs a positive one, and the smaller
        it is the more steps.
    spatial_dims : int
        Of a velocity that does not say it.
    steps : int
    generator : torch.Generator, optional
        For the estimate.

    Returns
    -------
    Tensor, shape (batch...)

    Raises
    ------
    ParameterError

    References
    ----------
    .. [1] W. Grathwohl, R. T. Q. Chen, J. Bettencourt, I. Sutskever, D. Duvenaud, FFJORD: free-form
       continuous dynamics for scalable reversible generative models, ICLR 2019.

    Examples
    --------
    >>> from invcore_diffusion import gaussian_flow
    >>> v = gaussian_flow(mean=torch.zeros(1, 1), covariance=torch.full((1, 1), 3.0))
    >>> flow_log_density(v, torch.zeros(1, 1), sigma=1.0)  # N(0, 4)
    tensor(-1.6121)
    """
    if isinstance(velocity, Velocity):
        spatial_dims = velocity.denoiser.spatial_dims
        if not sigma > 0:
            raise ParameterError("flow_log_density: the velocity of a denoiser needs sigma > 0")
    if x.is_complex() or not sigma >= 0:
        raise ParameterError(
            f"flow_log_density: expected real images and sigma >= 0, got {x.dtype}, {sigma!r}"
        )
    dims = spatial_dims + 1
    batch, n = x.shape[: x.ndim - dims], math.prod(x.shape[x.ndim - dims :])
    probe = None
    if n > EXACT:
        if generator is None:
            raise ParameterError(f"flow_log_density: images of {n} pixels need a generator, for the estimate")
        probe = torch.sign(Sampler.noise(x, generator))
    end = 1 / (1 + sigma)
    z, total, h = end * x, torch.zeros(batch, dtype=x.dtype, device=x.device), -end / steps
    for k in range(steps):
        z, change = _runge_kutta(velocity, z, end + k * h, h, dims, probe)
        total = total + change
    normal = -(z.square().flatten(-dims).sum(-1) + n * math.log(2 * math.pi)) / 2
    return normal + total + n * math.log(end)


def _runge_kutta(
    velocity: Any, x: Tensor, t: float, h: float, dims: int, probe: Tensor | None
) -> tuple[Tensor, Tensor]:
    """One step of x and of the integral of the divergence."""

    def field(x: Tensor, t: float) -> Any:
        times = torch.full(x.shape[: x.ndim - dims], max(t, 0.0), dtype=x.dtype, device=x.device)
        return divergence(lambda z: velocity_of(velocity, z, times), x, dims, probe)

    a, da = field(x, t)
    b, db = field(x + h / 2 * a, t + h / 2)
    c, dc = field(x + h / 2 * b, t + h / 2)
    d, dd = field(x + h * c, t + h)
    return x + h / 6 * (a + 2 * b + 2 * c + d), h / 6 * (da + 2 * db + 2 * dc + dd)
