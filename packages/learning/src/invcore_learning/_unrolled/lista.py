"""LISTA: iterative soft thresholding with learned matrices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter

import invcore
from invcore import LinearOperator, Physics
from invcore.priors import L1
from invcore.spaces import check, flatten, real_size_of, unflatten

from .parameter import Number


class LISTA(Module):
    r"""LISTA: iterative soft thresholding whose matrices and thresholds are learned [1]_.

    .. math:: x_{k+1} = η(W_1 y + W_2 x_k; θ_k), \quad x_0 = 0

    with η soft thresholding. At the start :math:`W_1 = A^{\mathsf H}/L`, :math:`W_2 = I - A^{\mathsf H}A/L`
    and
    :math:`θ = λ/L` with L = ‖A‖², which are the steps of ISTA for ½‖Ax - y‖² + λ‖x‖₁ [2]_. The matrices stand
    for the operator, so the model is for that one. To learn only thresholds and step sizes, for any operator,
    as ALISTA does, take ``Unrolled(ProximalGradient(prior=L1(), weight=...), steps=...,
    per_step=("weight", "step_size"))``.

    Parameters
    ----------
    operator : LinearOperator
        A, small enough for its matrix.
    weight : float
        λ > 0 at the start.
    steps : int
    tied : bool
        The same matrices in all steps; thresholds are learned for each.

    Raises
    ------
    ParameterError

    References
    ----------
    .. [1] K. Gregor, Y. LeCun, "Learning fast approximations of sparse coding", ICML (2010).
    .. [2] I. Daubechies, M. Defrise, C. De Mol, "An iterative thresholding algorithm for linear inverse
       problems with a sparsity constraint", Commun. Pure Appl. Math. 57 (2004).

    Examples
    --------
    >>> from invcore.operators import Matrix
    >>> A = Matrix(torch.diag(torch.tensor([1.0, 2.0])))
    >>> LISTA(A, weight=0.1, steps=50)(torch.tensor([2.0, 4.0]), Physics(A)).detach().round(decimals=3)
    tensor([1.9000, 1.9750])
    """

    def __init__(
        self, operator: LinearOperator, *, weight: float = 0.1, steps: int = 16, tied: bool = True
    ) -> None:
        super().__init__()
        if not isinstance(operator, LinearOperator):
            raise invcore.ParameterError(f"LISTA: operator must be linear, got {operator!r:.80}")
        if not (isinstance(steps, int) and steps >= 1 and weight > 0):
            raise invcore.ParameterError(
                f"LISTA: steps must be a whole number >= 1 and weight positive, got {steps!r} and {weight!r}"
            )
        self.operator, self.weight, self.steps, self.tied = operator, weight, steps, tied
        n = real_size_of(operator.domain)
        with torch.no_grad():
            eye = torch.eye(n, dtype=operator.dtype, device=operator.device)
            rows = flatten(operator(unflatten(eye, operator.domain)), operator.range)  # Aᵀ, in real numbers
            L = operator.norm() ** 2
            if not L > 0:
                raise invcore.ParameterError("LISTA: the operator is zero")
        copies = () if tied else (steps,)
        self.of_data = Parameter((rows / L).expand(*copies, *rows.shape).clone())
        self.of_image = Parameter((eye - rows @ rows.mT / L).expand(*copies, n, n).clone())
        self.threshold = Number((weight / L).expand(steps), 0.0, dtype=rows.dtype, device=rows.device)

    def forward(self, y: Any, physics: Physics) -> Tensor:
        """Reconstruct.

        Parameters
        ----------
        y : Tensor, shape (batch..., *range.shape)
        physics : Physics
            Of the operator that the model is for.

        Returns
        -------
        Tensor, shape (batch..., *domain.shape)
        """
        space = self.operator.domain
        if (physics.domain, physics.range) != (space, self.operator.range):
            raise invcore.ShapeError(
                f"LISTA is for an operator from {space} to {self.operator.range}, not from {physics.domain} "
                f"to {physics.range}"
            )
        check(y, self.operator.range, "LISTA: data y")
        data, thresholds, shrink = flatten(y, self.operator.range), self.threshold(), L1()
        x = torch.zeros_like(data[..., :1])
        for k in range(self.steps):
            of_data, of_image = (m if self.tied else m[k] for m in (self.of_data, self.of_image))
            v = data @ of_data.mT
            if k:
                v = v + flatten(x, space) @ of_image.mT
            x = shrink.prox(unflatten(v, space), thresholds[k], space)
        return x
