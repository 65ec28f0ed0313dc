"""The data as a function of a parameter: ξ ↦ A_ξ x for a fixed image x."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from ..spaces import Space, SpaceLike, batch_shape, flatten, zeros
from ._base import LinearOperator, Operator
from ._convolution import Convolution


class _OfParameter(Operator, abstract=True, fields=True):
    base: Operator
    name: str
    image: Any
    domain: Space

    @property
    def range(self) -> SpaceLike:
        return self.base.range

    def forward(self, x: Tensor) -> Any:
        return self.base.bind(**{self.name: x})._apply(self.image)


class ParameterMap(_OfParameter):
    """ξ ↦ A_ξ x where A is not linear in ξ."""

    params = ("image",)


class LinearParameterMap(_OfParameter, LinearOperator):
    """ξ ↦ A_ξ x where A is linear in ξ, as a convolution is in its kernel."""

    params = ("image",)


def parameter_map(A: Operator, name: str, domain: Space, x: Any) -> Operator:
    """The operator ξ ↦ A_ξ x; a linear one if it is linear near the value that A has.

    Parameters
    ----------
    A : Operator
        With the parameter ``name``, one value for each sample.
    domain : Space
        Of ξ without batch.
    x : Tensor, shape (batch..., *A.domain.shape)
    """
    if isinstance(A, Convolution):
        return A.kernel_operator(x)
    ready: dict[str, Any] = {"base": A, "name": name, "image": x, "domain": domain}
    own = A.parameters()[name].detach()
    return LinearParameterMap(**ready) if _is_linear(ParameterMap(**ready), own) else ParameterMap(**ready)


@torch.no_grad()
def _is_linear(B: ParameterMap, own: Tensor) -> bool:
    """Compare B(ξ') with J(ξ) ξ' for ξ' whose entries are up to a fifth smaller than those of ξ."""
    generator = torch.Generator().manual_seed(0)
    u = torch.rand(B.domain.shape, generator=generator, dtype=torch.float64).to(own.real)
    other = own * (1 - 0.2 * u)
    if not bool((own != 0).any()):
        return False
    found, tangent = (flatten(v, B.range) for v in (B._apply(other), B.linearize(own)._apply(other)))
    limit = torch.finfo(found.dtype).eps ** 0.6
    return bool((found - tangent).norm() <= limit * found.norm())


def parameter_name(A: Operator, name: str | None) -> str:
    """The parameter of that name, or the only one that can be real or complex."""
    held = {n: p for n, p in A.parameters().items() if p.is_floating_point() or p.is_complex()}
    if name is None and len(held) == 1:
        return next(iter(held))
    if name not in held:
        got = "more than one" if name is None else f"no {name!r}"
        raise ParameterError(
            f"{type(A).__name__} has {got} among the parameters that can be estimated ({sorted(held)}): "
            "name one of them, parameter=..."
        )
    return name


def per_sample_parameter(A: Operator, name: str, batch: tuple[int, ...]) -> Tensor:
    """The value of a parameter for each sample of a batch.

    How many dimensions it has without batch is what the operator understands: the leading ones without which
    its data have no batch are batch.
    """
    own = A.parameters()[name]
    before = len(_parameter_batch(A))
    if before and own.ndim >= before:
        single = own[(0,) * before]
        if not _parameter_batch(A.bind(**{name: single})):
            shape = own.shape[before:]
            return own.expand(*batch, *shape).clone()
    if not batch:
        return own
    for ones in range(4):  # a mask (n,) in front of which a batch would be taken for an axis of the image
        shape = torch.Size((*(1,) * ones, *own.shape))
        trial = own.reshape(shape).expand(*(2 for _ in batch), *shape)
        try:
            fits = _parameter_batch(A.bind(**{name: trial}))[-len(batch) :] == (2,) * len(batch)
        except (ShapeError, RuntimeError):
            continue
        if fits:
            return own.reshape(shape).expand(*batch, *shape).clone()
    raise ShapeError(f"{type(A).__name__}: {name} {tuple(own.shape)} takes no batch {tuple(batch)}")


@torch.no_grad()
def _parameter_batch(A: Operator) -> tuple[int, ...]:
    """Batch dimensions that the parameters of an operator carry."""
    return tuple(batch_shape(A._apply(zeros(A.domain, dtype=A.dtype, device=A.device)), A.range))
