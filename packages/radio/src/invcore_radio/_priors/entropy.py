"""Maximum entropy: relative entropy to a reference image."""

from __future__ import annotations

import torch
from torch import Tensor

from invcore import DtypeError, ParameterError
from invcore.operators import Space
from invcore.priors import Prior
from invcore.spaces import flatten, per_sample

from .functionals import require_real

_NEWTON = 12


class Entropy(Prior):
    r"""Maximum entropy: how far an image of positive intensities is from a reference m [1]_, [2]_.

    .. math:: g(x) = \sum_i x_i \ln\frac{x_i}{m_i} - x_i + m_i,

    infinite where an intensity is negative, zero for x = m only, and convex. For images of the same total
    flux F as the reference it is F times the relative entropy (Kullback–Leibler divergence) of the normalized
    intensities. Among images that fit equally well, it selects the one that adds the least structure to the
    reference.

    The proximal operator is z = t ω(v/t + ln(m/t)) with the Wright function ω, ω + ln ω = a, by Newton's
    method.

    Parameters
    ----------
    reference : Tensor, shape (..., channel, y, x)
        m > 0, in the units of the image; shape () for a flat reference.

    Raises
    ------
    ParameterError
        If the reference is not positive.

    References
    ----------
    .. [1] J. Skilling and R. Bryan, "Maximum entropy image reconstruction: general algorithm", Mon. Not. R.
       Astron. Soc. 211 (1984).
    .. [2] R. Narayan and R. Nityananda, "Maximum entropy image restoration in astronomy", Annu. Rev. Astron.
       Astrophys. 24 (1986).

    Examples
    --------
    >>> g = Entropy(reference=torch.tensor(1.0))
    >>> g.value(torch.tensor([1.0, 1.0])), g.grad(torch.tensor([1.0, 2.7182817]))
    (tensor(0.), tensor([0., 1.]))
    >>> g.prox(torch.tensor([1.0, -3.0]), 1.0).round(decimals=4)
    tensor([1.0000, 0.0475])
    """

    power = 1
    units = {"reference": 1}
    reference: Tensor
    params = ("reference",)
    maps = ("reference",)

    def __post_init__(self) -> None:
        if self.reference.is_complex():
            raise DtypeError(f"Entropy: the reference must be real, got {self.reference.dtype}")
        if not bool((self.reference > 0).all() and torch.isfinite(self.reference).all()):
            raise ParameterError("Entropy: the reference must be positive and finite everywhere")

    def _value(self, x: Tensor, space: Space) -> Tensor:
        require_real(self, x)
        m = self.reference.to(x.dtype)
        inside = x >= 0
        terms = torch.xlogy(torch.where(inside, x, 0), torch.where(inside, x, 1) / m) - x + m
        return flatten(torch.where(inside, terms, torch.inf), space).sum(-1)

    def _grad(self, x: Tensor, space: Space) -> Tensor:
        require_real(self, x)
        return torch.where(
            x > 0, (x.clamp_min(torch.finfo(x.dtype).tiny) / self.reference.to(x.dtype)).log(), -torch.inf
        )

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        require_real(self, x)
        t = per_sample(self._steps(step, x), space)
        moving = t > 0
        t = torch.where(moving, t, 1)
        z = t * _omega(x / t + (self.reference.to(x.dtype) / t).log())
        return torch.where(moving, z, x)


def _omega(a: Tensor) -> Tensor:
    """Solve w + ln w = a for w > 0. Only the last Newton step, in ln w, is differentiated."""
    with torch.no_grad():
        w = torch.where(a > 1, a - a.clamp_min(1).log(), a.clamp_max(1).exp())
        for _ in range(_NEWTON):
            positive = w > 0
            safe = torch.where(positive, w, 1)
            w = torch.where(positive, safe * (1 + a - safe.log()) / (1 + safe), 0)
        log = torch.where(w > 0, torch.where(w > 0, w, 1).log(), a)
    residual = w + log - a
    return w - residual * w / (1 + w)
