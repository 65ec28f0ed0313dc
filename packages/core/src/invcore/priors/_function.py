"""A prior that is a function of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor

from .._errors import ParameterError
from ..fidelities._numeric import by_sample, gradient, numeric_prox
from ..operators import SpaceLike
from ._base import Prior


class FunctionPrior(Prior):
    """A prior from a function: g(x) of one image, a real number that torch can differentiate.

    The gradient is that of autograd. The proximal operator is solved by L-BFGS until the gradient of step
    g(z) + ‖z - x‖²/2 is below ``rtol`` (‖x‖ + step ‖∇g(x)‖), which for a convex g bounds the distance to the
    minimizer, and warns (`ConvergenceWarning`) where ``max_steps`` come first, as for a function with kinks.
    The function is called image by image.

    Parameters
    ----------
    function : callable
        ``function(x)`` for one image (channel, *spatial), without batch.
    degree : int, optional
        d, if g(s x) = s^d g(x) for s > 0: it gives an automatic weight.

    Examples
    --------
    >>> import torch
    >>> g = FunctionPrior(lambda x: torch.log(torch.cosh(x)).sum())
    >>> g.value(torch.zeros(2)), g.grad(torch.tensor([1.0, 0.0])).round(decimals=4)  # tanh
    (tensor(0.), tensor([0.7616, 0.0000]))
    """

    blocks: ClassVar[bool] = True

    function: Callable[[Any], Tensor]
    degree: int | None = None  # type: ignore[misc]
    rtol: float = 1e-6
    max_steps: int = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.function):
            raise ParameterError(f"FunctionPrior: function must be callable, got {self.function!r:.80}")

    def _value(self, x: Any, space: SpaceLike) -> Tensor:
        return by_sample(self.function, (x,), space, "FunctionPrior")

    def _grad(self, x: Any, space: SpaceLike) -> Any:
        return gradient(lambda v: self._value(v, space), x, space)

    def _prox(self, x: Any, step: float | Tensor, space: SpaceLike) -> Any:
        return numeric_prox(
            lambda v, _: self._value(v, space),
            x,
            step,
            space,
            rtol=self.rtol,
            max_steps=self.max_steps,
            what="FunctionPrior",
        )
