"""Distribution matching: images with the law of others, by the difference of two velocities."""

from __future__ import annotations

from dataclasses import field
from typing import Any, ClassVar

import torch
from torch import Tensor

from invcore import ParameterError, Physics
from invcore.samplers import Sampler
from invcore.spaces import batch_shape, check, space_of
from invcore_learning import StochasticLoss

from .velocity import velocity_of


class DistributionMatching(StochasticLoss):
    r"""How to change images so that they have the law of others, of which a velocity field is known [1]_.

    .. math:: L = \langle v_{cur}(z_t, t) - v_{obs}(z_t, t),\; \hat x \rangle / n, \qquad
       z_t = (1 - t) ε + t \hat x,

    where no gradient goes through the velocities, v_obs of the law that is wanted and v_cur of the one that
    x̂ has. Its value says nothing, its gradient is that of ((1 - t)/t²) KL(p_cur,t ‖ p_obs,t)/n, which is zero
    where both laws agree; while x̂ changes v_cur must follow. x̂ may be what a model makes, or data that a
    learned operator makes of images: see `learn_operator`.

    Parameters
    ----------
    observed, current : Velocity or Module
        v_obs and v_cur, ``v(z, t)`` for images ``(n, channel, *spatial)`` and times ``(n,)``.
    times : tuple of float
        t is uniform between these two.

    References
    ----------
    .. [1] G. Meanti, T. Ryckeboer, M. Arbel, J. Mairal, Unsupervised imaging inverse problems with diffusion
       distribution matching, ICCV 2025.

    Examples
    --------
    >>> from invcore_diffusion import gaussian_flow
    >>> one = torch.ones(1, 1)
    >>> wanted, now = (gaussian_flow(mean=m * one, covariance=one) for m in (1.0, 0.0))
    >>> x = torch.zeros(8, 1, 1, requires_grad=True)
    >>> DistributionMatching(observed=wanted, current=now)(x, None, None, None, None).sum().backward()
    >>> bool((x.grad < 0).all())  # larger images are wanted
    True
    """

    observed: Any = field(kw_only=True)
    current: Any = field(kw_only=True)
    times: tuple[float, float] = (0.0, 0.95)
    stops_gradients: ClassVar[bool] = True

    def __post_init__(self) -> None:
        low, high = self.times
        if not 0 <= low <= high < 1:
            raise ParameterError(
                f"DistributionMatching: expected times (low, high), 0 <= low <= high < 1, got {self.times!r}"
            )
        for name in ("observed", "current"):
            if not callable(getattr(self, name)):
                raise ParameterError(f"DistributionMatching: {name} must be a velocity v(z, t)")

    def __call__(self, x_hat: Tensor, x: Tensor | None, y: Any, physics: Any, model: Any) -> Tensor:
        """See `TrainingLoss`; without ``physics`` images are (n, channel, *spatial)."""
        if isinstance(physics, Physics):
            check(x_hat, physics.domain, "DistributionMatching: x_hat")
            if y is not None:
                check(y, physics.range, "DistributionMatching: y")
            space: Any = physics.domain
        else:
            space = space_of(x_hat[0])
        batch = batch_shape(x_hat, space)
        z = x_hat.reshape(-1, *space.shape)
        if not len(z):
            return z.real.reshape(*batch, -1).sum(-1)
        generators = self.generators("path", batch)
        one: Any = {"dtype": z.real.dtype}
        host = torch.empty(space.shape, dtype=z.dtype)
        share = torch.stack([torch.rand((), generator=g, **one) for g in generators]).to(z.device)
        noise = torch.stack([Sampler.noise(host, g) for g in generators]).to(z.device)
        t = self.times[0] + (self.times[1] - self.times[0]) * share
        with torch.no_grad():
            each = t.reshape(-1, *(1,) * len(space.shape))
            z_t = (1 - each) * noise + each * z
            away = velocity_of(self.current, z_t, t) - velocity_of(self.observed, z_t, t)
        return (away.conj() * z).real.flatten(1).mean(1).reshape(batch)
