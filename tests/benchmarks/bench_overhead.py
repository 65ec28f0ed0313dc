"""What a solver costs beside its operator: a mask at 64 x 64, through the solvers that users call, against deepinv.

The time is that of a whole solve of 30 steps, setting up included.
"""

import _timing  # first: pins the threads
import torch
from _timing import Contestant, available, race

from invcore import Physics
from invcore.operators import Mask, Space
from invcore.priors import L1
from invcore.solvers import FISTA, ConjugateGradient

N, STEPS, WEIGHT = 64, 30, 0.05
generator = torch.Generator().manual_seed(0)
mask = torch.linspace(0.5, 1.2, N * N).reshape(1, 1, N, N)
image = torch.randn(1, 1, N, N, generator=generator)
y = mask * image
physics = Physics(operator=Mask(mask=mask[0], domain=Space((1, N, N))))


def relative(truth):
    return lambda x: float((x.reshape(truth.shape).double() - truth).norm() / truth.norm())


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


def fista():
    square = mask.double() ** 2
    shrunk = y.double() * mask.double()
    truth = shrunk.sign() * (shrunk.abs() - WEIGHT).clamp_min(0) / square  # separable: known in closed form
    solver = FISTA(prior=L1(), weight=WEIGHT, rtol=0.0, max_steps=STEPS)
    contestants = [Contestant("invcore fista", lambda: solver(y, physics), relative(truth))]
    if available("deepinv"):
        import deepinv

        theirs = deepinv.physics.Inpainting((1, N, N), mask=mask)
        algorithm = deepinv.optim.FISTA(
            data_fidelity=deepinv.optim.L2(),
            prior=deepinv.optim.L1Prior(),
            lambda_reg=WEIGHT,
            stepsize=1 / float(mask.max()) ** 2,
            max_iter=STEPS,
            early_stop=False,
        )
        contestants.append(Contestant("deepinv", lambda: algorithm(y, theirs), relative(truth)))
    race(f"FISTA with l1, {STEPS} steps", contestants, rounds=50)


@torch.no_grad()
def main():
    conjugate_gradient()
    fista()


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {_timing.THREADS} threads")
    main()
