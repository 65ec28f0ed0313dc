"""The loop that runs every sampler, and what it returns."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from .._errors import MissingDependencyError, ParameterError, SolverError
from .._finite import is_finite
from .._physics import Physics
from .._problem import Problem, warn_of_unit
from ..solvers._checkpoint import Checkpoint, Run
from ..solvers._driver import check_inputs
from ..solvers._progress import watching
from ..spaces import check, tree_map
from ._diagnostics import effective_size, entrywise, quantile, r_hat

if TYPE_CHECKING:
    from ._base import Sampler

_CHECK_EVERY = 16
"""Steps between looks at whether the image is finite (each look waits for the device)."""


@dataclass(frozen=True)
class Chain:
    """Draws from a posterior.

    Its diagnostics are of the draws that were kept, entry by entry, as ArviZ has them: ranks in place of
    values, and each chain as its two halves [1]_. Of complex images the worse of real and imaginary part.

    Attributes
    ----------
    draws : Tensor, shape (draw, chains, batch..., *domain.shape)
        Those that were kept, in order; without the dimension ``chains`` if it was not asked for.
    mean, variance : Tensor, shape (chains, batch..., *domain.shape)
        Over all draws; the variance of a single one is NaN. Of complex images the variance is that of real
        and imaginary part together.
    last : Tensor
        The last draw.
    number : int
        How many draws mean and variance are over.
    steps : int
    state : object
        The last state of the sampler.
    problem : Problem
    stopped : bool
        Whether a callback stopped it.
    chains : int or None
        Number of chains for each of the data.

    References
    ----------
    .. [1] A. Vehtari, A. Gelman, D. Simpson, B. Carpenter, P.-C. Bürkner, "Rank-normalization, folding, and
       localization: an improved R-hat for assessing convergence of MCMC", Bayesian Anal. 16 (2021).
    """

    draws: Any
    mean: Any
    variance: Any
    last: Any
    number: int
    steps: int
    state: Any
    problem: Problem
    stopped: bool = False
    chains: int | None = None

    def __repr__(self) -> str:
        return f"Chain({self.number} draws in {self.steps} steps{', stopped' if self.stopped else ''})"

    @property
    def std(self) -> Any:
        """Standard deviation of the draws."""
        return tree_map(torch.sqrt, self.variance)

    def quantile(self, q: float | Sequence[float]) -> Tensor:
        """Quantiles of each pixel over the kept draws of all chains.

        Parameters
        ----------
        q : float or sequence of float
            From 0 to 1.

        Returns
        -------
        Tensor, shape (q, batch..., *domain.shape)
            Without the first dimension for one number.
        """
        draws = self._kept(1)
        if draws.is_complex():
            raise ParameterError("complex numbers have no order: quantile is for real images")
        return quantile(draws.flatten(0, 1), q)

    def r_hat(self) -> Tensor:
        """R-hat of each pixel, which is 1 where chains, and their halves, agree; 1.01 is a usual limit.

        Returns
        -------
        Tensor, shape (batch..., *domain.shape)
        """
        found = entrywise(r_hat, self._real(4))
        return found.amax(-1) if self.draws.is_complex() else found

    def ess(self) -> Tensor:
        """The effective sample size of each pixel: how many independent draws know the mean as well.

        Returns
        -------
        Tensor, shape (batch..., *domain.shape)
            At most the number of kept draws, times log10 of it for draws that alternate.
        """
        found = entrywise(effective_size, self._real(4))
        return found.amin(-1) if self.draws.is_complex() else found

    def slowest_ess(self, *, generator: torch.Generator, projections: int = 10) -> Tensor:
        """The smallest effective sample size of random projections of the image.

        Parameters
        ----------
        generator : torch.Generator
            Draws the directions.
        projections : int

        Returns
        -------
        Tensor, shape (batch...)
        """
        draws, space = self._real(4), self.problem.image_space
        n = space.real_size
        lines = torch.randn(n, projections, generator=generator, dtype=draws.dtype, device=generator.device)
        values = draws.reshape(*draws.shape[: draws.ndim - len(space.shape) - self.draws.is_complex()], n)
        return entrywise(effective_size, values @ lines.to(draws.device)).amin(-1)

    def to_arviz(self) -> Any:
        """The kept draws as ArviZ's data, with the variable ``x`` (complex: ``x_real`` and ``x_imag``).

        Raises
        ------
        MissingDependencyError
            If ArviZ is not installed.
        """
        try:
            import arviz  # type: ignore[import-not-found, unused-ignore]
        except ImportError as error:
            raise MissingDependencyError("to_arviz needs ArviZ: pip install arviz") from error
        draws = self._kept(1).movedim(1, 0).detach().cpu()
        parts = {"x_real": draws.real, "x_imag": draws.imag} if draws.is_complex() else {"x": draws}
        arrays = {name: part.numpy() for name, part in parts.items()}
        grouped = int(arviz.__version__.split(".")[0]) >= 1
        return arviz.from_dict({"posterior": arrays}) if grouped else arviz.from_dict(posterior=arrays)

    def _kept(self, least: int) -> Tensor:
        """The kept draws, (draw, chain, ...)."""
        if not isinstance(self.draws, Tensor) or len(self.draws) < least:
            kept = 0 if self.draws is None else len(self.draws)
            raise ParameterError(
                f"this needs at least {least} kept draws of a single image, the chain has {kept}: "
                "sampler.chain(..., draws=..., keep=...)"
            )
        return self.draws if self.chains is not None else self.draws.unsqueeze(1)

    def _real(self, least: int) -> Tensor:
        """As `_kept`, complex numbers as a last dimension of two."""
        draws = self._kept(least)
        return torch.view_as_real(draws) if draws.is_complex() else draws


class _Moments(NamedTuple):
    """Running mean and sum of squared deviations (Welford), in double precision."""

    n: int
    mean: Any
    squares: Any

    def with_draw(self, x: Any) -> _Moments:
        n = self.n + 1
        x = tree_map(_double, x)
        if n == 1:
            return _Moments(1, x, tree_map(lambda t: torch.zeros_like(t.real), x))
        mean = tree_map(lambda m, t: m + (t - m) / n, self.mean, x)
        squares = tree_map(
            lambda s, t, old, new: s + ((t - old) * (t - new).conj()).real, self.squares, x, self.mean, mean
        )
        return _Moments(n, mean, squares)


class _Position(NamedTuple):
    """Where a chain is: everything that it needs to go on."""

    state: Any
    generator: torch.Generator
    moments: _Moments
    kept: tuple[Any, ...]


def drive(
    sampler: Sampler,
    y: Any,
    physics: Physics,
    *,
    draws: int,
    generator: torch.Generator,
    chains: int | None,
    keep: int,
    x0: Any,
    progress: bool,
    callback: Callable[[int, Problem, Any], Any] | None,
    checkpoint: str | os.PathLike[str] | None,
    checkpoint_every: float,
) -> Chain:
    """See `Sampler.chain`."""
    name = type(sampler).__name__
    if not isinstance(generator, torch.Generator):
        raise ParameterError(
            f"{name} draws random numbers: give generator=torch.Generator().manual_seed(0), got {generator!r}"
        )
    for what, value, least in (("draws", draws, 1), ("keep", keep, 0), ("chains", chains, 1)):
        if value is not None and not (isinstance(value, int) and value >= least):
            raise ParameterError(f"{name}: {what} must be a whole number from {least} on, got {value!r}")
    check(y, physics.range, f"{name}: data y")
    if x0 is not None:
        check(x0, physics.domain, f"{name}: starting point x0")
    check_inputs(sampler, y, physics, x0)
    every = -(-draws // keep) if keep else 0
    saver = None
    if checkpoint is not None:
        inputs = {"sampler": sampler, "physics": physics, "y": y, "x0": x0, "draws": draws, "chains": chains}
        inputs |= {"keep": keep, "generator": generator.get_state()}
        saver = Checkpoint(checkpoint, checkpoint_every, inputs)
    if chains is not None:
        y = tree_map(lambda t: t.expand(chains, *t.shape), y)
        x0 = None if x0 is None else tree_map(lambda t: t.expand(chains, *t.shape), x0)
    first, between = sampler.burn_in, sampler.burn_in if sampler.independent else sampler.thin
    total = first + (draws - 1) * between
    with torch.no_grad(), watching(progress, name, total) as watch:
        watch.phase("first application")
        problem = sampler.problem(y, physics, x0)
        warn_of_unit(problem, getattr(sampler, "denoiser", None))
        state = sampler.init(problem, generator)
        run = Run(_Position(state, generator, _Moments(0, 0.0, 0.0), ()), torch.zeros((), dtype=torch.bool))
        if saver is not None:
            run = saver.load(run, sampler)
            generator.set_state(run.state.generator.get_state())
        position = run.state._replace(generator=generator)
        stopped, last = False, None
        watch.start(0.0)
        if total == 0:
            last = sampler.value(problem, position.state)
            position = _drawn(position, last, every)
        for k in range(run.k, total):
            state = sampler.step(problem, position.state, generator)
            if k % _CHECK_EVERY == _CHECK_EVERY - 1 or k == total - 1:
                _require_finite(name, sampler.value(problem, state), k + 1)
            position = position._replace(state=state)
            if k + 1 >= first and (k + 1 - first) % between == 0:
                last = sampler.value(problem, state)
                position = _drawn(position, last, every)
                if sampler.independent and k + 1 < total:
                    position = position._replace(state=sampler.init(problem, generator))
            run.state, run.k = position, k + 1
            if progress:
                watch.advance(None)
            if callback is not None and callback(k, problem, state):
                stopped = True
                break
            if saver is not None and saver.due():
                saver.save(run)
        if saver is not None:
            saver.save(run)
        if last is None:
            last = sampler.value(problem, position.state)
    n, kept = position.moments.n, position.kept
    spread = 1 / (n - 1) if n > 1 else math.nan  # one draw says nothing of it
    variance = tree_map(lambda s: spread * s, position.moments.squares) if n else None
    like = last
    return Chain(
        draws=tree_map(lambda *some: torch.stack(some), *kept) if kept else None,
        mean=tree_map(lambda m, t: m.to(t.dtype), position.moments.mean, like) if n else None,
        variance=None if variance is None else tree_map(lambda v, t: v.to(t.real.dtype), variance, like),
        last=last,
        number=n,
        steps=run.k,
        state=position.state,
        problem=problem,
        stopped=stopped,
        chains=chains,
    )


def _drawn(position: _Position, x: Any, every: int) -> _Position:
    """The position with one more draw in its moments, and among those kept if its turn has come."""
    moments = position.moments.with_draw(x)
    kept = (*position.kept, x) if every and position.moments.n % every == 0 else position.kept
    return position._replace(moments=moments, kept=kept)


def _double(x: Tensor) -> Tensor:
    return x.to(torch.complex128 if x.is_complex() else torch.float64)


def _require_finite(name: str, x: Any, steps: int) -> None:
    if not is_finite(x):
        raise SolverError(
            f"{name}: the image became infinite or NaN within {steps} steps: take a smaller step size, or, "
            "of a diffusion sampler, a smaller weight of the guidance"
        )
