"""Steps of DPS and DiffPIR on an inpainting problem, with the same network, against deepinv.

    INVCORE_BENCH_THREADS=1 python tests/benchmarks/bench_diffusion.py

The network is a small U-Net with random weights whose output is added, times 1e-3, to the Wiener filter of
white images: the work of a network, and images that both libraries must restore alike. The error is the
distance to the true image relative to its norm; with so simple a prior it is that of the noise and of the
missing pixels. Both are also run with the weights laid out channels last, which one line of torch does for
either; the loss in PSNR is printed.
"""

import copy
import math

import torch
from _timing import Contestant, available, race

from invcore import Denoiser, Physics
from invcore.noises import GaussianNoise
from invcore.operators import Mask
from invcore_diffusion import diffpir, dps
from invcore_learning import UNet

N, STEPS, SIGMA, VARIANCE = 64, 10, 0.1, 0.06


class WithNetwork(Denoiser):
    """D(x, σ) = m + v (x - m)/(v + σ²) + 1e-3 network(x)."""

    network: torch.nn.Module
    channels, value_range, sigma_range, spatial_dims = 1, (0.0, 1.0), (0.0, math.inf), 2

    def denoise(self, x, sigma):
        clean = 0.5 + VARIANCE / (VARIANCE + sigma**2) * (x - 0.5)
        return clean + 1e-3 * self.network(x / (1 + sigma))


class ForPeers(torch.nn.Module):
    """The same as deepinv calls it."""

    def __init__(self, denoiser):
        super().__init__()
        self.denoiser, self.network = denoiser, denoiser.network

    def forward(self, x, sigma=None, **_):
        sigma = torch.as_tensor(sigma).flatten()[0].clamp(min=1e-3)
        return self.denoiser(x, float(sigma))


def main():
    torch.manual_seed(0)
    network = UNet(features=(16, 32)).eval().requires_grad_(False)
    denoisers = {
        "": WithNetwork(network),
        ", channels last": WithNetwork(copy.deepcopy(network).to(memory_format=torch.channels_last)),
    }
    g = torch.Generator().manual_seed(0)
    truth = (0.5 + math.sqrt(VARIANCE) * torch.randn(1, 1, N, N, generator=g)).clamp(0, 1)
    mask = (torch.rand(1, N, N, generator=g) > 0.3).float()
    physics = Physics(Mask(mask, domain=(1, N, N)), GaussianNoise(sigma=SIGMA))
    y = physics(truth, generator=g)
    error = lambda x: float((x - truth).norm() / truth.norm())

    def ours(make, denoiser, **options):
        sampler = make(denoiser, steps=STEPS, **options)
        return lambda: sampler(y, physics, generator=torch.Generator().manual_seed(1))

    contestants = {"DPS": [], "DiffPIR": []}
    for layout, D in denoisers.items():
        name = f"invcore{layout}"
        contestants["DPS"].append(Contestant(name, ours(dps, D, normalized=True), error))
        contestants["DiffPIR"].append(Contestant(name, ours(diffpir, D), error))
    for pair in contestants.values():
        loss = 20 * math.log10(error(pair[1].work()) / error(pair[0].work()))
        print(f"channels last loses {loss:.4f} dB")
    if available("deepinv"):
        import deepinv

        peer = deepinv.physics.Inpainting((1, N, N), mask=mask)
        peer.noise_model = deepinv.physics.GaussianNoise(SIGMA)
        fidelity = deepinv.optim.L2()
        for layout, D in denoisers.items():
            model = ForPeers(D)
            theirs = {
                "DPS": deepinv.sampling.DPS(model, num_steps=STEPS + 1, dtype=torch.float32),
                "DiffPIR": deepinv.sampling.DiffPIR(model, fidelity, sigma=SIGMA, max_iter=STEPS),
            }
            for name, sampler in theirs.items():
                work = lambda s=sampler: s(y, peer)
                contestants[name].append(Contestant(f"deepinv{layout}", work, error))
    for name, pair in contestants.items():
        race(f"{name}, {STEPS} steps, {N} x {N}", pair, rounds=7)


if __name__ == "__main__":
    main()
