"""Train the network that `invcore-optics` ships to identify blurs, on one thread of a CPU.

    python tools/train_psf_identifier.py -o psf_identifier.safetensors

It sees nothing but what is drawn here: dead leaves and Gaussian textures, through Gaussian blurs of any
two widths and orientation, as counts with read noise. The loss is the squared distance of the logarithms of
the covariances.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch
from torch import Tensor

import invcore
from invcore.operators import Convolution
from invcore_optics import PSFIdentifier
from invcore_optics._blurs.identifier import covariance_kernel

SIZE, KERNEL, SEEN, BATCH = 128, 33, 80, 24
NARROWEST, WIDEST = 0.5, 4.0
"""Standard deviations of the blurs along their axes, in pixels."""


def draw(count: int, g: torch.Generator) -> Tensor:
    """Return log C of random blurs, (count, 2, 2): widths log-uniform and alike, any orientation."""
    span = math.log(WIDEST / NARROWEST)
    first = span * torch.rand(count, generator=g)
    second = (first + 0.7 * torch.randn(count, generator=g)).clamp(0, span)
    turn = math.pi * torch.rand(count, generator=g)
    axes = torch.stack([turn.cos(), -turn.sin(), turn.sin(), turn.cos()], -1).reshape(-1, 2, 2)
    logs = 2 * (math.log(NARROWEST) + torch.stack([first, second], -1))
    return axes @ torch.diag_embed(logs) @ axes.mT


def textures(count: int, g: torch.Generator) -> Tensor:
    """Return Gaussian textures with spectra f^-a, a from 1 to 3.5, with values from 0 to 1."""
    f = torch.fft.fftfreq(SIZE)
    radius = (f[:, None] ** 2 + torch.fft.rfftfreq(SIZE) ** 2).sqrt().clamp_min(1 / SIZE)
    a = 1 + 2.5 * torch.rand(count, 1, 1, generator=g)
    white = torch.fft.rfft2(torch.randn(count, SIZE, SIZE, generator=g))
    x = torch.fft.irfft2(white * radius ** (-a / 2), (SIZE, SIZE))
    low, high = x.amin((-2, -1), keepdim=True), x.amax((-2, -1), keepdim=True)
    return ((x - low) / (high - low))[:, None]


def scenes(pool: Tensor, count: int, g: torch.Generator) -> Tensor:
    """Return parts of pictures, turned, one in front of another, with random contrast: (count, 1, y, x)."""
    one, other, front = (parts(pool, count, g) for _ in range(3))
    x = torch.where(front > torch.rand(count, 1, 1, 1, generator=g), one, other)
    power = 4 ** (2 * torch.rand(count, 1, 1, 1, generator=g) - 0.5)  # from 1/2 to 8: dark backgrounds, too
    return x.clamp(0, 1) ** power


def parts(pool: Tensor, count: int, g: torch.Generator) -> Tensor:
    """Return parts of pictures at random places, turned, (count, 1, y, x)."""
    side = SEEN + KERNEL - 1
    chosen = torch.randint(len(pool), (count,), generator=g).tolist()
    i, j = torch.randint(SIZE - side + 1, (2, count), generator=g).tolist()
    x = torch.stack([pool[k, :, a : a + side, b : b + side] for k, a, b in zip(chosen, i, j)])
    turns, mirrored = int(torch.randint(4, (), generator=g)), int(torch.randint(2, (), generator=g))
    x = x.rot90(turns, (-2, -1))
    return x.flip(-1) if mirrored else x


def photographs(x: Tensor, h: Tensor, g: torch.Generator) -> Tensor:
    """Return counts with read noise through kernels, (count, y, x): 100 to 10000 photons in white."""
    photons = 100.0 ** (1 + torch.rand(len(x), 1, 1, 1, generator=g))
    background = 0.3 * torch.rand(len(x), 1, 1, 1, generator=g)
    mean = photons * (Convolution(h, domain=tuple(x.shape[1:]), boundary="valid")(x) + background)
    read = 5 * torch.rand(len(x), 1, 1, 1, generator=g)
    counts = torch.poisson(mean.clamp_min(0), g)
    return (counts + read * torch.randn(counts.shape, generator=g))[:, 0]


def main() -> None:
    """Train, and write the weights with their card."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("-o", "--out", type=Path, required=True)
    options.add_argument("--steps", type=int, default=4000)
    options.add_argument("--pictures", type=int, default=120)
    options.add_argument("--pool", type=Path, help="keep the drawn pictures in this file")
    given = options.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)  # first weights
    g = torch.Generator().manual_seed(0)
    pool = drawn(given.pictures, given.pool)
    pool = torch.cat([pool, textures(given.pictures // 2, g)])
    model = PSFIdentifier(pretrained=False)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=given.steps, pct_start=0.05)
    started, losses = time.process_time(), []
    for step in range(given.steps):
        logs = draw(BATCH, g)
        h = covariance_kernel(torch.linalg.matrix_exp(logs), (KERNEL, KERNEL))
        found = model.log_covariance(photographs(scenes(pool, BATCH, g), h, g))
        yy, yx, xx = found.unbind(-1)
        off = (yy - logs[:, 0, 0]) ** 2 + 2 * (yx - logs[:, 0, 1]) ** 2 + (xx - logs[:, 1, 1]) ** 2
        loss = off.mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rate.step()
        losses.append(float(loss.detach()))
        if (step + 1) % 250 == 0:
            recent = sum(losses[-250:]) / 250
            seconds = time.process_time() - started
            print(f"{step + 1}: error of log C {math.sqrt(recent):.3f}, {seconds:.0f} s", flush=True)
            write(model, given.out, step + 1, recent)


def drawn(count: int, kept: Path | None) -> Tensor:
    """Return dead leaves, (count, 1, y, x)."""
    if kept is not None and kept.exists():
        return torch.load(kept)
    leaves = invcore.dataset("dead_leaves", length=count, size=(SIZE, SIZE), seed=17)
    pool = torch.stack([leaves[k] for k in range(count)])
    if kept is not None:
        torch.save(pool, kept)
    return pool


def write(model: PSFIdentifier, path: Path, steps: int, error: float) -> None:
    """Write the weights and what a user of them should know."""
    card = {
        "title": "Gaussian blur of a picture from its power spectrum",
        "data": "dead leaves and Gaussian textures, drawn by the training script; no photographs",
        "license": "BSD-3-Clause",
        "blurs": "standard deviations from 0.5 to 4 pixels along two axes, any orientation",
        "noise": "Poisson, 100 to 10000 photons in white, read noise up to 5",
        "training": f"tools/train_psf_identifier.py, {steps} steps of {BATCH}",
        "error of log C in training": round(math.sqrt(error), 3),
    }
    invcore.models.save(model, path, card=card)


if __name__ == "__main__":
    main()
