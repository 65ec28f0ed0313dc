"""Denoising of Set12: mean PSNR and time of each classical denoiser, beside scikit-image where it has one.

    python tests/benchmarks/bench_denoisers.py [noise level, 25 by default] [names of denoisers, all by
    default] python tests/benchmarks/bench_denoisers.py 25 --picture FILE.png

Published, σ = 25: BM3D 29.97 dB, EPLL with 200 components 29.69 dB (K. Zhang et al., IEEE Trans. Image
Process. 26, 2017). Here EPLL reached 29.17 dB with 64 components. The picture shows a crop of one image
as each of the six families leaves it.
"""

import os
import statistics
import sys
import time
from pathlib import Path

import _timing  # first: pins the threads
import numpy as np
import torch
from _timing import available
from matplotlib import image

from invcore.denoisers import (
    BM3D,
    Bilateral,
    EPLLDenoiser,
    Equivariant,
    Median,
    NonLocalMeans,
    TGVDenoiser,
    TVDenoiser,
    WaveletDenoiser,
)
from invcore.metrics import PSNR, SSIM

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("INVCORE_DATA", ROOT.parent / "shared" / "data")) / "images" / "set12"


def ours():
    """Name to denoiser ``D(x, sigma)``."""
    wavelet = WaveletDenoiser(wavelet="db4")
    return {
        "bm3d": BM3D(),
        "bm3d, first pass": BM3D(wiener=False),
        "epll": EPLLDenoiser(),
        "nlm": NonLocalMeans(),
        "tv": TVDenoiser(rtol=1e-4),
        "tgv": TGVDenoiser(),
        "wavelet": wavelet,
        "wavelet, 16 shifts": WaveletDenoiser(wavelet="db4", spins=4),
        "wavelet, equivariant": Equivariant(wavelet),
        "wavelet, block": WaveletDenoiser(wavelet="db4", shrinkage="block", threshold="stein", spins=4),
        "bilateral": Bilateral(),
        "median 5 x 5": Median(size=5),
    }


def peers():
    """The same of scikit-image, with the settings its documentation recommends, and our weight of TV."""
    if not available("skimage"):
        return {}
    from skimage import restoration

    def wrapped(function):
        return lambda y, sigma: torch.from_numpy(function(y[0].numpy(), sigma)).float()[None]

    return {
        "skimage nlm": wrapped(
            lambda y, s: restoration.denoise_nl_means(
                y, patch_size=5, patch_distance=10, h=0.6 * s, sigma=s, fast_mode=True
            )
        ),
        "skimage tv": wrapped(
            lambda y, s: restoration.denoise_tv_chambolle(
                y.astype(np.float64), weight=0.75 * s, eps=1e-5, max_num_iter=1000
            )
        ),
        "skimage wavelet": wrapped(
            lambda y, s: restoration.denoise_wavelet(y, sigma=s, wavelet="db4", rescale_sigma=False)
        ),
    }


@torch.no_grad()
def main(level, names=()):
    files = sorted(FOLDER.glob("*.png"))
    if len(files) != 12:
        print(f"no Set12: {FOLDER} lacks the 12 images; set INVCORE_DATA to the data folder")
        return
    psnr, ssim = PSNR(data_range=1.0), SSIM(data_range=1.0)
    contestants = {n: d for n, d in {**ours(), **peers()}.items() if not names or n in names}
    rows = {name: [] for name in ["noisy", *contestants]}
    for i, file in enumerate(files):
        x = torch.from_numpy(np.round(255 * image.imread(file)) / 255)[None].float()
        y = x + level * torch.randn(x.shape, generator=torch.Generator().manual_seed(i))
        rows["noisy"].append((float(psnr(y, x)), float(ssim(y, x)), 0.0))
        for name, denoise in contestants.items():
            start = time.perf_counter()
            out = denoise(y, level)
            spent = (time.perf_counter() - start) / x.numel() * 256**2
            rows[name].append((float(psnr(out, x)), float(ssim(out, x)), spent))
    print(f"Set12, noise {255 * level:g} / 255, {_timing.THREADS} threads; median time for 256 x 256 pixels")
    print(f"  {'':24} {'PSNR':>8} {'SSIM':>8} {'time':>10}")
    for name, values in rows.items():
        p, s, t = zip(*values)
        print(f"  {name:24} {np.mean(p):8.2f} {np.mean(s):8.4f} {1e3 * statistics.median(t):7.0f} ms")


@torch.no_grad()
def picture(level, path):
    """Crops of the parrot: clean, noisy, and six denoisers, each with its PSNR on the whole image."""
    import matplotlib.pyplot as plt

    x = torch.from_numpy(np.round(255 * image.imread(FOLDER / "07.png")) / 255)[None].float()
    y = x + level * torch.randn(x.shape, generator=torch.Generator().manual_seed(6))
    panels = {"clean": x, "noisy": y}
    for name in ("tv", "tgv", "wavelet, 16 shifts", "nlm", "epll", "bm3d"):
        panels[name] = ours()[name](y, level)
    figure, axes = plt.subplots(2, 4, figsize=(8, 4.4), layout="constrained")
    for axis, (name, shown) in zip(axes.flat, panels.items()):
        axis.imshow(shown[0, 20:120, 90:190], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        quality = "" if name == "clean" else f" {float(PSNR(data_range=1.0)(shown, x)):.2f} dB"
        axis.set_title(f"{name}{quality}", fontsize=8)
        axis.set_axis_off()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    words = sys.argv[1:]
    noise = float(words[0]) / 255 if words else 25 / 255
    if words[1:2] == ["--picture"]:
        picture(noise, words[2])
    else:
        main(noise, words[1:])
