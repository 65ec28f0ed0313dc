"""The variational network: gradient steps with a network of its own for each."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module

import invcore
from invcore import Physics
from invcore.fidelities import Fidelity
from invcore.solvers import Problem, Solver
from invcore.spaces import scaled

from .channels import applied, from_channels, image_space, none_done, to_channels
from .unrolled import Unrolled


def variational_network(
    network: Module, *, steps: int = 8, step_size: float = 1.0, tied: bool = False, checkpointed: bool = False
) -> Unrolled:
    """Variational network: gradient steps, with a network for the gradient of the regularizer [1]_.

    .. math:: x_{k+1} = x_k - t_k ∇f(Ax_k)/L - N_k(x_k), \\quad x_0 = A^{\\mathsf H}y/‖A‖^2,

    with L the Lipschitz constant of ∇f and t_k in (0, 2). All t_k and all N_k are learned.

    Parameters
    ----------
    network : Module
        From real images to images; a complex image is two channels of it. Each step starts with a copy. One
        that starts at zero, such as ``UNet(residual=False)``, starts as gradient descent.
    steps : int
    step_size : float
        t at the start.
    tied : bool
        One network and one step size for all steps.
    checkpointed : bool
        As of `Unrolled`.

    Returns
    -------
    Unrolled

    References
    ----------
    .. [1] K. Hammernik et al., "Learning a variational network for reconstruction of accelerated MRI data",
       Magn. Reson. Med. 79 (2018).

    Examples
    --------
    >>> from invcore.operators import Mask
    >>> physics = Physics(Mask(torch.ones(1, 4, 4), (1, 4, 4)))
    >>> model = variational_network(torch.nn.Conv2d(1, 1, 3, padding=1), steps=2)
    >>> model(torch.ones(1, 4, 4), physics).shape, len(list(model.parameters()))
    (torch.Size([1, 4, 4]), 5)
    """
    solver = VariationalSteps(network=network, step_size=step_size)
    learned = ("network", "step_size")
    return (
        Unrolled(solver, steps=steps, learn=learned[1:], checkpointed=checkpointed)
        if tied
        else Unrolled(solver, steps=steps, per_step=learned, checkpointed=checkpointed)
    )


class _State(NamedTuple):
    x: Tensor


class VariationalSteps(Solver):
    """The steps of `variational_network`."""

    units: ClassVar[dict[str, int] | None] = None
    bounds: ClassVar[dict[str, tuple[float, float]]] = {"step_size": (0.0, 2.0)}
    network: Module | tuple[Module, ...]
    step_size: float | Tensor | tuple[float | Tensor, ...] = 1.0
    fidelity: Fidelity | None = None
    max_steps: int = 8
    rtol: float = 0.0
    params = ("step_size",)
    per_step = ("network", "step_size")

    def init(self, problem: Problem) -> _State:
        """The scaled adjoint."""
        image_space(problem.space, "variational_network")
        return _State(problem.linear.H(problem.y) / problem.linear.norm() ** 2)

    def step(self, problem: Problem, state: _State) -> _State:
        """Both gradients at the same image."""
        assert isinstance(self.network, Module)
        x, space = state.x, image_space(problem.space, "variational_network")
        step_size: Any = self.step_size  # the driver gives each step its own
        slope = scaled(step_size / problem.lipschitz, problem.gradient(x), space)
        own = applied(self.network, to_channels(x, space), len(space.shape) - 1)
        return _State(x - slope - from_channels(own, space))

    def converged(self, problem: Problem, state: _State) -> Tensor:
        """Never."""
        return none_done(state.x, image_space(problem.space, "variational_network"))


class E2EVarNet(Module):
    r"""End-to-end variational network: refine the coil sensitivities, then reconstruct with them [1]_.

    .. math:: \tilde s_c = (s_c + N(s_c))/\sqrt{\sum_{c'} |s_{c'} + N(s_{c'})|^2}

    with one network N for all coils, from the maps s that the operator has, such as those of ESPIRiT. Both
    parts are trained together, through the operator's derivative to its maps.

    Parameters
    ----------
    model : Module
        R(y, physics), such as `variational_network`.
    sensitivity : Module
        N, from two channels (real and imaginary part) to two.
    parameter : str
        The name of the operator's parameter that has the maps, complex, (batch..., coil, *spatial).

    References
    ----------
    .. [1] A. Sriram et al., "End-to-end variational networks for accelerated MRI reconstruction", MICCAI
       (2020).

    Examples
    --------
    >>> from invcore import Space
    >>> from invcore.operators import Mask
    >>> conv = torch.nn.Conv2d(2, 2, 3, padding=1)
    >>> model = E2EVarNet(variational_network(conv, steps=2), conv, parameter="mask")
    >>> sensitivity = torch.ones(1, 4, 4, dtype=torch.complex64)  # of a single coil
    >>> physics = Physics(Mask(sensitivity, Space((1, 4, 4), "complex")))
    >>> model.refined(physics).abs().mean().round(decimals=4).item()
    1.0
    """

    def __init__(self, model: Module, sensitivity: Module, *, parameter: str = "maps") -> None:
        super().__init__()
        self.model, self.sensitivity, self.parameter = model, sensitivity, parameter

    def forward(self, y: Any, physics: Physics) -> Tensor:
        """Reconstruct.

        Parameters
        ----------
        y : Tensor or tuple of Tensor, shape (batch..., *range.shape)
        physics : Physics
            Its operator has maps.

        Returns
        -------
        Tensor, shape (batch..., *domain.shape)

        Raises
        ------
        ParameterError
            If the operator has no complex parameter of that name.
        """
        return self.model(y, physics.bind(**{self.parameter: self.refined(physics)}))

    def refined(self, physics: Physics) -> Tensor:
        """The refined maps, of unit root sum of squares over the coils where the given ones are not zero."""
        maps = physics.parameters().get(self.parameter)
        if maps is None or not maps.is_complex():
            raise invcore.ParameterError(
                f"E2EVarNet: {type(physics.operator).__name__} has no complex parameter {self.parameter!r} "
                f"that could be refined; it has {list(physics.parameters())}"
            )
        dims = len(image_space(physics.domain, "E2EVarNet").shape) - 1
        single = invcore.Space((1, *maps.shape[-dims:]), "complex")
        change = applied(self.sensitivity, to_channels(maps.unsqueeze(-dims - 1), single), dims)
        new = maps + from_channels(change, single).squeeze(-dims - 1)
        energy = new.abs().square().sum(-dims - 1, keepdim=True)
        seen = (maps.abs().square().sum(-dims - 1, keepdim=True) > 0) & (energy > 0)
        return torch.where(seen, new / torch.where(seen, energy, 1).sqrt(), 0)
