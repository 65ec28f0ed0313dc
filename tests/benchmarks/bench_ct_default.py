"""The default reconstruction of a fan-beam scan over 120 degrees: time to reach its minimizer.

All minimize the same objective, least squares with total variation at the automatic weight, and stop where
they come as near to the reference as the title says; the error is the relative distance at which they ended.
The reference is a solve of the default with a tolerance of a fifth, and proximal steps to match. ASTRA takes
part as the projector of FISTA.
"""

import dataclasses

import _timing  # first: pins the threads
import torch
from _timing import Contestant, available, race

import invcore
from invcore.priors import TV
from invcore.solvers import FISTA
from invcore_tomography import AstraXRay, fan, shepp_logan
from invcore_tomography._io.acquire import acquire

N, VIEWS, COLUMNS = 256, 61, 280


def scan():
    """Exact line integrals of the phantom, with noise of 2 % of the largest."""
    geometry = fan(
        torch.linspace(0, 2 * torch.pi / 3, VIEWS),
        columns=COLUMNS,
        pitch=4 / COLUMNS,
        source_distance=4.0,
        detector_distance=4.0,
        grid=(N, N),
    )
    y = shepp_logan(radius=0.9).project(geometry).float()
    sigma = 2e-2 * float(y.max())
    y = y + sigma * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    return acquire(y, geometry, sigma=sigma)


def default(acquisition):
    """The solver that readers suggest."""
    options = {key: value for key, value in acquisition.solver.items() if key not in ("name", "prior")}
    return invcore.create("solver", acquisition.solver["name"], **options, prior=TV(rtol=1e-4))


@torch.no_grad()
def main():
    acquisition = scan()
    y, physics = acquisition.y, acquisition.physics
    problem = default(acquisition).problem(y, physics)
    solver = dataclasses.replace(default(acquisition), weight=float(problem.weight))
    tight = dataclasses.replace(solver, rtol=solver.rtol / 5, prior=TV(rtol=2e-5), max_steps=500)
    reference = tight.solve(y, physics, x0=problem.x0).value

    def error(x):
        return float((x - reference).norm() / reference.norm())

    def until(distance, solver, physics, x0):
        near = lambda k, problem, state: error(state.x) <= distance
        return lambda: solver.solve(y, physics, x0=x0, callback=near).value

    contestants = [Contestant("as it is", lambda: solver.solve(y, physics, x0=problem.x0).value, error)]
    race(f"default of a {VIEWS} x {COLUMNS} fan-beam scan, {N} x {N} pixels", contestants, rounds=2)
    fista = FISTA(prior=TV(rtol=1e-4), weight=solver.weight, rtol=0.0, max_steps=1000)
    for distance, shorter in ((3e-2, 1), (1e-2, 4)):
        finer = dataclasses.replace(solver, rtol=solver.rtol / shorter)
        plain = dataclasses.replace(finer, coarse_levels=0)
        contestants = [
            Contestant("default", until(distance, finer, physics, problem.x0), error),
            Contestant("without coarse levels", until(distance, plain, physics, problem.x0), error),
            Contestant("FISTA from zero", until(distance, fista, physics, None), error),
        ]
        if available("astra"):
            astra = dataclasses.replace(physics, operator=AstraXRay(geometry=physics.operator.geometry))
            contestants.append(Contestant("FISTA, ASTRA", until(distance, fista, astra, None), error))
        race(f"to a distance of {distance:g}", contestants, rounds=2)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {_timing.THREADS} threads")
    main()
