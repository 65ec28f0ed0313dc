"""`OperatorModule`: an operator whose parameters ξ an optimizer can train."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._errors import ParameterError
from ..operators import LinearOperator, Operator


class OperatorModule(torch.nn.Module):
    """Wrap a frozen operator so that chosen parameters ξ are `torch.nn.Parameter`.

    The other tensor parameters become buffers: all of them move with ``.to()`` and enter ``state_dict``.
    The operator itself is never changed; `operator` gives one bound to the current values.

    Parameters
    ----------
    operator : Operator
    learn : sequence of str, optional
        Names of the parameters to train; all by default.

    Raises
    ------
    ParameterError
        If ``learn`` names something that is not a floating or complex tensor parameter.

    Examples
    --------
    >>> from invcore.operators import Mask
    >>> module = OperatorModule(Mask(torch.ones(3), domain=(3,)))
    >>> module(torch.ones(3)).sum().backward()
    >>> module.mask.grad
    tensor([1., 1., 1.])
    """

    def __init__(self, operator: Operator, learn: list[str] | tuple[str, ...] | None = None) -> None:
        super().__init__()
        tensors = operator.parameters()
        differentiable = [n for n, p in tensors.items() if p.is_floating_point() or p.is_complex()]
        learn = differentiable if learn is None else list(learn)
        unknown = [n for n in learn if n not in differentiable]
        if unknown:
            raise ParameterError(
                f"{type(operator).__name__} has no learnable parameter {unknown}; it has {differentiable}"
            )
        self._operator = operator
        self._attributes = {name: name.replace(".", "_") for name in tensors}
        for name, tensor in tensors.items():
            value = tensor.detach().clone()
            if name in learn:
                self.register_parameter(self._attributes[name], torch.nn.Parameter(value))
            else:
                self.register_buffer(self._attributes[name], value)

    @property
    def operator(self) -> Operator:
        """The operator bound to the current parameters; differentiable with respect to them."""
        return self._operator.bind(**{name: getattr(self, attr) for name, attr in self._attributes.items()})

    @property
    def H(self) -> LinearOperator:
        """The adjoint of `operator`."""
        if not isinstance(self._operator, LinearOperator):
            raise ParameterError(
                f"{type(self._operator).__name__} is not linear: it has no adjoint; use "
                ".operator.linearize(x)"
            )
        return self.operator.H  # type: ignore[attr-defined]

    def forward(self, x: Tensor) -> Any:
        """Apply the operator with the current parameters."""
        return self.operator(x)
