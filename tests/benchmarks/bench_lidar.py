"""Photon counting models of a 128 x 128 image with 1000 bins against deepinv's `SinglePhotonLidar`: rates,
their gradient, and the likelihood.

Ours integrates the Gaussian pulse over each bin; deepinv samples it at the bins' middles and normalizes. The
error of each is relative to its own definition, worked out in double precision by this script. deepinv takes
one image at a time (what it does with more is printed first). The likelihood is that of 10 photons a pixel
with its gradient, from the histogram and from the photons alone.
"""

import math

import _timing  # noqa: F401  first: pins the threads
import torch
from _timing import Contestant, available, race

from invcore.fidelities import PoissonKL
from invcore_lidar import SPEED_OF_LIGHT, TCSPC, ImpulseResponse, TagRates, TimeTags, tag_likelihood

N, BINS, SIGMA, WIDTH, BATCH = 128, 1000, 3.0, 100e-12, 4
PULSE = ImpulseResponse.gaussian(fwhm=SIGMA * WIDTH * math.sqrt(8 * math.log(2)))
MODEL = TCSPC(impulse=PULSE, bins=BINS, bin_width=WIDTH, shape=(N, N))
generator = torch.Generator().manual_seed(0)


def scenes(batch):
    """Images with depths in bins (deepinv) and in meters (ours)."""
    shape = (batch, 1, N, N)
    bins = 30 + (BINS - 60) * torch.rand(shape, generator=generator, dtype=torch.float64)
    photons = 1 + 20 * torch.rand(shape, generator=generator, dtype=torch.float64)
    background = 0.01 + 0.1 * torch.rand(shape, generator=generator, dtype=torch.float64)
    meters = (bins + 0.5) * (WIDTH * SPEED_OF_LIGHT / 2)  # deepinv's bin t is centered on t
    return torch.cat([bins, photons, background], 1), torch.cat([meters, photons, background], 1)


def integrated(x):
    """Sums over bins by the error function, pixel by pixel, for every bin."""
    depth, photons, background = x.split(1, dim=-3)
    edges = torch.arange(BINS + 1, dtype=torch.float64)[:, None, None]
    upto = torch.special.ndtr((edges - depth - 0.5) / SIGMA)
    return photons * upto.diff(dim=-3) + background


def sampled(x):
    depth, photons, background = x.split(1, dim=-3)
    h = torch.exp(-0.5 * ((torch.arange(BINS, dtype=torch.float64)[:, None, None] - depth) / SIGMA) ** 2)
    return photons * h / h.sum(-3, keepdim=True) + background


def relative(truth):
    return lambda y: float((y.double() - truth).norm() / truth.norm())


def with_gradient(model, x, weights):
    def work():
        leaf = x.detach().requires_grad_()
        (model(leaf) * weights).sum().backward()
        return leaf.grad

    return work


def gradient_of(rates, x, weights):
    """In double precision, by depth in bins."""
    leaf = x.detach().requires_grad_()
    (rates(leaf) * weights).sum().backward()
    return leaf.grad


def rates():
    bins, meters = scenes(1)
    weights = torch.randn(1, BINS, N, N, generator=generator)
    ours, theirs = meters.float(), bins.float()
    per_meter = 2 / SPEED_OF_LIGHT / WIDTH
    in_bins = relative(gradient_of(integrated, bins, weights.double()))
    forward = [Contestant("invcore", lambda: MODEL(ours), relative(integrated(bins)))]
    both = [
        Contestant(
            "invcore",
            with_gradient(MODEL, ours, weights),
            lambda g: in_bins(g * torch.tensor([1 / per_meter, 1.0, 1.0])[:, None, None]),
        )
    ]
    if available("deepinv"):
        from deepinv.physics import SinglePhotonLidar

        peer = SinglePhotonLidar(sigma=SIGMA, bins=BINS)
        forward.append(Contestant("deepinv", lambda: peer.A(theirs), relative(sampled(bins))))
        both.append(
            Contestant(
                "deepinv",
                with_gradient(peer.A, theirs, weights),
                relative(gradient_of(sampled, bins, weights.double())),
            )
        )
        batches(SinglePhotonLidar)
    race(f"{N} x {N} pixels, {BINS} bins: rates", forward)
    race(f"{N} x {N} pixels, {BINS} bins: rates and gradient", both, rounds=10)
    _, several = scenes(BATCH)
    several = several.float()
    together = MODEL(several)
    contestants = [
        Contestant(f"batch of {BATCH}", lambda: MODEL(several), relative(together.double())),
        Contestant(
            "one by one", lambda: torch.stack([MODEL(x) for x in several]), relative(together.double())
        ),
    ]
    race("invcore: batches", contestants, rounds=7)


def batches(peer):
    """What deepinv makes of more than one image."""
    for batch in (2, 8):
        x = torch.rand(batch, 3, 4, 5)
        try:
            shape = tuple(peer(sigma=1.0, bins=8).A(x).shape)
            print(
                f"deepinv, batch {batch} of 4 x 5 pixels, 8 bins: shape {shape} instead of {(batch, 8, 4, 5)}"
            )
        except RuntimeError as error:
            print(
                f"deepinv, batch {batch} of 4 x 5 pixels, 8 bins: {type(error).__name__}: {str(error)[:90]}"
            )


def likelihood():
    pixels = torch.arange(N * N).repeat_interleave(10)
    _, meters = scenes(1)
    x = meters[0].float()
    position = x[0].flatten()[pixels] * (2 / SPEED_OF_LIGHT / WIDTH)
    near = (position + SIGMA * torch.randn(len(pixels), generator=generator)).long()
    far = torch.randint(BINS, (len(pixels),), generator=generator)
    ticks = torch.where(torch.rand(len(pixels), generator=generator) < 0.5, near, far)
    tags = TimeTags.from_pixels(pixels=pixels, tags=ticks, tick=WIDTH, shape=(N, N), start=0, stop=BINS)
    model = TagRates(tags=tags, impulse=PULSE)
    y = tags.histogram().counts
    constant = float((torch.special.xlogy(y, y) - y).double().sum())

    def value(x, kind):
        if kind == "tags":
            return tag_likelihood(x, model)
        y_x = y.to(x.dtype)
        return PoissonKL().value(MODEL(x), y_x, MODEL.range) - constant

    def gradient(kind, x):
        leaf = x.detach().requires_grad_()
        value(leaf, kind).backward()
        return leaf.grad

    exact = gradient("histogram", x.double())
    contestants = [
        Contestant("tags", lambda: gradient("tags", x), relative(exact)),
        Contestant("histogram", lambda: gradient("histogram", x), relative(exact)),
    ]
    race(f"likelihood of {len(pixels)} photons and its gradient", contestants, rounds=10)


if __name__ == "__main__":
    rates()
    likelihood()
