"""How far a result can be believed: what was solved, how well, and whether it explains the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from .._problem import tolerance
from ..fidelities import PoissonKL
from ..solvers import Status
from ..solvers._progress import brief
from ..spaces import real_size_of

if TYPE_CHECKING:
    from ._record import Reconstruction


class Fit(NamedTuple):
    """Misfit of the data per sample of them, which is about 1 where noise alone explains it."""

    name: str
    value: float
    samples: int
    telling: bool = True
    """False for counts too few (below 5 on average) for a deviance near 1."""


@torch.no_grad()
def fit_of(result: Reconstruction) -> Fit | None:
    """χ²/N for Gaussian errors, deviance/N for counts; None where the noise is unknown or of another kind.

    N counts real numbers, without those where data and model are exactly zero: what a mask leaves out.
    """
    physics, y = result.solution.physics, result.acquisition.y  # with what a blind solver found
    likelihood = physics.likelihood()
    if not physics.noise.random or not (likelihood.chi_square or isinstance(likelihood, PoissonKL)):
        return None
    predicted = physics.operator(result.solution.value)
    value = likelihood.value(predicted, y, physics.range)
    misfit, batch = float(value.sum()), value.numel()
    blocks = zip(_flat(predicted), _flat(y))
    zeros = sum(_zeros(u, v) for u, v in blocks)
    samples = batch * real_size_of(physics.range) - zeros
    if samples <= 0:
        return None
    if not isinstance(likelihood, PoissonKL):
        return Fit("χ²/N", 2 * misfit / samples, samples)
    gain = float(torch.as_tensor(likelihood.gain, dtype=torch.float64).mean())
    counts = sum(float(part.sum()) for part in _flat(y)) / gain
    return Fit("deviance/N", 2 * misfit / samples, samples, telling=counts >= 5 * samples)


def _flat(y: Any) -> list[Tensor]:
    return [part for block in y for part in _flat(block)] if isinstance(y, tuple) else [y]


def _zeros(u: Tensor, y: Tensor) -> int:
    nothing = (u == 0) & (y == 0)
    return int(nothing.sum()) * (2 if y.is_complex() else 1)


def outcome(result: Reconstruction) -> str:
    """How the solve ended: status, steps, change against tolerance, time and weight."""
    solution, solver = result.solution, result.solver
    changes = solution.stats.get("change")
    wanted = tolerance(solution.problem, solver.rtol) if hasattr(solver, "rtol") else None
    measured = ""
    if changes is not None and len(changes):
        measured = f"change {float(changes[-1].max()):.1e}"
        measured += f", wanted {brief(wanted)}" if wanted is not None else ""
    spent = f"{result.steps} steps in {result.seconds:.1f} s"
    if hasattr(solver, "weight"):
        spent += f", weight {result.weight:.3g}"
    if solution.status is Status.MAX_STEPS:
        limit = f"stopped at --max-steps {result.steps} before converging"
        return f"{limit} ({measured}; {spent})" if measured else f"{limit} ({spent})"
    word = "interrupted" if result.interrupted else solution.status.name.lower()
    return f"{word} after {spent}" + (f" ({measured})" if measured else "")


def verdict(result: Reconstruction) -> list[str]:
    """Return the sentences that belong at the top: solver and outcome, fit, what is left out, what to try."""
    solver = result.problem["solver"]
    names = [solver["name"]]
    prior = solver.get("prior")
    if isinstance(prior, Mapping) and "name" in prior:
        names.append(f"prior {prior['name']}")
    lines = [f"{', '.join(names)}: {outcome(result)}"]
    fit = result.fit
    if fit is None:
        lines.append("fit: not judged, because the file states no noise of a known kind")
    else:
        expected = "1 where noise alone is left" if fit.telling else "far below 1 for few counts: no measure"
        lines.append(f"fit: {fit.name} = {fit.value:.3g} for N = {fit.samples} data ({expected})")
    lines += [f"not all of the file: {sentence}" for sentence in result.acquisition.left_out]
    return lines + [f"try: {sentence}" for sentence in _advice(result, fit)]


def _advice(result: Reconstruction, fit: Fit | None) -> list[str]:
    found = []
    if result.interrupted:
        found.append("the same command again, to the end: the image is not finished")
    elif result.solution.status is Status.MAX_STEPS:
        found.append("a higher --max-steps; or a higher --rtol, if this image is good enough")
    if fit is not None and not fit.telling:
        return found
    weighted = hasattr(result.solver, "weight")
    if fit is not None and fit.value > 2 and result.solution.status is Status.CONVERGED:
        smaller = "a smaller --weight, " if weighted else ""
        found.append(
            f"the misfit is {fit.value:.3g} times the noise: {smaller}a larger noise level, or "
            "other options of the reader (`invcore info FILE`) where geometry or calibration are wrong"
        )
    elif fit is not None and fit.value < 0.3:
        found.append(
            f"the misfit is {fit.value:.2g} of the noise: the noise level is too high, or the image follows "
            f"the noise{' and a larger --weight makes it smoother' if weighted else ''}"
        )
    return found
