"""`Fidelity`: the misfit between a prediction u = A(x) and data y."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from .._errors import ParameterError
from .._fit import fitted
from .._value import Value
from ..operators import SpaceLike
from ..spaces import batch_shape, scaled, space_of, tree_map
from ._conjugate import numeric_conjugate


class Fidelity(Value, abstract=True):
    """A function f(u; y), convex in u unless its docstring says otherwise.

    Dimensions before those of ``space`` are batch; without ``space`` the whole of ``u`` is one item. Blocks
    (the data of a stacked operator) are tuples of tensors.

    Attributes
    ----------
    convex : bool
        Whether f is convex in u.
    factor : (str, int) or None
        A field and its power in front of f, if there is one: f(u; y) = σ⁻² ‖u - y‖²/2 has ``("sigma", -2)``.
    maps : tuple of str
        The parameters with a value for each entry of the data; the others have one per sample. Others than
        these shapes are refused before a method of the subclass runs.
    chi_square : bool
        Whether 2 f is the χ² of the data: their errors are Gaussian, and known.
    smooth : bool
        Whether `grad` exists everywhere in the domain of f and is continuous there. Where it is not smooth
        `grad` is a subgradient, or raises a `ParameterError` (indicator functions).
    """

    convex: ClassVar[bool] = True
    smooth: ClassVar[bool] = True
    chi_square: ClassVar[bool] = False
    factor: ClassVar[tuple[str, int] | None] = None
    maps: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in {"value", "grad", "prox", "conjugate"} & set(vars(cls)):
            setattr(cls, name, _fitting(vars(cls)[name], 3 if name == "prox" else 2))

    @abstractmethod
    def value(self, u: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        """f(u; y) of each batch item, shape (batch...)."""

    def grad(self, u: Any, y: Any, space: SpaceLike | None = None) -> Any:
        """Gradient with respect to u, in the space of u."""
        raise ParameterError(
            f"{type(self).__name__} has no gradient: choose a solver that uses its proximal operator"
        )

    @abstractmethod
    def prox(self, u: Any, y: Any, step: float | Tensor, space: SpaceLike | None = None) -> Any:
        """argmin over z of f(z; y) + ‖z - u‖² / (2 step)."""

    def prox_conjugate(self, u: Any, y: Any, step: float | Tensor, space: SpaceLike | None = None) -> Any:
        """prox of step · f(·; y)*, from `prox` by Moreau's identity: u - s prox_{f/s}(u/s)."""
        if not self.convex:
            raise ParameterError(
                f"{type(self).__name__} is not convex, so the proximal operator of its conjugate does not "
                "follow from its own: choose a primal solver"
            )
        inner = self.prox(scaled(1 / step, u, space), y, 1 / step, space)
        return tree_map(torch.sub, u, scaled(step, inner, space))

    def conjugate(self, p: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        """f*(p; y) = sup over u of Re⟨p, u⟩ - f(u; y), of each batch item; infinite outside its domain.

        By the proximal point method where no closed form is known.
        """
        if not self.convex:
            raise ParameterError(f"{type(self).__name__} is not convex, and its conjugate not known")
        item = space_of(p) if space is None else space
        return numeric_conjugate(
            lambda u: self.value(u, y, item),
            lambda u, t: self.prox(u, y, t, item),
            p,
            item,
            what=type(self).__name__,
            tolerance=getattr(self, "rtol", 0.0),
        )

    def lipschitz(self) -> float | Tensor | None:
        """Lipschitz constant of `grad` in u, per sample; None if there is none."""
        return None


def _fitting(method: Callable[..., Any], place: int) -> Callable[..., Any]:
    """A method (u, y, …, space) that raises a `ShapeError` first if a parameter does not fit u.

    ``place`` is that of ``space`` among its arguments.
    """

    @functools.wraps(method)
    def checked(self: Fidelity, u: Any, *args: Any, **kwargs: Any) -> Any:
        if self.params:
            space = args[place - 1] if len(args) >= place else kwargs.get("space")
            space = space_of(u) if space is None else space
            fitted(self, space, batch_shape(u, space))
        return method(self, u, *args, **kwargs)

    return checked
