"""Penalties on a few linear functionals of an image, and the checks that the priors of this package share."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from invcore import DtypeError, ParameterError, ShapeError
from invcore.operators import Space
from invcore.priors import Prior
from invcore.spaces import per_sample


def image_space(x: Tensor, space: Space, name: str, *, dims: int = 2) -> Space:
    """Return ``space``, which must be one of real images.

    Raises
    ------
    DtypeError, ShapeError
        If the image is complex, or has fewer than ``dims`` dimensions; ``name`` is the prior's, for the
        message.
    """
    if x.is_complex():
        raise DtypeError(f"{name}: images of intensities are real, got {x.dtype}")
    if len(space.shape) < dims:
        raise ShapeError(f"{name} needs images (channel, y, x), got {space.shape}")
    return space


def nonnegative_steps(step: float | Tensor, like: Tensor) -> Tensor:
    """Return ``step`` in the precision and on the device of ``like``; raise `ParameterError` if negative."""
    t = torch.as_tensor(step, dtype=like.dtype, device=like.device)
    if not bool((t >= 0).all()):
        raise ParameterError(f"prox: step must not be negative, got {float(t.min()):g}")
    return t


def steps_of(step: float | Tensor, like: Tensor, space: Space) -> Tensor:
    """Return `nonnegative_steps`, of which several broadcast against elements of ``space``."""
    t: Tensor = per_sample(nonnegative_steps(step, like), space)
    return t


class FunctionalPenalty(Prior, abstract=True):
    """Quadratic penalty on linear functionals, g(x) = ½ Σ_k (⟨a_k, x⟩ - c_k)².

    A subclass gives the a_k, the same for every channel, and the c_k.
    """

    @abstractmethod
    def functionals(self, shape: tuple[int, int], like: Tensor) -> tuple[Tensor, Tensor]:
        """Return a, (k, y, x), and c, (k,), for images of ``shape`` with the dtype and device of ``like``."""

    def _value(self, x: Tensor, space: Space) -> Tensor:
        return self._residual(x, self._space(x, space))[0].square().sum(-1) / 2

    def _grad(self, x: Tensor, space: Space) -> Tensor:
        image = self._space(x, space)
        r, a = self._residual(x, image)
        return _spread(r, a, x, image)

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        """x - t Aᵀ(1 + t A Aᵀ)⁻¹(A x - c), by the matrix inversion lemma."""
        image = self._space(x, space)
        r, a = self._residual(x, image)
        t = nonnegative_steps(step, x)[..., None]
        gram = math.prod(image.shape[:-2]) * torch.einsum("kyx,lyx->kl", a, a)
        eye = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        inner = torch.linalg.solve(eye + t[..., None] * gram, r.unsqueeze(-1)).squeeze(-1)
        return x - _spread(t * inner, a, x, image)

    def _space(self, x: Tensor, space: Space) -> Space:
        return image_space(x, space, type(self).__name__)

    def _residual(self, x: Tensor, image: Space) -> tuple[Tensor, Tensor]:
        """⟨a_k, x⟩ - c_k, (batch..., k), and a."""
        a, c = self.functionals((image.shape[-2], image.shape[-1]), x)
        count = len(image.shape)
        plane = x.flatten(x.ndim - count, -3).sum(-3) if count > 2 else x
        return torch.einsum("kyx,...yx->...k", a, plane) - c, a


def _spread(coefficients: Tensor, a: Tensor, x: Tensor, image: Space) -> Tensor:
    """Σ_k b_k a_k in the shape of x."""
    plane = torch.einsum("...k,kyx->...yx", coefficients, a)
    plane = plane.reshape(*plane.shape[:-2], *(1,) * (len(image.shape) - 2), *plane.shape[-2:])
    return plane.expand(torch.broadcast_shapes(x.shape, plane.shape))
