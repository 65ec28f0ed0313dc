"""A noise that is a function of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._errors import ParameterError
from ..fidelities import Fidelity
from ..spaces import SpaceLike, tree_map
from ._base import Noise, item_by_item


class FunctionNoise(Noise):
    """A noise from a function that draws a noisy version of one clean sample.

    Parameters
    ----------
    function : callable
        ``function(y, generator)`` for one sample (one block of it), without batch. All randomness comes from
        the generator.
    fidelity : Fidelity, optional
        The negative log-likelihood. Without one solvers need a ``fidelity``.

    Examples
    --------
    >>> def cauchy(y, generator):
    ...     return y + torch.empty_like(y).cauchy_(generator=generator)
    >>> from invcore.fidelities import StudentT
    >>> noise = FunctionNoise(cauchy, StudentT(dof=1.0, sigma=1.0))
    >>> noise(torch.zeros(3), generator=torch.Generator().manual_seed(0)).shape
    torch.Size([3])
    """

    units = None

    function: Callable[[Tensor, torch.Generator], Tensor]
    fidelity: Fidelity | None = None
    positional = 2

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ParameterError(f"FunctionNoise: function must be callable, got {self.function!r:.80}")

    def sample(self, y: Any, space: SpaceLike, generator: torch.Generator) -> Any:
        def drawn(t: Tensor) -> Tensor:
            out = self.function(t, generator)
            if not isinstance(out, Tensor) or out.shape != t.shape:
                got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
                raise ParameterError(
                    f"FunctionNoise: the function must return data of shape {tuple(t.shape)}, got {got}"
                )
            return out

        return item_by_item(self, y, space, lambda noise, item: tree_map(drawn, item))

    def likelihood(self) -> Fidelity:
        if self.fidelity is None:
            raise ParameterError(
                "the density of a FunctionNoise is not known: pass a fidelity to it, FunctionNoise(function, "
                "fidelity), or to the solver"
            )
        return self.fidelity
