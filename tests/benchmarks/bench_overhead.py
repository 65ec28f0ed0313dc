"""What a solver costs beside its operator: a mask at 64 x 64, through the solvers that users call, against
deepinv.

First the time of a whole solve of 30 steps, setting up included, then that of one step: the difference of two
solves of different length, alternating, over the steps between them.
"""

import statistics
import time

import _timing  # first: pins the threads
import torch
from _timing import Contestant, available, race

from invcore import Physics
from invcore.operators import Mask
from invcore.priors import L1
from invcore.solvers import FISTA, ConjugateGradient

N, STEPS, WEIGHT = 64, 30, 0.05
generator = torch.Generator().manual_seed(0)
mask = torch.linspace(0.5, 1.2, N * N).reshape(1, 1, N, N)
image = torch.randn(1, 1, N, N, generator=generator)
y = mask * image
physics = Physics(Mask(mask[0], domain=(1, N, N)))


def relative(truth):
    return lambda x: float((x.reshape(truth.shape).double() - truth).norm() / truth.norm())


def per_step(title, contestants, short=20, long=220, rounds=40):
    """Median over the rounds of (time of ``long`` steps - time of ``short`` steps) / (long - short)."""
    found = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, (brief, lasting) in contestants.items():
            times = []
            for work in (brief, lasting):
                start = time.perf_counter()
                work()
                times.append(time.perf_counter() - start)
            found[name].append((times[1] - times[0]) / (long - short))
    ours = None
    print(f"\n{title}, one step  ({_timing.THREADS} threads, median of {rounds})")
    for name, times in found.items():
        median = statistics.median(times)
        ours = median if ours is None else ours
        print(f"  {name:24} {1e6 * median:8.2f} us {median / ours:7.2f}x")


def both(make):
    """A short and a long solve."""
    return make(20), make(220)


def conjugate_gradient():
    solver = ConjugateGradient(weight=0.0, rtol=0.0, max_steps=STEPS)
    contestants = [Contestant("invcore cg", lambda: solver(y, physics), relative(image.double()))]
    if available("deepinv"):
        import deepinv
        from deepinv.optim.linear import conjugate_gradient as peer

        theirs = deepinv.physics.LinearPhysics(A=lambda v, **_: mask * v, A_adjoint=lambda v, **_: mask * v)

        def dagger():
            return theirs.A_dagger(y, solver="CG", max_iter=STEPS, tol=0.0)

        def bare():
            return peer(lambda v: mask * (mask * v), mask * y, max_iter=STEPS, tol=0.0)

        contestants.append(Contestant("deepinv A_dagger", dagger, relative(image.double())))
        contestants.append(Contestant("deepinv, bare function", bare, relative(image.double())))
    race(f"Conjugate gradient, {STEPS} steps", contestants, rounds=50)

    wide = torch.linspace(0.01, 1.2, N * N).reshape(1, 1, N, N)  # not solved in 220 steps
    other, data = Physics(Mask(wide[0], domain=(1, N, N))), wide * image

    def ours(n):
        long = ConjugateGradient(weight=0.0, rtol=0.0, max_steps=n)
        return lambda: long(data, other)

    steps = {"invcore cg": both(ours)}
    if available("deepinv"):
        spread = deepinv.physics.LinearPhysics(A=lambda v, **_: wide * v, A_adjoint=lambda v, **_: wide * v)
        steps["deepinv A_dagger"] = both(
            lambda n: lambda: spread.A_dagger(data, solver="CG", max_iter=n, tol=0.0)
        )
        steps["deepinv, bare function"] = both(
            lambda n: lambda: peer(lambda v: wide * (wide * v), wide * data, max_iter=n, tol=0.0)
        )
    per_step("Conjugate gradient", steps)


def fista():
    square = mask.double() ** 2
    shrunk = y.double() * mask.double()
    truth = shrunk.sign() * (shrunk.abs() - WEIGHT).clamp_min(0) / square  # separable: known in closed form
    solver = FISTA(prior=L1(), weight=WEIGHT, rtol=0.0, max_steps=STEPS)
    contestants = [Contestant("invcore fista", lambda: solver(y, physics), relative(truth))]
    if available("deepinv"):
        import deepinv

        theirs = deepinv.physics.Inpainting((1, N, N), mask=mask)

        def peer(n):
            algorithm = deepinv.optim.FISTA(
                data_fidelity=deepinv.optim.L2(),
                prior=deepinv.optim.L1Prior(),
                lambda_reg=WEIGHT,
                stepsize=1 / float(mask.max()) ** 2,
                max_iter=n,
                early_stop=False,
            )
            return lambda: algorithm(y, theirs)

        contestants.append(Contestant("deepinv", peer(STEPS), relative(truth)))
    race(f"FISTA with l1, {STEPS} steps", contestants, rounds=50)

    def ours(n):
        long = FISTA(prior=L1(), weight=WEIGHT, rtol=0.0, max_steps=n)
        return lambda: long(y, physics)

    steps = {"invcore fista": both(ours)}
    if available("deepinv"):
        steps["deepinv"] = both(peer)
    per_step("FISTA with l1", steps)


@torch.no_grad()
def main():
    conjugate_gradient()
    fista()


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {_timing.THREADS} threads")
    main()
