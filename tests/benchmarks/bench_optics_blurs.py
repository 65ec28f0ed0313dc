"""Space-varying blur against deepinv; Richardson–Lucy of a volume against scikit-image."""

import _timing  # noqa: F401  first: pins the threads
import numpy as np
import torch
from _timing import THREADS, Contestant, available, race

from invcore import Physics
from invcore.noises import PoissonNoise
from invcore.operators import Convolution
from invcore.solvers import RichardsonLucy
from invcore_optics import SpaceVaryingBlur

generator = torch.Generator().manual_seed(0)
STEPS = 20


def relative(truth):
    return lambda x: float((torch.as_tensor(x) - truth).norm() / truth.norm())


@torch.no_grad()
def product_convolution(n=512, K=8, taps=31):
    kernels = torch.rand(K, taps, taps, generator=generator) / taps**2
    maps = torch.rand(K, n, n, generator=generator)
    x = torch.rand(1, n, n, generator=generator)
    for order in ("product_convolution", "convolution_product"):
        ours = SpaceVaryingBlur(
            kernels=kernels, maps=maps, domain=(1, n, n), order=order, boundary="circular"
        )
        exact = ours.to(torch.float64)
        y = exact(x.double())
        forward = [Contestant("invcore", lambda A=ours: A(x), relative(y))]
        back = [Contestant("invcore", lambda A=ours, y=y.float(): A.H(y), relative(exact.H(y)))]
        if order == "product_convolution" and available("deepinv"):  # its default order
            import deepinv

            physics = deepinv.physics.SpaceVaryingBlur(
                filters=kernels[None, None], multipliers=maps[None, None], padding="circular", use_fft=True
            )
            if order == "product_convolution":
                forward.append(Contestant("deepinv", lambda p=physics: p.A(x[None])[0], relative(y)))
                back.append(
                    Contestant(
                        "deepinv",
                        lambda p=physics, y=y.float(): p.A_adjoint(y[None])[0],
                        relative(exact.H(y)),
                    )
                )
        race(f"{order} A, K = {K}, {n} x {n}", forward, rounds=11)
        race(f"{order} A.H, K = {K}, {n} x {n}", back, rounds=11)


@torch.no_grad()
def volume(shape=(64, 256, 256), taps=(32, 32, 32)):
    """The same steps from the same start, and accelerated steps to at least the likelihood that these reach.

    At the border scikit-image omits a division by Aᴴ1.
    """
    axes = torch.meshgrid(*(torch.arange(t) - t // 2 for t in taps), indexing="ij")
    psf = torch.exp(-sum(a**2 for a in axes) / 18.0)
    psf = psf / psf.sum()
    x = torch.zeros(1, *shape)
    inside = tuple(slice(t, n - t) if n > 2 * t else slice(t // 2, n - t // 2) for n, t in zip(shape, taps))
    seen = x[(0, *inside)]
    seen += 100 * (torch.rand(seen.shape, generator=generator) > 0.99)
    A = Convolution(psf[None], domain=(1, *shape), boundary="zero")
    y = (A(x) + 1).clamp_min(0)
    start = torch.full_like(x, float(y.mean()))
    solver = RichardsonLucy(max_steps=STEPS, rtol=0.0)
    physics = Physics(A, PoissonNoise(gain=1.0))
    wide = Physics(A.to(torch.float64), PoissonNoise(gain=1.0))
    truth = solver.solve(y.double(), wide, x0=start.double()).value

    def error(found):
        return relative(truth[0][inside])(torch.as_tensor(found).reshape(shape)[inside])

    rivals = [Contestant("invcore", lambda: solver.solve(y, physics, x0=start).value, error)]
    if available("skimage"):
        from skimage.restoration import richardson_lucy

        def theirs():
            # begins with 0.5: in units of the start it is the same as ours
            unit = 2 * float(y.mean())
            image = y[0].numpy() / np.float32(unit)
            return unit * richardson_lucy(image, psf.numpy(), num_iter=STEPS, clip=False)

        rivals.append(Contestant("scikit-image", theirs, error))
    race(f"Richardson-Lucy, {STEPS} steps, {shape}, kernel {taps}", rivals, rounds=3)

    def objective(found):
        """Of the pixels inside; scikit-image's likelihood of the whole is worse, for want of the division."""
        expected = A(torch.as_tensor(found).reshape(x.shape))[(0, *inside)].double()
        counts = y[(0, *inside)].double()
        return float((expected - torch.xlogy(counts, expected)).sum())

    reached = objective(rivals[0].work())
    fast = RichardsonLucy(accelerated=True, max_steps=STEPS, rtol=0.0)
    enough = []
    fast.solve(
        y, physics, x0=start, callback=lambda k, _, s: objective(s.x) <= reached and not enough.append(k)
    )
    fast = RichardsonLucy(accelerated=True, max_steps=enough[0] + 1, rtol=0.0)
    excess = lambda found: objective(found) / reached - 1
    accelerated = lambda: fast.solve(y, physics, x0=start).value
    rivals = [Contestant(f"invcore, {fast.max_steps} steps", accelerated, excess)]
    if available("skimage"):
        rivals.append(Contestant(f"scikit-image, {STEPS} steps", theirs, excess))
    race(f"Richardson-Lucy to the same likelihood (error: excess), {shape}, kernel {taps}", rivals, rounds=3)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {THREADS} threads")
    product_convolution()
    volume()
