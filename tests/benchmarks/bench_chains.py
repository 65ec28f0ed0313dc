"""Samples a second of ULA and SK-ROCK at 64 x 64 against deepinv: blur, noise, and the score of a denoiser.

The denoiser is that of Gaussian images, so that the law of the chains is known along every frequency. The
error is that of the standard deviation of a pixel, over a chain that starts at zero. Both keep the running
mean and variance of every fifth image. One chain, and several side by side; the algorithms are the same, so
that a sample is worth as much from either, and the effective samples a second of ours are printed besides.
"""

import _timing  # first: pins the threads
import torch
from _timing import Contestant, available, race

from invcore import Denoiser, Physics
from invcore.noises import GaussianNoise
from invcore.operators import Convolution
from invcore_diffusion import SKROCK, ULA

N, SIGMA, LEVEL, THIN, DRAWS, STAGES = 64, 0.3, 0.2, 5, 100, 10
CHAINS = (1, 8)
torch.set_num_threads(1)
_timing.THREADS = 1  # what the table says
generator = torch.Generator().manual_seed(0)
axis = torch.arange(-2, 3.0)
kernel = torch.exp(-(axis[:, None] ** 2 + axis**2) / 2)
kernel = (kernel / kernel.sum())[None]
A = Convolution(kernel, (1, N, N), boundary="circular")
physics = Physics(A, GaussianNoise(sigma=SIGMA))
image = torch.randn(1, N, N, generator=generator)
y = physics(image, generator=generator)


class Shrink(Denoiser):
    """E[x | x + σ e] for white images of variance 1."""

    channels, value_range, sigma_range, spatial_dims = None, None, (0.0, float("inf")), 2

    def denoise(self, x, sigma):
        return x / (1 + sigma**2)


def curvatures():
    """Of the posterior along each frequency."""
    gram = torch.fft.fft2(A.gram(torch.nn.functional.pad(torch.ones(1, 1, 1), (0, N - 1, 0, N - 1)))).real
    return (gram / SIGMA**2 + 1 / (1 + LEVEL**2)).double()


def error(std):
    """Relative error of the standard deviation of a pixel, mean over the image."""
    truth = float(curvatures().reciprocal().mean().sqrt())
    return float(torch.as_tensor(std).double().square().mean().sqrt() / truth - 1)


def ours(sampler, chains=1):
    own = torch.Generator().manual_seed(torch.randint(1 << 30, (), generator=generator).item())
    return sampler.chain(y, physics, draws=DRAWS, keep=0, chains=chains, generator=own).std


def peers(step, stages=None, chains=1):
    import deepinv as dinv

    operator = dinv.physics.BlurFFT(img_size=(1, N, N), filter=kernel[None], noise_model=None)
    prior = dinv.optim.ScorePrior(denoiser=lambda x, sigma: x / (1 + sigma**2))
    params = {"step_size": step, "alpha": 1.0, "sigma": LEVEL}
    if stages is not None:
        params |= {"inner_iter": stages, "eta": 0.05}
    sampler = dinv.sampling.sampling_builder(
        "ULA" if stages is None else "SKRock",
        data_fidelity=dinv.optim.L2(sigma=SIGMA),
        prior=prior,
        params_algo=params,
        max_iter=DRAWS * THIN,
        burnin_ratio=0.0,
        thinning=THIN,
        history_size=False,
        clip=None,
    )

    def run():
        data = y.expand(chains, *y.shape).contiguous()
        return sampler.sample(data, operator, x_init=torch.zeros(chains, 1, N, N))[1].sqrt()

    return run


@torch.no_grad()
def main():
    here = available("deepinv")
    bound = float(A.norm()) ** 2 / SIGMA**2 + 1 / LEVEL**2
    settings = [
        ("ULA", ULA(denoiser=Shrink(), sigma=LEVEL, step_size=0.5, burn_in=0, thin=THIN), 0.5, None),
        (
            f"SK-ROCK, {STAGES} stages",
            SKROCK(denoiser=Shrink(), sigma=LEVEL, stages=STAGES, step_size=20.0, burn_in=0, thin=THIN),
            20.0,
            STAGES,
        ),
    ]
    for title, sampler, length, stages in settings:
        kept = sampler.chain(y, physics, draws=DRAWS, chains=4, generator=generator)
        effective = float(kept.ess().mean()) / (4 * DRAWS)
        for chains in CHAINS:
            contestants = [Contestant("invcore", lambda s=sampler, n=chains: ours(s, n), error)]
            if here:
                contestants.append(Contestant("deepinv", peers(length / bound, stages, chains), error))
            race(f"{title}: {DRAWS * THIN} steps of {chains} chains at {N} x {N}", contestants, rounds=5)
            samples = chains * DRAWS / min(contestants[0].times)
            print(
                f"  {samples:.0f} samples a second (every {THIN}th step), {effective * samples:.0f} effective"
            )


if __name__ == "__main__":
    main()
