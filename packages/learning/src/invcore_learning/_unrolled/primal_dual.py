"""Learned primal-dual."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module

import invcore
from invcore import Space
from invcore.fidelities import Fidelity
from invcore.solvers import Problem, Solver
from invcore.spaces import zeros

from .channels import applied, from_channels, image_space, none_done, to_channels
from .unrolled import Unrolled


def learned_primal_dual(
    primal: Module,
    dual: Module,
    *,
    steps: int = 10,
    memory: int = 5,
    tied: bool = False,
    checkpointed: bool = False,
) -> Unrolled:
    """Learned primal-dual: networks in place of both proximal operators, with a memory [1]_.

    .. math::
        u_{k+1} = u_k + Γ_k(u_k, Ax_k^{(2)}, y), \\quad x_{k+1} = x_k + Λ_k(x_k, A^{\\mathsf H}u_{k+1}^{(1)})

    x is a stack of ``memory`` images, u of as many data, both zero at first; the operator is divided by its
    norm, and so are the data. For any linear operator, whose data are (channel, *spatial) as its images are.
    All networks are learned. The result is the first image of the stack.

    Parameters
    ----------
    primal : Module
        Λ, from (memory + 1) c to memory c channels, with c those of the image, or twice as many for a complex
        one. Each step starts with a copy.
    dual : Module
        Γ, from (memory + 2) d to memory d channels, with d those of the data.
    steps : int
    memory : int
        At least 2.
    tied : bool
        The same networks in all steps.
    checkpointed : bool
        As of `Unrolled`.

    Returns
    -------
    Unrolled

    References
    ----------
    .. [1] J. Adler, O. Öktem, "Learned primal-dual reconstruction", IEEE Trans. Med. Imaging 37 (2018).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Mask
    >>> physics = Physics(Mask(torch.ones(1, 4, 4), (1, 4, 4)))
    >>> conv = lambda n, m: torch.nn.Conv2d(n, m, 3, padding=1)
    >>> model = learned_primal_dual(conv(3, 2), conv(4, 2), memory=2, steps=3)
    >>> model(torch.ones(5, 1, 4, 4), physics).shape
    torch.Size([5, 1, 4, 4])
    """
    solver = PrimalDualSteps(primal, dual, memory=memory)
    per_step = () if tied else ("primal", "dual")
    return Unrolled(solver, steps=steps, per_step=per_step, checkpointed=checkpointed)


class _State(NamedTuple):
    x: Tensor
    u: Tensor


class PrimalDualSteps(Solver):
    """The steps of `learned_primal_dual`."""

    units: ClassVar[dict[str, int] | None] = None
    primal: Module | tuple[Module, ...]
    dual: Module | tuple[Module, ...]
    memory: int = 5
    fidelity: Fidelity | None = None
    max_steps: int = 10
    rtol: float = 0.0
    per_step = ("primal", "dual")

    def __post_init__(self) -> None:
        if not (isinstance(self.memory, int) and self.memory >= 2):
            raise invcore.ParameterError(
                f"learned_primal_dual: memory must be a whole number >= 2, got {self.memory!r}"
            )

    def init(self, problem: Problem) -> _State:
        """Zero, with all channels."""
        image, data = _spaces(problem)
        batch = problem.start().shape[: -len(image.shape)]
        like = {"dtype": problem.y.dtype.to_real(), "device": problem.y.device}
        return _State(*(zeros(_stacked(s, self.memory), batch, **like) for s in (image, data)))

    def step(self, problem: Problem, state: _State) -> _State:
        """One application of each network."""
        assert isinstance(self.primal, Module) and isinstance(self.dual, Module)
        image, data = _spaces(problem)
        A, c = problem.linear, problem.linear.norm()
        c = torch.where(c > 0, c, 1)
        x, u = state
        y = to_channels(problem.y / c, data).expand(
            *u.shape[: -len(data.shape)], -1, *u.shape[-len(data.shape) + 1 :]
        )
        shown = to_channels(A(self._part(x, image, 1)) / c, data)
        u = u + applied(self.dual, torch.cat([u, shown, y], dim=-len(data.shape)), len(data.shape) - 1)
        back = to_channels(A.H(self._part(u, data, 0)) / c, image)
        x = x + applied(self.primal, torch.cat([x, back], dim=-len(image.shape)), len(image.shape) - 1)
        return _State(x, u)

    def _part(self, stack: Tensor, space: Space, i: int) -> Tensor:
        """One image of the stack."""
        n = stack.shape[-len(space.shape)] // self.memory
        return from_channels(stack.narrow(-len(space.shape), i * n, n), space)

    def converged(self, problem: Problem, state: _State) -> Tensor:
        """Never."""
        return none_done(state.x, _spaces(problem)[0])

    def value(self, problem: Problem, state: _State) -> Any:
        """The first image of the stack."""
        return self._part(state.x, _spaces(problem)[0], 0)


def _spaces(problem: Problem) -> tuple[Space, Space]:
    return image_space(problem.space, "learned_primal_dual"), image_space(
        problem.A.range, "learned_primal_dual"
    )


def _stacked(space: Space, memory: int) -> Space:
    """Real images with the channels of all."""
    channels = memory * space.shape[0] * (2 if space.kind == "complex" else 1)
    return Space((channels, *space.shape[1:]))
