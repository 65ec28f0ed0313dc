"""Draw the pictures of the microscopes for the documentation, from a simulated specimen.

    python tools/draw_optics_microscopy.py sim|ism|rim|frap [-o docs/_static/optics]

There are no public raw data of these microscopes in the formats that the library reads.
"""

import argparse
import math
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

from invcore import Physics, least_squares, stack
from invcore.noises import PoissonNoise, Thinning
from invcore.solvers import RichardsonLucy
from invcore_optics import (
    Frap,
    ImageScanning,
    IndependentRichardsonLucy,
    Objective,
    Patterns,
    PixelReassignment,
    SimPatterns,
    SpeckleStatistics,
    SpeckleVariance,
    StructuredIllumination,
    VarianceMatching,
    detector_grid,
    detector_psfs,
    fit_frap,
    otf,
)

OBJECTIVE, PIXEL = Objective(520e-9, 1.2, index=1.33), 65e-9


def filaments(size, count, generator):
    """Bent filaments of one pixel, and pairs of points."""
    r = torch.arange(size, dtype=torch.float64) - size / 2
    image = torch.zeros(1, size, size, dtype=torch.float64)
    for angle, offset, bend in torch.rand(count, 3, generator=generator, dtype=torch.float64):
        c, s = math.cos(math.pi * angle), math.sin(math.pi * angle)
        along, across = s * r[:, None] - c * r, c * r[:, None] + s * r
        apart = across - (offset - 0.5) * 0.8 * size - 2 * (bend - 0.5) * along**2 / size
        image += torch.exp(-(apart**2) / 2)
    return image


