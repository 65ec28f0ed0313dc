"""`LearnedSolver`: a module whose parameters stand inside a frozen solver."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import Module, ModuleDict, ModuleList

import invcore
from invcore import Prior, Solver

from .fields import found_at, kind_of, numbers_in, with_fields
from .parameter import Number
from .sequence import Sequence


class LearnedSolver(Module):
    """Base class of modules around a solver: `Unrolled` and `Equilibrium`.

    The solver stays the frozen value that it is. Its networks are submodules, as they are; the numbers named
    in ``learn`` and ``per_step`` are parameters. `current` is the solver with their present values.
    """

    def __init__(
        self, solver: Solver, learn: Iterable[str], per_step: Iterable[str] = (), steps: int | None = None
    ) -> None:
        super().__init__()
        if not isinstance(solver, Solver):
            raise invcore.ParameterError(
                f"{self._name}: solver must be a solver, as invcore.solver(NAME, ...) makes one, got "
                f"{solver!r:.80}"
            )
        if isinstance(learn, str) or isinstance(per_step, str):
            raise invcore.ParameterError(f"{self._name}: paths come as a tuple, such as ('weight',)")
        self.solver, self.learn, self.per_step = solver, tuple(learn), tuple(per_step)
        self._limit = {} if steps is None else {"max_steps": steps}
        twice = sorted(set(self.learn) & set(self.per_step))
        if twice:
            raise invcore.ParameterError(f"{self._name}: {twice} are to be tied and of each step: choose one")
        self.networks, self.numbers = ModuleDict(), ModuleDict()
        found = solver.networks()
        for path in self.per_step:
            self._require_steps(path)
        for path, network in found.items():
            if path in self.learn:
                raise invcore.ParameterError(
                    f"{self._name}: {path} is a network, which learns without being named: learn= is for "
                    "numbers, per_step= for a copy of a network for each step"
                )
            each = [network] if path in self.per_step else []
            each += [copy.deepcopy(network) for _ in range((steps or 1) - 1) if each]
            self.networks[_key(path)] = ModuleList(each) if each else network
        for path in (*self.learn, *self.per_step):
            if path not in found:
                self.numbers[_key(path)] = self._number(path, steps if path in self.per_step else None)
        self.current()

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _require_steps(self, path: str) -> None:
        """Refuse a value for each step where the solver takes one for all."""
        inside = path.startswith("prior.") and isinstance(getattr(self.solver, "prior", None), Prior)
        if not inside and path not in self.solver.per_step:
            raise invcore.ParameterError(
                f"{self._name}: {type(self.solver).__name__} takes no value of {path!r} for each step, but "
                f"of {list(self.solver.per_step)} and of what is inside a prior ('prior.…'): name it in "
                "learn="
            )

    def _number(self, path: str, steps: int | None) -> Number:
        """The parameter for what stands at a path."""
        solver, name = self.solver, self._name
        held, owner = found_at(solver, path)
        if isinstance(held, str) and held == "auto":
            raise invcore.ParameterError(
                f"{name}: {path}='auto' is chosen anew for all data, so there is nothing to learn: start "
                "from a number, such as solver.problem(y, physics).weight for typical data"
            )
        start = _start(held, owner, path, steps)
        if start is None:
            raise invcore.ParameterError(
                f"{name}: {path!r} is no number to start from (it is {held!r:.60}); the numbers of this "
                f"solver: {', '.join(numbers_in(solver)) or 'none'}; its networks: "
                f"{', '.join(solver.networks()) or 'none'}"
            )
        low, high = _bounds(owner, path.split(".")[-1], start)
        if low > -math.inf and not bool(((start > low) & (start < high)).all()):
            raise invcore.ParameterError(
                f"{name}: {path} must start between {low:g} and {high:g}, where it stays while it is "
                f"learned; it starts at {held!r:.60}"
            )
        like = start if isinstance(held, Tensor) else torch.empty(0, dtype=solver.dtype, device=solver.device)
        return Number(start, low, high, dtype=like.dtype, device=like.device)

    def current(self) -> Solver:
        """The solver with the present values of what is learned; differentiable with respect to them."""
        tied: dict[str, Any] = dict(self._limit)
        inside: dict[str, tuple[Any, ...]] = {}
        for path in (*self.solver.networks(), *self.learn, *self.per_step):
            key = _key(path)
            own: Any = self.networks[key] if key in self.networks else self.numbers[key]()
            if path not in self.per_step:
                tied[path] = own
            elif path in self.solver.per_step:
                tied[path] = tuple(own)
            else:
                inside[path.removeprefix("prior.")] = tuple(own)
        solver = with_fields(self.solver, tied)
        if not inside:
            return solver
        each = [dict(zip(inside, values)) for values in zip(*inside.values())]
        return with_fields(solver, {"prior": Sequence(tuple(with_fields(solver.prior, own) for own in each))})

    def learned(self) -> dict[str, Tensor]:
        """The present values of the numbers, by their paths; one for each step where there are."""
        paths = (path for path in (*self.learn, *self.per_step) if _key(path) in self.numbers)
        return {path: self.numbers[_key(path)]().detach() for path in paths}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move what the solver holds beside its networks, too."""
        super()._apply(fn, recurse)
        before = torch.empty(0, dtype=self.solver.dtype, device=self.solver.device)
        after = fn(before)
        if after.device != before.device:
            self.solver = self.solver.to(after.device)
        if after.dtype != before.dtype and after.dtype in (torch.float32, torch.float64):
            self.solver = self.solver.to(after.dtype)
        return self


def _key(path: str) -> str:
    """The name of a submodule, which has no dots."""
    return path.replace(".", "_")


def _start(held: Any, owner: Any, path: str, steps: int | None) -> Tensor | None:
    """The number or tensor at a path, or as many as there are steps; None if it is none.

    Numbers come in double precision.
    """
    rows = held if isinstance(held, tuple) else (held,)
    if not rows or not all(map(_is_number, rows)) or (isinstance(held, tuple) and steps is None):
        return None
    if any(isinstance(v, int) for v in rows) and "float" not in kind_of(owner, path.split(".")[-1]):
        return None
    tensors = [v.detach() if isinstance(v, Tensor) else torch.tensor(v, dtype=torch.float64) for v in rows]
    if steps is None:
        return tensors[0]
    return torch.stack([tensors[min(k, len(tensors) - 1)] for k in range(steps)])


def _is_number(held: Any) -> bool:
    if isinstance(held, Tensor):
        return held.is_floating_point() or held.is_complex()
    return isinstance(held, int | float) and not isinstance(held, bool)


def _bounds(owner: Any, name: str, start: Tensor) -> tuple[float, float]:
    """The bounds that the class of a value states; else positive numbers stay positive, all else is free."""
    for base in type(owner).__mro__:
        if name in vars(base).get("bounds", {}):
            return vars(base)["bounds"][name]
    held = getattr(owner, name)
    one = held[0] if isinstance(held, tuple) else held
    scalar = not isinstance(one, Tensor) or (one.ndim == 0 and not one.is_complex())
    return (0.0, math.inf) if scalar and bool((start > 0).all()) else (-math.inf, math.inf)
