"""`Equilibrium`: the fixed point of a solver as a module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

import invcore
from invcore import Physics, Solver

from .base import LearnedSolver


class Equilibrium(LearnedSolver):
    """Solve to the fixed point of a solver, and learn what is inside it: a deep equilibrium model [1]_, [2]_.

    The solver iterates as its ``rtol`` and ``max_steps`` say; no step is recorded, so memory does not grow
    with their number. ``Anderson(solver=...)`` accelerates.

    Parameters
    ----------
    solver : Solver
        One with a fixed point (`Solver.fixed_point`) or an implicit derivative: 'pgd', 'fista', 'hqs',
        'anderson', 'mirror_descent', 'cg' …
    learn : sequence of str
        Dotted paths of the numbers and tensors to learn, such as ``("weight", "prior.sigma")``. Networks are
        learned without being named.
    backward : {"implicit", "jacobian_free"}
        The exact derivative of the fixed point, by one linear solve; or that of one step at the fixed point
        as if it did not depend on where it started: cheap, and a direction of descent where the step
        contracts [3]_.

    Raises
    ------
    ParameterError
        If the solver states no fixed point, or a path leads to nothing that can be learned.

    References
    ----------
    .. [1] S. Bai, J. Z. Kolter, V. Koltun, "Deep equilibrium models", NeurIPS (2019).
    .. [2] D. Gilton, G. Ongie, R. Willett, "Deep equilibrium architectures for inverse problems in imaging",
       IEEE Trans. Comput. Imaging 7 (2021).
    .. [3] S. W. Fung et al., "JFB: Jacobian-free backpropagation for implicit networks", AAAI (2022).

    Examples
    --------
    >>> from invcore.operators import Identity
    >>> from invcore.priors import Tikhonov
    >>> from invcore.solvers import FISTA
    >>> model = Equilibrium(FISTA(prior=Tikhonov(), weight=1.0, rtol=1e-7), learn=("weight",))
    >>> x = model(torch.tensor([3.0]), Physics(Identity((1,))))  # y/(1 + λ), λ = exp(θ)
    >>> x.sum().backward()
    >>> x.item(), round(model.numbers["weight"].theta.grad.item(), 4)
    (1.5, -0.75)
    """

    def __init__(
        self,
        solver: Solver,
        *,
        learn: Sequence[str] = (),
        backward: Literal["implicit", "jacobian_free"] = "implicit",
    ) -> None:
        if backward not in ("implicit", "jacobian_free"):
            raise invcore.ParameterError(
                f"Equilibrium: backward must be 'implicit' or 'jacobian_free', got {backward!r}"
            )
        super().__init__(solver, learn)
        own = type(solver)
        fixed = own.fixed_point is not Solver.fixed_point
        if not (fixed or (backward == "implicit" and own.implicit is not Solver.implicit)):
            raise invcore.ParameterError(
                f"Equilibrium: {own.__name__} states no fixed point that backward={backward!r} could "
                "differentiate: take 'pgd', 'fista', 'hqs' or 'anderson', or Unrolled"
            )
        self.backward = backward

    def forward(self, y: Any, physics: Physics) -> Tensor:
        """Reconstruct.

        Parameters
        ----------
        y : Tensor or tuple of Tensor, shape (batch..., *range.shape)
        physics : Physics

        Returns
        -------
        Tensor, shape (batch..., *domain.shape)
        """
        mode: Any = self.backward if torch.is_grad_enabled() else "none"
        return self.current().solve(y, physics, differentiate=mode).value
