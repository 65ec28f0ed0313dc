"""The scalars of an iteration: step sizes, inner products and norms, one per sample.

They are tensors of shape (batch...). Only where a single sample is solved on a CPU without derivatives are
they Python numbers, because for small images dispatching operations on tensors of one entry doubles the cost
of a step. These functions take both, so that an iteration is written once, as in its paper.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..spaces import SpaceLike, norm, per_sample, vdot

Scalar = Tensor | float


def are_numbers(*scalars: Tensor) -> bool:
    """True if these scalars may be Python numbers: one sample on a CPU, without derivatives."""
    one = all(s.numel() == 1 and s.device.type == "cpu" for s in scalars)
    return one and not torch.is_grad_enabled()


def number(s: Scalar, like: Scalar) -> Scalar:
    """A scalar as a number if ``like`` is one."""
    return s.item() if isinstance(s, Tensor) and isinstance(like, float) else s


def plus(x: Tensor, s: Scalar, d: Tensor, out: Tensor | None = None) -> Tensor:
    """x + s d of vectors (batch..., n); ``out`` may take the sum if s is a number."""
    if not isinstance(s, float):
        return torch.addcmul(x, s.unsqueeze(-1), d)
    return torch.add(x, d, alpha=s) if out is None else torch.add(x, d, alpha=s, out=out)


def inner(x: Tensor, y: Tensor, like: Scalar) -> Any:
    """⟨x, y⟩ of vectors (batch..., n); a number if ``like`` is one."""
    return torch.dot(x, y).item() if isinstance(like, float) else torch.linalg.vecdot(x, y)


def ratio(a: Scalar, b: Scalar, active: Any) -> Any:
    """a/b where ``active``, else 0; safe to differentiate."""
    if isinstance(a, float):
        return a / b if active else 0.0
    return torch.where(active, a, 0) / torch.where(active, b, 1)


def where(condition: Any, a: Any, b: Any) -> Any:
    """a where the condition holds, else b."""
    return torch.where(condition, a, b) if isinstance(condition, Tensor) else a if condition else b


def anywhere(condition: Any) -> bool:
    """True if the condition holds for a sample."""
    return bool(condition.any()) if isinstance(condition, Tensor) else bool(condition)


def sqrt(s: Scalar) -> Any:
    """√s."""
    return math.sqrt(s) if isinstance(s, float) else torch.sqrt(s)


def largest(a: Scalar, b: Scalar) -> Any:
    """The larger of a and b."""
    return torch.maximum(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else max(a, b)


def plus_image(x: Tensor, s: Scalar, d: Tensor, space: SpaceLike) -> Tensor:
    """x + s d of images."""
    return torch.add(x, d, alpha=s) if isinstance(s, float) else x + per_sample(s, space) * d


def inner_image(x: Tensor, y: Tensor, like: Scalar, space: SpaceLike) -> Any:
    """Re⟨x, y⟩ of images; a number if ``like`` is one."""
    if not isinstance(like, float):
        return vdot(x, y, space)
    if x.is_complex():
        x, y = torch.view_as_real(x.resolve_conj()), torch.view_as_real(y.resolve_conj())
    return torch.dot(x.reshape(-1), y.reshape(-1)).item()


def relative(moved: Tensor, x: Tensor, like: Scalar, space: SpaceLike, least: Scalar = 0.0) -> Any:
    """‖moved‖/max(‖x‖, least) of images, without derivatives, and ‖moved‖ where that is ‖moved‖/0.

    It is a number if ``like`` is one.
    """
    if isinstance(like, float):
        size = max(torch.linalg.vector_norm(x).item(), float(least))
        return torch.linalg.vector_norm(moved).item() / (size or 1.0)
    size = norm(x, space)
    size = torch.maximum(size, least.to(size)) if isinstance(least, Tensor) else size
    return (norm(moved, space) / torch.where(size > 0, size, 1)).detach()
