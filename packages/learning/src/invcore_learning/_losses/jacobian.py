"""The Jacobian of a model: its spectral norm, and firm nonexpansiveness."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import invcore
from invcore import Space
from invcore.generators import seeded
from invcore.spaces import batch_shape, check, norm, per_sample, randn

from .base import TrainingLoss


class JacobianNorm(TrainingLoss):
    r"""The spectral norm of the Jacobian J = ∂R/∂y at the data, by power iteration.

    .. math:: L = \max(\|J\|_2, b) \quad \text{or with } \texttt{firm} \quad \max(\|2J - I\|_2, b).

    A norm of at most 1 everywhere makes R nonexpansive, and with ``firm`` firmly nonexpansive: plug-and-play
    iterations with it converge [1]_. ‖Jv‖ after ``steps`` steps is a lower bound of the norm.

    Parameters
    ----------
    firm : bool
        For models from images to images.
    bound : float
        b: there is no gradient where the norm is smaller.
    steps : int
    seed : int
        Of the direction from which the iteration starts, the same in every training step.

    References
    ----------
    .. [1] J.-C. Pesquet, A. Repetti, M. Terris, Y. Wiaux, Learning maximally monotone operators for image
       recovery, SIAM J. Imaging Sci. 14 (2021).

    Examples
    --------
    >>> from invcore.operators import Identity
    >>> physics, y = invcore.Physics(Identity((1, 4, 4))), torch.ones(2, 1, 4, 4)
    >>> R = lambda y, physics: 0.75 * y
    >>> JacobianNorm()(R(y, physics), None, y, physics, R)
    tensor([0.7500, 0.7500])
    >>> JacobianNorm(firm=True)(R(y, physics), None, y, physics, R)
    tensor([0.5000, 0.5000])
    """

    firm: bool = False
    bound: float = 0.0
    steps: int = 30
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.bound >= 0:
            raise invcore.ParameterError(
                f"JacobianNorm: expected steps >= 1 and bound >= 0, got {self.steps!r} and {self.bound!r}"
            )

    def __call__(self, x_hat: Tensor, x: Tensor | None, y: Any, physics: Any, model: Any) -> Tensor:
        """See `TrainingLoss`."""
        check(y, physics.range, "y")
        check(x_hat, physics.domain, "x_hat")
        space, image = physics.range, physics.domain
        if not isinstance(space, Space) or not isinstance(image, Space) or (self.firm and space != image):
            raise invcore.ParameterError(
                "JacobianNorm: expected data of one block, and with firm data in the space of the images; "
                f"got {space} and {image}"
            )
        with torch.enable_grad():
            at = y.detach().requires_grad_()
            out = model(at, physics)
            dual = torch.zeros_like(out, requires_grad=True)
            (back,) = torch.autograd.grad(out, at, dual, create_graph=True)

        def J(v: Tensor, keep: bool) -> Tensor:
            """Forward derivative: that of the backward one, which is linear."""
            (found,) = torch.autograd.grad(back, dual, v, retain_graph=True, create_graph=keep)
            return 2 * found - v if self.firm else found

        def transposed(w: Tensor) -> Tensor:
            (found,) = torch.autograd.grad(out, at, w, retain_graph=True)
            return 2 * found - w if self.firm else found

        batch = tuple(batch_shape(y, space))
        g = seeded(f"JacobianNorm, seed {self.seed}")
        v = randn(space, generator=g, dtype=y.dtype, device=y.device).expand(*batch, *space.shape)
        v = _unit(v, space)
        for _ in range(self.steps):
            v = _unit(transposed(J(v, False)), space)
        return norm(J(v, True), image).clamp_min(self.bound)


def _unit(v: Tensor, space: Space) -> Tensor:
    size = norm(v, space)
    return v / per_sample(torch.where(size > 0, size, 1), space)
