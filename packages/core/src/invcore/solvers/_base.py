"""`Solver`: the base class of iterative reconstruction methods."""

from __future__ import annotations

import math
import os
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from .._errors import ParameterError, SolverError
from .._physics import Physics
from .._problem import Problem
from .._value import Value, full_precision
from ..fidelities import Fidelity
from ..priors import Prior
from ..spaces import check
from ._implicit import attach_fixed_point
from ._per_step import check_lists
from ._solution import Solution
from ._support import Support, check_terms, rehearsed


class Solver(Value, abstract=True):
    """A frozen configuration that turns (y, physics) into an image.

    To write one, declare its options as fields and provide `init`, `step` and `converged`; the driver owns
    the loop. A state is any named tuple or dataclass of tensors with an entry ``x``. Every solver has the
    fields ``max_steps`` and ``rtol``; those with a regularization weight have ``weight`` and ``prior``.

    The options named in ``per_step`` may be tuples, with a value for each step, numbers or tensors (learned
    ones too): a continuation in the weight, a schedule of noise levels, the parameters of an unrolled
    network. All tuples of a solver are of one length. If that is less than ``max_steps`` the last value
    stays, and the problem solved is that of the last values: no sample stops before they are reached, and
    the objective, ``solution.problem`` and implicit derivatives are theirs. A longer tuple is refused. `step`
    itself sees one value, that of its step.

    Parameters
    ----------
    prior : Prior, optional
        g, with a proximal operator. None: no prior.
    weight : "auto", float, Tensor of shape (batch...), or tuple of them
        λ; with ``"auto"`` the prior suggests it from the noise level. A tuple has one for each step, where
        ``per_step`` has "weight".
    fidelity : Fidelity, optional
        f; by default the likelihood of the noise.
    max_steps : int
        Maximum number of steps.
    rtol : float
        Stop, per sample, when ‖x_{k+1} - x_k‖ ≤ rtol ‖x_{k+1}‖.
    inner_steps : int
        Maximum number of conjugate gradient steps in each inner solve.

    Attributes
    ----------
    per_step : tuple of str
        The options that may have a value for each step.
    bounds : dict of str to (float, float)
        Open intervals in which numbers of these names lie, so that they stay there where they are learned.
    prior_by : {"prox", "grad"} or None
        What the solver asks of a prior: one without it is refused at construction, with the solvers that can.
    stochastic_prior : bool
        Of a solver that takes the gradient: whether each step has its own draw of a stochastic prior
        (`Prior.at`). One that compares steps has not, and is refused such a prior.
    fidelity_by : {"lipschitz", "smooth"} or None
        What it asks of a fidelity: a Lipschitz gradient, or a continuous one.

    Examples
    --------
    >>> import torch
    >>> from invcore import Physics
    >>> from invcore.operators import Matrix
    >>> from invcore.solvers import ConjugateGradient
    >>> physics = Physics(Matrix(torch.eye(2)))
    >>> ConjugateGradient(weight=1.0)(torch.tensor([2.0, 4.0]), physics)
    tensor([1., 2.])
    """

    units: ClassVar[dict[str, int] | None] = {}
    per_step: ClassVar[tuple[str, ...]] = ()
    bounds: ClassVar[dict[str, tuple[float, float]]] = {"weight": (0.0, math.inf)}
    prior_by: ClassVar[Literal["prox", "grad"] | None] = None
    stochastic_prior: ClassVar[bool] = False
    fidelity_by: ClassVar[Literal["lipschitz", "smooth"] | None] = None

    def _check(self) -> None:
        check_lists(self)
        check_terms(self, Regularized.__subclasses__())

    @property
    def requires_nonnegative(self) -> bool:
        """True if the solver requires a nonnegative operator, data and image (counts, densities)."""
        return False

    @property
    def costly_objective(self) -> bool:
        """True if the objective takes much longer than a step; it is then recorded on demand only."""
        return False

    @abstractmethod
    def init(self, problem: Problem) -> Any:
        """The first state."""

    @abstractmethod
    def step(self, problem: Problem, state: Any) -> Any:
        """The next state."""

    @abstractmethod
    def converged(self, problem: Problem, state: Any) -> Tensor | bool:
        """Test each sample: bool of shape (batch...), or a Python bool for a single sample."""

    def value(self, problem: Problem, state: Any) -> Any:
        """The image in a state."""
        return state.x

    def change(self, problem: Problem, state: Any) -> Tensor | float | None:
        """Relative size of the last step of each sample, recorded by the driver; None if not available."""
        return getattr(state, "change", None)

    def found(self, problem: Problem, state: Any) -> Problem:
        """The problem with what a state says of the physics: the parameters that a blind solver estimates."""
        return problem

    def objective(self, problem: Problem, state: Any) -> Tensor:
        """What the solver minimizes at a state, of each sample."""
        return self.found(problem, state).objective(self.value(problem, state))

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        """A map with the solution as its fixed point, for ``differentiate="implicit"``."""
        raise SolverError(f"{type(self).__name__} has no implicit derivative: use differentiate='unroll'")

    def implicit(self, problem: Problem, x: Any) -> Any:
        """Give the converged ``x`` its derivatives without the iterations that led to it."""
        return attach_fixed_point(self.fixed_point, problem, x)

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        """Problem that this solver poses: fidelity from the noise, ``weight="auto"`` resolved."""
        weight = getattr(self, "weight", 1.0)
        for each in weight if isinstance(weight, tuple) else (weight,):
            _check_options(self, each, several=isinstance(weight, tuple))
            weight = each
        fidelity: Fidelity = getattr(self, "fidelity", None) or physics.likelihood()
        prior: Prior | None = getattr(self, "prior", None)
        problem = Problem(physics=physics, y=y, fidelity=fidelity, prior=prior, x0=x0)
        if not isinstance(weight, str):
            return problem.replace(weight=weight)
        if prior is None:
            return problem
        with torch.no_grad():
            found = prior.suggested_weight(y, physics, fidelity)
        return problem.replace(weight=found.value, x0=found.x0 if x0 is None else x0)

    def supports(
        self, physics: Physics, prior: Prior | None = None, *, fidelity: Fidelity | None = None
    ) -> Support:
        """Whether this solver can solve a problem, and if not why.

        Nothing is guessed: it takes its first step for the data of a constant image, which costs that step
        and the norm of the operator. A step that works is no promise to converge.

        Parameters
        ----------
        physics : Physics
        prior : Prior, optional
            In place of the solver's own.
        fidelity : Fidelity, optional
            In place of the solver's own; by default the likelihood of the noise.

        Returns
        -------
        Support
            True or false, with the reason in ``why``.

        Examples
        --------
        >>> from invcore import Physics
        >>> from invcore.operators import Identity
        >>> from invcore.priors import TV
        >>> from invcore.solvers import LBFGS
        >>> physics = Physics(Identity((1, 4, 4)))
        >>> bool(LBFGS().supports(physics, TV(smoothing=0.1)))
        True
        >>> print(LBFGS().supports(physics, TV()).why.partition(":")[0])
        LBFGS takes the gradient of the prior, and TV has no gradient without smoothing > 0
        """
        return rehearsed(self, physics, prior, fidelity)

    def __call__(self, y: Any, physics: Physics) -> Any:
        """Reconstruct: ``solver(y, physics)`` is ``solver.solve(y, physics).value``.

        Parameters
        ----------
        y : Tensor or tuple of Tensor, shape (batch..., *range.shape)
        physics : Physics

        Returns
        -------
        Tensor, shape (batch..., *domain.shape)
        """
        return self.solve(y, physics).value

    def _overrides(self, name: str) -> bool:
        """Return whether the class has a method ``name`` of its own."""
        return getattr(type(self), name) is not getattr(Solver, name)

    @full_precision
    def solve(
        self,
        y: Any,
        physics: Physics,
        *,
        x0: Any = None,
        callback: Callable[[int, Problem, Any], Any] | None = None,
        progress: bool = False,
        record_objective: bool = False,
        differentiate: Literal["none", "unroll", "unroll_checkpointed", "implicit", "jacobian_free"] = "none",
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: float = 60.0,
        throw: bool = True,
        steps: int | None = None,
    ) -> Solution:
        """Reconstruct, and report how the solve ended.

        Parameters
        ----------
        y : Tensor or tuple of Tensor, shape (batch..., *range.shape)
        physics : Physics
        x0 : Tensor, shape (batch..., *domain.shape), optional
            Starting point.
        callback : callable, optional
            ``callback(k, problem, state)`` after each step; a true result stops the solve. Data beyond 1e±6
            are solved in another unit: ``problem.unit * solver.value(problem, state)`` is the image.
        progress : bool
            Show a progress bar.
        record_objective : bool
            Record the objective after each step (one more application of the operator each).
        differentiate : {"none", "unroll", "unroll_checkpointed", "implicit", "jacobian_free"}
            No derivatives; through every step; the same with each step computed again in the backward pass
            (memory: one state a step); those of the solution (memory independent of the steps); or those of
            one step at the solution, as if it did not depend on where it started (cheap, and not the
            gradient, but often a descent direction).
        checkpoint : str or Path, optional
            A file that the running solve is written to, atomically. If it exists and belongs to the same
            solve (solver, physics, data and start are compared) the solve goes on from there, to the same
            bits on the same machine.
        checkpoint_every : float
            Seconds between writes.
        throw : bool
            Raise a `SolverError` if the iterates become infinite or NaN; else return the status.
        steps : int, optional
            Take exactly this many steps, whatever ``max_steps`` and ``rtol`` say.

        Raises
        ------
        ParameterError
            If an option is unknown or out of range.
        ShapeError, DtypeError, DataError
            If ``y`` does not fit the physics or is not finite.
        SolverError
            If the iterates become infinite, or the checkpoint belongs to another solve.
        """
        from ._driver import drive

        if not isinstance(physics, Physics):
            raise ParameterError(
                f"{type(self).__name__}(y, physics): physics must be a Physics, got "
                f"{type(physics).__name__}. "
                "Physics(A, noise) makes one of an operator; the data come first."
            )
        check(y, physics.range, f"{type(self).__name__}: data y")
        if x0 is not None:
            check(x0, physics.domain, f"{type(self).__name__}: starting point x0")
        return drive(
            self,
            y,
            physics,
            x0=x0,
            callback=callback,
            progress=progress,
            record_objective=record_objective,
            differentiate=differentiate,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            throw=throw,
            steps=steps,
        )


