"""Deblur Set12 with the eight camera shakes of Levin et al. (2009); tables.

    python tools/draw_optics_blurs.py nonblind DATA --out DIR [--images 1,3,9] [--methods tv,wavelet,pnp]
    python tools/draw_optics_blurs.py blind DATA --out DIR [--images 1,2,3]

DATA is the folder with ``optics/`` and ``images/set12/``. Images of 512 pixels are cut to the middle 256. The
data end where the kernel does, noise is 1 % of the range. Rows are appended to DIR/*.csv as they come.
"""

import argparse
import time
from pathlib import Path

import h5py
import matplotlib
import numpy as np
import torch
from PIL import Image

import invcore
from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.operators import Convolution
from invcore.priors import TV, PnP
from invcore.solvers import FISTA, CondatVu
from invcore_optics import surrounded

matplotlib.use("Agg")

SIGMA = 0.01


def levin(data):
    """Return the kernels; MATLAB's arrays come transposed."""
    with h5py.File(data / "optics/levin09_kernels.mat") as file:
        kernels = [np.array(file[ref]).T for ref in np.array(file["kernels"]).ravel()]
    return [torch.from_numpy(np.ascontiguousarray(k / k.sum())).float()[None] for k in kernels]


def picture(data, number):
    """Return an image of Set12, at most its middle 256 pixels."""
    x = np.asarray(Image.open(data / f"images/set12/{number:02d}.png").convert("L"), np.float32) / 255
    top, left = ((n - min(n, 256)) // 2 for n in x.shape)
    return torch.from_numpy(x[top : top + 256, left : left + 256].copy())[None]


def photographed(x, kernel, seed):
    """Return physics and data of a photograph whose border nobody measured."""
    camera = Convolution(kernel, domain=tuple(x.shape), boundary="valid")
    physics = Physics(camera, GaussianNoise(sigma=SIGMA))
    return physics, physics(x, generator=torch.Generator().manual_seed(seed))


def seen(x, kernel):
    """Return the part of an image that the data show: without half a kernel on each side."""
    (h, w), (kh, kw) = x.shape[-2:], kernel.shape[-2:]
    top, left = kh - 1 - kh // 2, kw - 1 - kw // 2
    return x[..., top : top + h - kh + 1, left : left + w - kw + 1]


def errors(x_hat, x, kernel):
    """Return PSNR in dB, and the ratio of the rms errors of the outer 16 pixels and the inner ones."""
    difference = seen(x_hat.clamp(0, 1) - x, kernel)[0].square()
    inside = torch.zeros_like(difference, dtype=torch.bool)
    inside[16:-16, 16:-16] = True
    ratio = (difference[~inside].mean() / difference[inside].mean()).sqrt()
    return -10 * float(difference.mean().log10()), float(ratio)


def similarity(a, b):
    """Return the largest correlation of two kernels over all shifts."""
    s = [n + m for n, m in zip(a.shape[-2:], b.shape[-2:], strict=True)]
    c = torch.fft.irfft2(torch.fft.rfft2(a, s=s) * torch.fft.rfft2(b, s=s).conj(), s=s)
    return float(c.max() / a.norm() / b.norm())


def solvers(methods):
    """Return the solvers by name."""
    made = {}
    if "tv" in methods:
        made["tv"] = CondatVu(prior=TV(), weight=15.0, max_steps=200)
    if "wavelet" in methods:
        made["wavelet"] = FISTA(prior=invcore.prior("wavelet"), weight=20.0, max_steps=100)
    if "pnp" in methods:
        prior = PnP(invcore.denoiser("diffusion.gray"))
        made["pnp"] = invcore.solver("hqs", prior=prior, weight=0.23, schedule="dpir", levels=8)
    return made


def write(out, name, *row):
    """Append a row to a table and show it."""
    line = ",".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row)
    with open(out / f"{name}.csv", "a") as file:
        file.write(line + "\n")
    print(line, flush=True)


def nonblind(data, out, numbers, methods):
    """Deblur with the known kernel."""
    for number in numbers:
        for k, kernel in enumerate(levin(data)):
            x = picture(data, number)
            physics, y = photographed(x, kernel, 100 * k + number)
            for name, solver in solvers(methods).items():
                start = time.process_time()
                x_hat = solver.solve(y, physics, x0=surrounded(y, physics.operator)).value
                seconds = time.process_time() - start
                write(out, "nonblind", name, k + 1, number, *errors(x_hat, x, kernel), seconds)


def kernel_is_found(k, problem, state):
    """Stop before the final image."""
    return bool((state.level == 0).all())


def blind(data, out, numbers):
    """Find the kernels."""
    for number in numbers:
        for k, kernel in enumerate(levin(data)):
            x = picture(data, number)
            physics, y = photographed(x, kernel, 100 * k + number)
            unknown = physics.bind(kernel=torch.ones_like(kernel) / kernel.numel())
            start = time.process_time()
            solver = invcore.solver("optics.blind_multiscale")
            found = solver.solve(y, unknown, callback=kernel_is_found).physics.operator.kernel
            write(out, "blind", k + 1, number, similarity(found, kernel), time.process_time() - start)


def main():
    """Run what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("nonblind", "blind"))
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("."))
    parser.add_argument("--images", default="1,2,3,4,5,6,7,8,9,10,11,12")
    parser.add_argument("--methods", default="tv,wavelet,pnp")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    numbers = [int(n) for n in args.images.split(",")]
    if args.what == "nonblind":
        nonblind(args.data, args.out, numbers, args.methods.split(","))
    else:
        blind(args.data, args.out, numbers)


if __name__ == "__main__":
    main()
