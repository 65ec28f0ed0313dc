"""A data fidelity that is a function of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from .._errors import ParameterError
from ..operators import SpaceLike
from ..spaces import space_of
from ._base import Fidelity
from ._numeric import by_sample, gradient, numeric_prox


class FunctionFidelity(Fidelity):
    """A data fidelity from a function: f(u; y) of one sample, a real number that torch can differentiate.

    The gradient is that of autograd. The proximal operator is solved by L-BFGS until the gradient of f(z)
    step + ‖z - u‖²/2 is below ``rtol`` (‖u‖ + step ‖∇f(u)‖), which for a convex f bounds the distance to the
    minimizer, and warns (`ConvergenceWarning`) where ``max_steps`` come first. The function is called sample
    by sample.

    Parameters
    ----------
    function : callable
        ``function(u, y)`` for one prediction and its data, without batch.
    constant : float, optional
        Lipschitz constant of the gradient in u, which solvers with gradient steps need.
    rtol : float
        Relative accuracy of `prox`.
    max_steps : int
        Maximum number of its steps.

    Examples
    --------
    >>> import torch
    >>> f = FunctionFidelity(lambda u, y: torch.log(torch.cosh(u - y)).sum(), constant=1.0)
    >>> f.grad(torch.tensor([1.0, 0.0]), torch.zeros(2)).round(decimals=4)  # tanh
    tensor([0.7616, 0.0000])
    """

    units = None

    function: Callable[[Any, Any], Tensor]
    constant: float | None = None
    rtol: float = 1e-6
    max_steps: int = 500

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ParameterError(f"FunctionFidelity: function must be callable, got {self.function!r:.80}")

    def value(self, u: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        return by_sample(self.function, (u, y), _item(u, space), "FunctionFidelity")

    def grad(self, u: Any, y: Any, space: SpaceLike | None = None) -> Any:
        item = _item(u, space)
        return gradient(lambda v: self.value(v, y, item), u, item)

    def prox(self, u: Any, y: Any, step: float | Tensor, space: SpaceLike | None = None) -> Any:
        item = _item(u, space)
        return numeric_prox(
            lambda v, data: by_sample(self.function, (v, data), item, "FunctionFidelity"),
            u,
            step,
            item,
            data=y,
            rtol=self.rtol,
            max_steps=self.max_steps,
            what="FunctionFidelity",
        )

    def lipschitz(self) -> float | None:
        return self.constant


def _item(u: Any, space: SpaceLike | None) -> Any:
    return space_of(u) if space is None else space
