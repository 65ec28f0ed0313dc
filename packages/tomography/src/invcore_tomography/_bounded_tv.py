"""Total variation of images that are known to lie between bounds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from invcore import DtypeError, Physics
from invcore.fidelities import Fidelity
from invcore.operators import Differences, Space
from invcore.priors import TV, Box, Prior, Weight
from invcore.spaces import broadcast_shapes


class BoundedTV(Prior):
    r"""Total variation of images between bounds, and infinity of all others.

    .. math:: g(x) = \sum_i |∇x|_i \text{ if } l ≤ x ≤ u, \quad ∞ \text{ else}.

    Attenuation is not negative; often the densest material is known, or a region of air, where the upper
    bound is zero. In scans from few directions the bounds settle what the data leave open: total variation
    alone trades gray values along the missing directions.

    The proximal operator is not a composition of those of the two parts: it solves the dual problem by
    accelerated projected gradients with restarts [1]_, the bounds inside, until the duality gap is below
    ``rtol`` times the primal value. ``weight="auto"`` is that of `invcore.priors.TV`. Real images only.

    Parameters
    ----------
    lower, upper : float or Tensor, broadcastable to the image
        l and u; infinite where there is no bound.

    References
    ----------
    .. [1] A. Beck and M. Teboulle, "Fast gradient-based algorithms for constrained total variation image
       denoising and deblurring problems", IEEE Trans. Image Process. 18 (2009).

    Examples
    --------
    >>> g = BoundedTV(spatial_dims=1, lower=0.0)
    >>> x = torch.tensor([[-1.0, -1.0, 2.0, 2.0]])
    >>> g.value(x), g.value(x.clamp_min(0))
    (tensor(inf), tensor(2.))
    >>> g.prox(x, 0.5).round(decimals=2)  # total variation alone would give [-0.75, 1.75]
    tensor([[0.0000, 0.0000, 1.7500, 1.7500]])
    """

    power = 1
    units = {"lower": 1, "upper": 1}
    lower: float | Tensor = 0.0
    upper: float | Tensor = torch.inf
    spatial_dims: int = 2
    rtol: float = 1e-5
    max_steps: int = 2000
    params = ("lower", "upper")
    maps = ("lower", "upper")

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._box

    def _value(self, x: Tensor, space: Space) -> Tensor:
        return TV(spatial_dims=self.spatial_dims).value(x, space) + self._box.value(x, space)

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        if x.is_complex():
            raise DtypeError(f"BoundedTV: bounds are for real numbers; expected a real image, got {x.dtype}")
        ndim = len(space.shape)
        K = Differences(domain=space, spatial_dims=self.spatial_dims)
        axes = tuple(range(-ndim, 0))
        # axes of the vector at each pixel: spatial axis and channel
        inside = tuple(range(-ndim - 1, -self.spatial_dims))
        t = self._steps(step, x)
        batch = broadcast_shapes(x.shape[: x.ndim - ndim], t.shape)
        v, t = x.expand(*batch, *space.shape), t.expand(batch).reshape(*batch, *(1,) * ndim)
        tau = 1 / (4 * self.spatial_dims)
        limit = t.unsqueeze(-ndim - 1)
        rtol = max(self.rtol, 4 * torch.finfo(x.dtype).eps)
        p = q = torch.zeros_like(K._apply(v))
        momentum = torch.zeros_like(t)
        best = torch.full_like(t, torch.inf)
        done = torch.zeros_like(t, dtype=torch.bool)
        result = self._box.prox(v, 1.0)
        for k in range(1, self.max_steps + 1):
            z = self._box.prox(v - K._apply_adjoint(q), 1.0)
            new = q + tau * K._apply(z)
            size = new.square().sum(inside, keepdim=True).sqrt()
            new = new * (limit / torch.maximum(size, limit).clamp_min(torch.finfo(x.dtype).tiny))
            if k % 10 == 0 or k == self.max_steps:
                w = v - K._apply_adjoint(new)
                z = self._box.prox(w, 1.0)
                Kz = K._apply(z)
                with torch.no_grad():
                    variation = t * Kz.square().sum(inside, keepdim=True).sqrt().sum(
                        (-ndim - 1, *axes), keepdim=True
                    ).squeeze(-ndim - 1)
                    gap = variation - (Kz * new).sum((-ndim - 1, *axes), keepdim=True).squeeze(-ndim - 1)
                    primal = (z - v).square().sum(axes, keepdim=True) / 2 + variation
                    cost = (w.square() - (w - z).square()).sum(axes, keepdim=True) / 2
                    momentum = torch.where(cost > best, 0.0, momentum)
                    best = cost
                result = torch.where(done, result, z)
                done = done | (gap <= rtol * primal)
                if bool(done.all()):
                    break
            momentum = momentum + 1
            q = new + (momentum / (momentum + 3)).unsqueeze(-ndim - 1) * (new - p)
            p = new
        return torch.where(t > 0, result, self._box.prox(v, 1.0))

    def suggested_weight(self, y: Any, physics: Physics, fidelity: Fidelity | None = None) -> Weight:
        return TV(spatial_dims=self.spatial_dims).suggested_weight(y, physics, fidelity)

    @property
    def _box(self) -> Box:
        return Box(lower=self.lower, upper=self.upper)
