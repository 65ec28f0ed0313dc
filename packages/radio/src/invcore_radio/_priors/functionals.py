"""Quadratic penalties on a few linear functionals of an image."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from invcore import DtypeError
from invcore.operators import Space
from invcore.priors import Prior
from invcore.spaces import broadcast_shapes


def require_real(prior: Prior, x: Tensor) -> None:
    """Raise `DtypeError` if an image of intensities is complex."""
    if x.is_complex():
        raise DtypeError(f"{type(prior).__name__}: images of intensities are real, got {x.dtype}")


class FunctionalPenalty(Prior, abstract=True):
    """Quadratic penalty on linear functionals, g(x) = ½ Σ_k (⟨a_k, x⟩ - c_k)².

    A subclass gives the a_k, the same for every channel, and the c_k.
    """

    spatial_dims: ClassVar[int] = 2

    @abstractmethod
    def functionals(self, shape: tuple[int, int], like: Tensor) -> tuple[Tensor, Tensor]:
        """Return a, (k, y, x), and c, (k,), for images of ``shape`` with the dtype and device of ``like``."""

    def _value(self, x: Tensor, space: Space) -> Tensor:
        return self._residual(x, space)[0].square().sum(-1) / 2

    def _grad(self, x: Tensor, space: Space) -> Tensor:
        r, a = self._residual(x, space)
        return _spread(r, a, x, space)

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        """x - t Aᵀ(1 + t A Aᵀ)⁻¹(A x - c), by the matrix inversion lemma."""
        r, a = self._residual(x, space)
        t = self._steps(step, x)[..., None]
        gram = math.prod(space.shape[:-2]) * torch.einsum("kyx,lyx->kl", a, a)
        eye = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        inner = torch.linalg.solve(eye + t[..., None] * gram, r.unsqueeze(-1)).squeeze(-1)
        return x - _spread(t * inner, a, x, space)

    def _residual(self, x: Tensor, space: Space) -> tuple[Tensor, Tensor]:
        """⟨a_k, x⟩ - c_k, (batch..., k), and a."""
        require_real(self, x)
        a, c = self.functionals((space.shape[-2], space.shape[-1]), x)
        count = len(space.shape)
        plane = x.flatten(x.ndim - count, -3).sum(-3) if count > 2 else x
        return torch.einsum("kyx,...yx->...k", a, plane) - c, a


def _spread(coefficients: Tensor, a: Tensor, x: Tensor, space: Space) -> Tensor:
    """Σ_k b_k a_k in the shape of x."""
    plane = torch.einsum("...k,kyx->...yx", coefficients, a)
    plane = plane.reshape(*plane.shape[:-2], *(1,) * (len(space.shape) - 2), *plane.shape[-2:])
    return plane.expand(broadcast_shapes(x.shape, plane.shape))
