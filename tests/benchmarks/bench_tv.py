"""Total-variation denoising of a 512 x 512 image to a relative duality gap of 1e-4, against deepinv and
scikit-image.

Each contestant runs the fewest iterations that reach the gap, found beforehand by bisection, and is timed at
that number: equal accuracy. The error column is the relative duality gap of its image, with the best dual
field found by a long run of ours.
"""

import _timing  # first: pins the threads
import torch
from _timing import Contestant, available, race

from invcore.priors import TV

N, GAP = 512, 1e-4


def image(noise=0.1):
    """Disks, bars and a ramp, with noise."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, N), torch.linspace(-1, 1, N), indexing="ij")
    clean = 0.3 * (x + 1) / 2 + 0.4 * (x**2 + y**2 < 0.5) + 0.3 * ((x - y).abs() < 0.1)
    clean += 0.2 * torch.sin(40 * x * y)
    return clean + noise * torch.randn(N, N, generator=torch.Generator().manual_seed(0))


def fewest(run, good):
    """The smallest number of iterations, within 5 %, with ``good(run(n))``."""
    low, high = 1, 8
    while not good(run(high)):
        low, high = high, 2 * high
        if high > 20000:
            return high
    while high - low > max(1, high // 20):
        middle = (low + high) // 2
        low, high = (low, middle) if good(run(middle)) else (middle, high)
    return high


@torch.no_grad()
def main(weight):
    y = image()
    exact = TV(rtol=2e-6, max_steps=5000).denoise(y.double()[None], weight)

    def primal(x):
        x = torch.as_tensor(x).double().reshape(1, N, N)
        return float(TV().value(x) + (x - y).square().sum() / (2 * weight))

    smallest = primal(exact.x)
    bound = smallest * (1 - float(exact.gap))  # the dual value: no image has a smaller primal value

    def gap(x):
        value = primal(x)
        return (value - bound) / value

    prior = TV(rtol=GAP)
    steps = int(prior.denoise(y[None], weight).steps)
    contestants = [Contestant("invcore", lambda: prior.prox(y[None], weight), gap)]
    if available("deepinv"):
        from deepinv.models import TVDenoiser

        def deepinv(n):
            return TVDenoiser(n_it_max=n, crit=0.0)(y[None, None], weight)

        n = fewest(deepinv, lambda x: gap(x) <= GAP)
        contestants.append(Contestant(f"deepinv, {n} its", lambda: deepinv(n), gap))
    if available("skimage"):
        from skimage.restoration import denoise_tv_chambolle

        def skimage(m):
            return denoise_tv_chambolle(y.numpy(), weight=weight, eps=0.0, max_num_iter=m)

        m = fewest(skimage, lambda x: gap(x) <= GAP)
        contestants.append(Contestant(f"scikit-image, {m} its", lambda: skimage(m), gap))
    race(f"TV denoising, {N} x {N}, weight {weight:g}, gap {GAP:g} (ours {steps} its)", contestants, rounds=5)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {_timing.THREADS} threads")
    for weight in (0.05, 0.1):
        main(weight)