class Around:
    """What solvers around another one, ``solver``, have of it."""

    solver: Any

    @property
    def prior(self) -> Prior | None:
        """The same as of the solver inside."""
        return getattr(self.solver, "prior", None)

    @property
    def weight(self) -> Any:
        """The same as of the solver inside."""
        return getattr(self.solver, "weight", 1.0)

    @property
    def fidelity(self) -> Fidelity | None:
        """The same as of the solver inside."""
        return getattr(self.solver, "fidelity", None)


class Regularized(Solver, abstract=True, fields=True):
    """Base class of solvers with a prior and its weight."""

    prior: Prior | None = None
    weight: Literal["auto"] | float | Tensor | tuple[float | Tensor, ...] = "auto"
    fidelity: Fidelity | None = None
    max_steps: int = 20_000
    rtol: float = 1e-5
    params: ClassVar[tuple[str, ...]] = ("weight",)


def _check_options(solver: Solver, weight: Any, several: bool = False) -> None:
    """Raise a `ParameterError` unless weight, max_steps and rtol make sense."""
    name = type(solver).__name__
    if isinstance(weight, Tensor):
        good = not weight.is_complex() and bool(((weight >= 0) & torch.isfinite(weight)).all())
    elif isinstance(weight, str):
        good = weight == "auto" and not several
    else:
        good = isinstance(weight, int | float) and 0 <= weight < math.inf
    if not good:
        raise ParameterError(f"{name}: weight must be 'auto' or finite and not negative, got {weight!r}")
    max_steps, rtol = getattr(solver, "max_steps", 0), getattr(solver, "rtol", 0.0)
    if not (isinstance(max_steps, int) and max_steps >= 0):
        raise ParameterError(f"{name}: max_steps must be a whole number >= 0, got {max_steps!r}")
    if not 0 <= rtol < math.inf:
        raise ParameterError(f"{name}: rtol must be a finite number >= 0, got {rtol!r}")
