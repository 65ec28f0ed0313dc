"""A data fidelity behind an operator."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._errors import ConvergenceWarning, ParameterError
from .._variation.dual import dual_prox
from ..operators import LinearOperator, SpaceLike, least_squares
from ..spaces import check, scaled, tree_map
from ._base import Fidelity
from ._ellipsoid import onto_ball
from ._function import FunctionFidelity
from ._indicators import Box, L2Ball
from ._least_squares import LeastSquares
from ._numeric import numeric_prox


class Composed(Fidelity):
    r"""A data fidelity behind a linear operator, x ↦ f(Ax; y), with its gradient and proximal operator.

    For least squares the proximal operator is a linear solve (`invcore.operators.least_squares`), for the
    ball ‖Ax - y‖ ≤ r the one whose Lagrange multiplier makes the residual r, found by secants. For another
    convex f it is

    .. math::
        x = u - t A^{\mathsf H} p, \quad
        p = \operatorname{argmin}_p \tfrac t2 ‖A^{\mathsf H} p - u/t‖^2 + f^*(p; y)

    by accelerated proximal gradients, each sample until its duality gap is below ``rtol`` times the primal
    value; for any other smooth f L-BFGS, until the gradient is below ``rtol``. It warns
    (`ConvergenceWarning`) where ``max_steps`` come first.

    Parameters
    ----------
    fidelity : Fidelity
        f.
    operator : LinearOperator
        A.
    rtol : float
        Relative accuracy of `prox`.
    max_steps : int
        Maximum number of its steps.

    Examples
    --------
    >>> from invcore.fidelities import L1
    >>> from invcore.operators import Matrix
    >>> f = Composed(L1(), Matrix(torch.tensor([[1.0, 1.0]])))
    >>> f.prox(torch.tensor([2.0, 1.0]), torch.tensor([0.0]), 0.5).round(decimals=4)
    tensor([1.5000, 0.5000])
    """

    units = {"fidelity": 1}

    fidelity: Fidelity
    operator: LinearOperator
    rtol: float = 1e-7
    max_steps: int = 5000

    @property
    def convex(self) -> bool:  # type: ignore[override]
        """As f."""
        return self.fidelity.convex

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        """As f."""
        return self.fidelity.smooth

    def value(self, u: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        return self.fidelity.value(self._applied(u), y, self.operator.range)

    def grad(self, u: Any, y: Any, space: SpaceLike | None = None) -> Any:
        A = self.operator
        return A._apply_adjoint(self.fidelity.grad(self._applied(u), y, A.range))

    def prox(self, u: Any, y: Any, step: float | Tensor, space: SpaceLike | None = None) -> Any:
        f, A = self.fidelity, self.operator
        check(u, A.domain, "Composed: u")
        if isinstance(f, LeastSquares):
            shift = 1 / (torch.as_tensor(step, dtype=torch.float64) * f.precision())
            return least_squares(A, y, shift=shift, center=u, rtol=self.rtol, max_steps=self.max_steps)
        if isinstance(f, L2Ball):
            return onto_ball(f, A, u, y, rtol=self.rtol, max_steps=self.max_steps)
        if f.convex and not isinstance(f, Box | FunctionFidelity):
            term = _Term(A, _Given(f, y))
            z, gap, _ = dual_prox(u, step, [term], rtol=self.rtol, max_steps=self.max_steps)
            worst = float(gap.max()) if gap.numel() else 0.0
            if worst > max(self.rtol, 100 * torch.finfo(gap.dtype).eps):
                warnings.warn(
                    f"Composed.prox: relative duality gap {worst:.1e} after {self.max_steps} steps, wanted "
                    f"{self.rtol:.1e}. Raise max_steps or rtol.",
                    ConvergenceWarning,
                    stacklevel=2,
                )
            return z
        if not f.smooth:
            raise ParameterError(
                f"Composed.prox: {type(f).__name__} is a constraint, which has no duality gap: give the "
                "operator to the physics and use 'chambolle_pock' or 'admm'"
            )
        return numeric_prox(
            lambda v, data: f.value(A._apply(v), data, A.range),
            u,
            step,
            A.domain,
            data=y,
            data_space=A.range,
            rtol=self.rtol,
            max_steps=self.max_steps,
            what="Composed",
        )

    def lipschitz(self) -> float | Tensor | None:
        constant = self.fidelity.lipschitz()
        return None if constant is None else self.operator.norm() ** 2 * constant

    def _applied(self, u: Any) -> Any:
        check(u, self.operator.domain, "Composed: u")
        return self.operator._apply(u)


class _Term(NamedTuple):
    operator: LinearOperator
    prior: Any
    weight: float = 1.0


class _Given(NamedTuple):
    """f(·; y), as a function of one argument."""

    fidelity: Fidelity
    y: Any

    def value(self, u: Any, space: Any = None) -> Tensor:
        return self.fidelity.value(u, self.y, space)

    def prox(self, u: Any, step: Any, space: Any = None) -> Any:
        return self.fidelity.prox(u, self.y, step, space)

    def prox_conjugate(self, u: Any, step: Any, space: Any = None, *, weight: Any = 1.0) -> Any:
        inner = self.fidelity.prox(scaled(1 / step, u, space), self.y, weight / step, space)
        return tree_map(torch.sub, u, scaled(step, inner, space))
