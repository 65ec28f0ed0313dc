"""`Prior`: a penalty on images."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from .._errors import ParameterError
from .._physics import Physics
from .._value import Value
from .._weights import Weight, weight_of_scale
from ..fidelities import Fidelity
from ..operators import Identity, LinearOperator, SpaceLike
from ..spaces import real_size_of, scaled, tree_map


class Prior(Value, abstract=True):
    """A penalty g(x). Provide `value` and, as available, `prox` and `grad`.

    Dimensions before those of ``space`` are batch; without ``space`` the whole of ``x`` is one item.

    Attributes
    ----------
    degree : int or None
        d, where g(s x) = s^d g(x) for s > 0; it gives the prior an automatic weight (`suggested_weight`).
    """

    degree: ClassVar[int | None] = None

    @abstractmethod
    def value(self, x: Any, space: SpaceLike | None = None) -> Tensor:
        """g(x) of each batch item, shape (batch...)."""

    def prox(self, x: Any, step: float | Tensor, space: SpaceLike | None = None) -> Any:
        """argmin over z of g(z) + ‖z - x‖² / (2 step); ``step`` is one value or one per sample."""
        raise ParameterError(
            f"{type(self).__name__} has no proximal operator: choose a solver that uses its gradient"
        )

    def grad(self, x: Any, space: SpaceLike | None = None) -> Any:
        """∇g(x)."""
        raise ParameterError(
            f"{type(self).__name__} has no gradient: choose a proximal solver, such as 'fista'"
        )

    def prox_conjugate(
        self, u: Any, step: float | Tensor, space: SpaceLike | None = None, *, weight: float | Tensor = 1.0
    ) -> Any:
        """prox of step · (weight g)*, from `prox` by Moreau's identity: u - s prox_{λg/s}(u/s)."""
        inner = self.prox(scaled(1 / step, u, space), weight / step, space)
        return tree_map(torch.sub, u, scaled(step, inner, space))

    def split(self, space: SpaceLike) -> tuple[LinearOperator, Prior]:
        """(K, h) with g(x) = h(Kx) and h proximable: what primal-dual solvers and ADMM work with.

        The identity and the prior itself unless a prior says otherwise (total variation: differences, and the sum of their
        magnitudes).
        """
        return Identity(domain=space), self

    def at(self, k: int) -> Self:
        """The prior that iteration ``k`` of a solver uses. A stochastic prior draws here, from its own seed."""
        return self

    @property
    def tolerance(self) -> float:
        """Relative duality gap to which `prox` is solved: 0 where it is exact."""
        return 0.0

    @property
    def stochastic(self) -> bool:
        """Whether `at` gives another prior in each iteration."""
        return False

    @property
    def settles(self) -> bool:
        """Whether the iterates of a solver settle to any accuracy. Not so with random draws, or with a denoiser for `prox`; solvers
        then stop at 100 times their ``rtol``, at most at 1e-3 (unless ``rtol`` is more)."""
        return not self.stochastic

    def suggested_weight(self, y: Any, physics: Physics, fidelity: Fidelity | None = None) -> Weight:
        """The regularization weight that suits the noise level and, if available, a starting point.

        Solvers with ``weight="auto"`` ask for it. A prior that states its ``degree`` d of homogeneity gets λ = n/(d g(x))
        of a Tikhonov solution x with n real unknowns: the most likely weight of the density ∝ exp(-λ g(x)), whose
        normalization is λ^(-n/d) times a constant, whatever g [1]_.

        Parameters
        ----------
        y : Tensor or tuple of Tensor, shape (batch..., *range.shape)
        physics : Physics
        fidelity : Fidelity, optional
            By default the likelihood of the noise.

        Raises
        ------
        ParameterError
            If the prior has no rule, or the rule does not apply to the problem.

        References
        ----------
        .. [1] M. Pereyra, J. Bioucas-Dias, M. Figueiredo, "Maximum-a-posteriori estimation with unknown regularization
           parameters", EUSIPCO (2015).
        """
        if self.degree is None:
            raise ParameterError(
                f"{type(self).__name__} has no rule for its weight: pass weight=<number> to the solver"
            )
        degree, space = self.degree, physics.domain
        n = real_size_of(space)
        return weight_of_scale(y, physics, fidelity, lambda x: degree * self.value(x, space) / n)
