"""`Unrolled`: some steps of a solver as a module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import invcore
from invcore import Physics, Solver

from .base import LearnedSolver


class Unrolled(LearnedSolver):
    """Take a fixed number of steps of a solver, and learn what is inside it [1]_, [2]_.

    A module around any solver of the toolbox: ``model(y, physics)`` runs the solver's own driver for exactly
    ``steps`` steps and records them. With nothing learned it equals the solver after as many steps. The
    networks inside the solver are learned, unless their ``requires_grad_(False)`` says otherwise, and so are
    the numbers that are named.

    Parameters
    ----------
    solver : Solver
    steps : int
        How many. The solver's ``max_steps`` and ``rtol`` play no part.
    learn : sequence of str
        Dotted paths of numbers and tensors to learn, one for all steps: ``("weight", "prior.sigma")``.
    per_step : sequence of str
        Paths with a value for each step: numbers and tensors, or networks, of which each step gets a copy.
        Options that the solver takes for each step (`Solver.per_step`), and whatever is inside the prior of a
        proximal solver.
    checkpointed : bool
        Keep only the state after each step, and compute each step once more in the backward pass: the same
        gradient, with the memory of one step. What an adjoint that torch.func derives saves is kept.

    Raises
    ------
    ParameterError
        If a path leads to nothing that can be learned.

    References
    ----------
    .. [1] K. Gregor, Y. LeCun, "Learning fast approximations of sparse coding", ICML (2010).
    .. [2] V. Monga, Y. Li, Y. C. Eldar, "Algorithm unrolling: interpretable, efficient deep learning for
       signal and image processing", IEEE Signal Process. Mag. 38 (2021).

    Examples
    --------
    >>> from invcore.operators import Identity
    >>> from invcore.priors import L1
    >>> from invcore.solvers import ProximalGradient
    >>> model = Unrolled(ProximalGradient(prior=L1(), weight=0.5), steps=3, learn=("weight",))
    >>> x = model(torch.tensor([3.0, 0.1]), Physics(Identity((2,))))
    >>> x.sum().backward()
    >>> x.detach(), model.learned()
    (tensor([2.5000, 0.0000]), {'weight': tensor(0.5000)})
    """

    def __init__(
        self,
        solver: Solver,
        *,
        steps: int,
        learn: Sequence[str] = (),
        per_step: Sequence[str] = (),
        checkpointed: bool = False,
    ) -> None:
        if not (isinstance(steps, int) and steps >= 1):
            raise invcore.ParameterError(f"Unrolled: steps must be a whole number >= 1, got {steps!r}")
        super().__init__(solver, learn, per_step, steps)
        self.steps, self.checkpointed = steps, checkpointed

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
        mode: Any = "unroll_checkpointed" if self.checkpointed else "unroll"
        mode = mode if torch.is_grad_enabled() else "none"
        return self.current().solve(y, physics, differentiate=mode, steps=self.steps).value
