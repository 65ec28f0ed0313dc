"""Overhead of conjugate gradient: an operator that costs nothing, at 64 x 64, against deepinv and sigpy."""

import _timing  # first: pins the threads
import numpy as np
import torch
from _timing import Contestant, available, race

from invcore import Physics
from invcore._krylov.cg import cg
from invcore.operators import Mask
from invcore.solvers import ConjugateGradient

N, STEPS = 64, 20
diagonal = torch.linspace(0.5, 1.5, N * N).reshape(1, 1, N, N)
generator = torch.Generator().manual_seed(0)
b = torch.randn(1, 1, N, N, generator=generator)


def textbook():
    x, r = torch.zeros_like(b, dtype=torch.float64), b.double()
    p, rr = r, (r * r).sum()
    for _ in range(STEPS):
        q = diagonal * p
        alpha = rr / (p * q).sum()
        x, r = x + alpha * p, r - alpha * q
        new = (r * r).sum()
        p, rr = r + new / rr * p, new
    return x


@torch.no_grad()
def main():
    truth = textbook()
    flat, weights = b.reshape(1, -1), diagonal.reshape(1, -1)

    def error(x):
        return float((torch.as_tensor(x).reshape(truth.shape) - truth).norm() / truth.norm())

    # the same system through the whole solver: AᴴA = diag, so A = diag^(1/2) and Aᴴy = b
    root = diagonal.sqrt()
    physics = Physics(Mask(root[0], domain=(1, N, N)))
    solver = ConjugateGradient(weight=0.0, rtol=0.0, max_steps=STEPS)
    contestants = [
        Contestant("invcore cg", lambda: cg(lambda v: weights * v, flat, rtol=0.0, max_steps=STEPS).x, error),
        Contestant("invcore ConjugateGradient", lambda: solver(b / root, physics), error),
    ]
    if available("deepinv"):
        from deepinv.optim.linear import conjugate_gradient

        contestants.append(
            Contestant(
                "deepinv",
                lambda: conjugate_gradient(lambda v: diagonal * v, b, max_iter=STEPS, tol=0.0),
                error,
            )
        )
    if available("sigpy"):
        import sigpy

        weights_np, b_np = diagonal.numpy(), b.numpy()

        def run():
            x = np.zeros_like(b_np)
            alg = sigpy.alg.ConjugateGradient(lambda v: weights_np * v, b_np, x, max_iter=STEPS, tol=0)
            while not alg.done():
                alg.update()
            return x

        contestants.append(Contestant("sigpy", run, error))
    race(f"Conjugate gradient, {STEPS} steps, diagonal operator {N} x {N}", contestants, rounds=50)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {_timing.THREADS} threads")
    main()