def panels(images, path):
    """Draw the middle of images side by side."""
    _, axes = plt.subplots(1, len(images), figsize=(2.6 * len(images), 2.8), layout="constrained")
    for ax, (title, image) in zip(axes, images.items()):
        ny, nx = image.shape[-2:]
        ax.imshow(image[0, ny // 4 : 3 * ny // 4, nx // 4 : 3 * nx // 4].clamp(min=0), cmap="gray")
        ax.set_title(title, fontsize=9)
        ax.set(xticks=[], yticks=[])
    plt.savefig(path, dpi=110)
    print(path)


def sim(path):
    """Structured illumination: nine frames, widefield, reconstruction."""
    g, n = torch.Generator().manual_seed(2), 128
    angles = 0.4 + math.pi / 3 * torch.arange(3, dtype=torch.float64)
    waves = 0.85 * OBJECTIVE.cutoff * PIXEL * torch.stack((angles.sin(), angles.cos()), -1)
    phases = (2 * math.pi / 3 * torch.arange(3, dtype=torch.float64)).expand(3, 3)
    truth = Patterns(waves, phases, torch.full((3, 1), 0.8, dtype=torch.float64), torch.zeros(3))
    A = StructuredIllumination.of(truth, objective=OBJECTIVE, pixel=PIXEL, shape=(n, n))
    x = filaments(2 * n, 16, g)
    x = x * (500 / A(x).max())
    y = torch.poisson(A(x).clamp(min=0), generator=g)
    found = SimPatterns(OBJECTIVE, PIXEL, evenly_spaced=True)(y)
    print("off by", (n * (found.wave_vectors - truth.wave_vectors).norm(dim=-1)).tolist(), "samples")
    lit = StructuredIllumination.of(found, objective=OBJECTIVE, pixel=PIXEL, shape=(n, n))
    dark = found._replace(modulation=0 * found.modulation)
    wide = StructuredIllumination.of(dark, objective=OBJECTIVE, pixel=PIXEL, shape=(n, n))
    images = {"one of nine frames": y[:1], "widefield": y.mean(0, keepdim=True)}
    images["widefield, deconvolved"] = least_squares(wide, y, shift=0.02, max_steps=40, rtol=1e-2)
    images["structured illumination"] = least_squares(lit, y, shift=0.02, max_steps=40, rtol=1e-2)
    panels(images | {"specimen": x}, path)


def ism(path):
    """Image scanning: registered images, deconvolution, and the same with halves that must agree."""
    g, n = torch.Generator().manual_seed(3), 96
    r = torch.arange(n, dtype=torch.float64) - n // 2
    spot = torch.exp(-(r[:, None] ** 2 + r**2) / (2 * 2.5**2))
    spot = spot / spot.sum()
    A = ImageScanning(detector_psfs(spot, spot, detector_grid(5, 2.0, dtype=torch.float64)), shape=(n, n))
    x = filaments(n, 10, g)
    x = x * (30 / x.max())
    y = torch.poisson(A(x).clamp(min=0), generator=g)
    halves = Thinning()(y, generator=g, space=A.range)
    both = Physics(stack([0.5 * A, 0.5 * A]), PoissonNoise())
    images = {"sum of 25 images": y.sum(0, keepdim=True), "pixel reassignment": PixelReassignment()(y)}
    images["300 steps"] = RichardsonLucy(max_steps=300, rtol=0.0).solve(y, Physics(A, PoissonNoise())).value
    agreeing = IndependentRichardsonLucy(weight=0.03, max_steps=300, rtol=0.0)
    images["300 steps, halves that agree"] = agreeing.solve(halves, both).value
    panels(images | {"specimen": x}, path)


def rim(path):
    """Random illumination: moments of 400 frames and the matched image."""
    g, n, cutoff = torch.Generator().manual_seed(4), 96, 0.2
    objective = Objective(wavelength=1e-6, na=0.5)
    transfer = otf(objective, pixel=cutoff * 1e-6, shape=(n, n), dtype=torch.float64)
    psf = torch.fft.fftshift(torch.fft.ifft2(transfer).real)
    x = filaments(n, 8, g)
    f = torch.fft.fftfreq(n, dtype=torch.float64)
    pupil = (torch.hypot(f[:, None], f) < cutoff / 2).double()
    frames = []
    for _ in range(400):
        waves = torch.view_as_complex(torch.randn(n, n, 2, generator=g, dtype=torch.float64))
        light = (torch.fft.ifft2(pupil * waves) * n**2).abs().square() / (2 * pupil.sum())
        image = torch.fft.ifft2(torch.fft.fft2(200 * light * x[0]) * transfer).real
        frames.append(torch.poisson(image.clamp(min=0), generator=g))
    moments = SpeckleStatistics()(torch.stack(frames))
    window = psf[n // 2 - 12 : n // 2 + 13, n // 2 - 12 : n // 2 + 13]
    A = SpeckleVariance.of(psf=window, cutoff=cutoff, shape=(n, n))
    found = VarianceMatching(max_steps=60).solve(moments.variance, Physics(A)).value
    images = {"one of 400 frames": frames[0][None], "mean": moments.mean, "variance": moments.variance}
    panels(images | {"variance matched": found, "specimen": x}, path)


def frap(path):
    """Recovery of a half-bleached droplet, and its fit."""
    n = 24
    r = torch.arange(n, dtype=torch.float64) - (n - 1) / 2
    inside = torch.hypot(r[:, None], r) < 7
    half = (inside & (r < 0)).double()
    t = torch.linspace(0.2, 12, 16, dtype=torch.float64)
    A = Frap(inside=inside, bleach=half, times=t, pixel=0.15, substeps=2, interface=math.pi / 4)
    truth = {
        "diffusion_inside": 0.1,
        "permeability": 0.05,
        "partition": 4.0,
        "bleach_depth": 1.5,
        "fading": 5e-3,
    }
    x = Frap.parameters_of(**truth, diffusion_outside=2.0, dtype=torch.float64)
    noise = torch.randn(A.range.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    movie = A(x) + 0.1 * noise
    found = fit_frap(movie, A, start=x + 0.3 * torch.tensor([1, -1, 1, -1, 1, -1.0]), sigma=0.1)
    for name, value in found.values.items():
        print(f"{name}: {value:.3g} +- {found.errors[name]:.2g}")
    halves = {"bleached half": half.bool(), "other half": inside & ~half.bool()}
    _, axes = plt.subplots(1, 4, figsize=(10.4, 2.8), layout="constrained")
    for ax, k in zip(axes, (0, 4, 15)):
        ax.imshow(movie[k], cmap="gray", vmin=0, vmax=4.3)
        ax.set_title(f"{float(t[k]):.1f} s", fontsize=9)
        ax.set(xticks=[], yticks=[])
    for (title, mask), color in zip(halves.items(), ("tab:orange", "tab:blue")):
        axes[3].plot(t, movie[:, mask].mean(1), "o", ms=3, color=color)
        axes[3].plot(t, found.movie[:, mask].mean(1), color=color, label=title)
    axes[3].set_xlabel("s")
    axes[3].legend(fontsize=8)
    plt.savefig(path, dpi=110)
    print(path)


def main():
    """Draw one picture."""
    draw = {"sim": sim, "ism": ism, "rim": rim, "frap": frap}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=draw)
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/_static/optics"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    draw[given.which](given.out / f"{given.which}.png")


if __name__ == "__main__":
    main()
