"""MoDL: a network, and a least-squares solve, in turn."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from torch import Tensor
from torch.nn import Module

import invcore
from invcore.fidelities import Fidelity, LeastSquares
from invcore.solvers import Problem, Solver

from .channels import applied, from_channels, image_space, none_done, to_channels
from .unrolled import Unrolled


def modl(network: Module, *, steps: int = 10, weight: float = 0.05, checkpointed: bool = False) -> Unrolled:
    """MoDL: a network that denoises and a least-squares solve that fits the data, in turn [1]_.

    .. math:: z_k = N(x_k), \\quad x_{k+1} = \\operatorname{argmin}_x ‖Ax - y‖^2 + λ‖A‖^2 ‖x - z_k‖^2

    from x₀ = 0 with z₀ = Aᴴy/‖A‖². The network and λ are learned, the same in all steps. The solve is
    differentiated implicitly.

    Parameters
    ----------
    network : Module
        From real images to images; a complex image is two channels of it.
    steps : int
    weight : float
        λ at the start.
    checkpointed : bool
        As of `Unrolled`.

    Returns
    -------
    Unrolled

    References
    ----------
    .. [1] H. K. Aggarwal, M. P. Mani, M. Jacob, "MoDL: model-based deep learning architecture for inverse
       problems", IEEE Trans. Med. Imaging 38 (2019).

    Examples
    --------
    >>> import torch
    >>> from invcore import Physics
    >>> from invcore.operators import Mask
    >>> physics = Physics(Mask(torch.ones(1, 4, 4), (1, 4, 4)))
    >>> modl(torch.nn.Identity(), steps=2)(torch.ones(1, 4, 4), physics).mean().item()
    1.0
    """
    return Unrolled(
        ModelBased(network=network, weight=weight), steps=steps, learn=("weight",), checkpointed=checkpointed
    )


class _State(NamedTuple):
    x: Tensor
    z: Tensor


class ModelBased(Solver):
    """The steps of `modl`."""

    units: ClassVar[dict[str, int] | None] = None
    network: Module
    weight: float | Tensor = 0.05
    fidelity: Fidelity | None = None
    max_steps: int = 10
    rtol: float = 0.0
    params = ("weight",)

    def init(self, problem: Problem) -> _State:
        """The scaled adjoint."""
        if not isinstance(problem.fidelity, LeastSquares):
            raise invcore.ParameterError(
                f"modl is for Gaussian noise: the data fidelity is {type(problem.fidelity).__name__}, and "
                "its solve is one of least squares"
            )
        image_space(problem.space, "modl")
        return _State(problem.start(), problem.linear.H(problem.y) / problem.linear.norm() ** 2)

    def step(self, problem: Problem, state: _State) -> _State:
        """One solve, and one application of the network."""
        A = problem.linear
        shift = problem.weight * A.norm() ** 2
        x: Any = invcore.least_squares(A, problem.y, shift=shift, center=state.z)
        space = image_space(problem.space, "modl")
        z = applied(self.network, to_channels(x, space), len(space.shape) - 1)
        return _State(x, from_channels(z, space))

    def converged(self, problem: Problem, state: _State) -> Tensor:
        """Never."""
        return none_done(state.x, image_space(problem.space, "modl"))
