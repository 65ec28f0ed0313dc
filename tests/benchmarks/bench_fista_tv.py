"""FISTA with total variation: deblurring at 256 x 256 to a tolerance, against the same steps whose proximal
operator starts from zero each time, and against them with the proximal operator of scikit-image.

The error is the relative distance from the minimizer, found by a long solve.
"""

import dataclasses

import _timing  # first: pins the threads
import torch
from _timing import Contestant, available, race

from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.operators import Convolution
from invcore.priors import TV
from invcore.solvers import FISTA

N, SIGMA, WEIGHT, RTOL = 256, 0.02, 20.0, 1e-4


def image():
    y, x = torch.meshgrid(torch.linspace(-1, 1, N), torch.linspace(-1, 1, N), indexing="ij")
    return (0.3 * (x + 1) / 2 + 0.4 * (x**2 + y**2 < 0.5) + 0.3 * ((x - y).abs() < 0.1))[None]


def fista(physics, y, prox, steps):
    """Beck and Teboulle's iteration with restarts, as `FISTA` has it."""
    A, length = physics.operator, SIGMA**2 / float(physics.operator.norm()) ** 2
    back = A.H(y)
    x = z = torch.zeros_like(back)
    t = 1.0
    for _ in range(steps):
        new = prox(z - length / SIGMA**2 * (A.gram(z) - back), WEIGHT * length)
        after = (1 + (1 + 4 * t**2) ** 0.5) / 2
        momentum = (t - 1) / after
        if float(((z - new) * (new - x)).sum()) > 0:
            after, momentum = 1.0, 0.0
        x, z, t = new, new + momentum * (new - x), after
    return x


@torch.no_grad()
def main():
    physics = Physics(
        Convolution(kernel=torch.full((1, 9, 9), 1 / 81), domain=(1, N, N)), GaussianNoise(SIGMA)
    )
    y = physics(image(), generator=torch.Generator().manual_seed(0))
    solver = FISTA(prior=TV(rtol=1e-4), weight=WEIGHT, rtol=RTOL)
    solved = solver.solve(y, physics)
    steps = int(solved.stats["steps"].max())
    reference = dataclasses.replace(solver, prior=TV(rtol=1e-6), rtol=1e-6, max_steps=2000)(y, physics)

    def error(x):
        return float((x - reference).norm() / reference.norm())

    contestants = [
        Contestant("invcore", lambda: solver(y, physics), error),
        Contestant("each prox from zero", lambda: fista(physics, y, solver.prior.prox, steps), error),
    ]
    if available("skimage"):
        from skimage.restoration import denoise_tv_chambolle

        def chambolle(v, weight):
            found = denoise_tv_chambolle(v[0].numpy(), weight=weight, eps=1e-5, max_num_iter=200)
            return torch.from_numpy(found)[None]

        contestants.append(
            Contestant("scikit-image's prox", lambda: fista(physics, y, chambolle, steps), error)
        )
    race(f"FISTA with TV, deblurring at {N} x {N}, {steps} steps", contestants, rounds=3)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {_timing.THREADS} threads")
    main()
