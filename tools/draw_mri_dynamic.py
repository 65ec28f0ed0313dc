"""Draw the pictures of docs/explanation/mri-dynamic.md, from phantoms; prints the numbers of the page."""

import math
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from PIL import Image

import invcore_mri as mri
from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.priors import TV
from invcore.solvers import FISTA, ConjugateGradient

TARGET = Path(__file__).parents[1] / "docs" / "_static" / "mri"


def save(figure, name, dpi=80):
    """Save with few colors, which keeps the file small."""
    figure.savefig(TARGET / name, dpi=dpi)
    plt.close(figure)
    Image.open(TARGET / name).convert("RGB").quantize(200).save(TARGET / name, optimize=True)


def noisy(y, sigma, generator):
    """Data with complex noise."""
    return y + sigma * torch.complex(*(torch.randn(y.shape, generator=generator) for _ in range(2)))


def decibels(found, truth):
    """Signal over error."""
    return -20 * math.log10(float((found - truth).norm() / truth.norm()))


def show(ax, image, title="", cmap="gray", **options):
    """One picture."""
    shown = ax.imshow(image, cmap=cmap, **options)
    ax.set_title(title, fontsize=9)
    ax.axis("off")
    return shown


def cine(n=96, frames=20, sigma=0.01):
    """A beating heart, six times undersampled, with and without what frames have in common."""
    g = torch.Generator().manual_seed(0)
    x = mri.heart_phantom((n, n), frames)
    generate = mri.MaskKTPoisson(shape=(n, n), frames=frames, acceleration=6.0, calib=4, axis=-2)
    masks = generate(generator=g)
    each = mri.Sense(mri.coil_array((n, n), coils=8), masks)
    series = mri.Frames(each, frames)
    y = noisy(series(x), sigma, g) * masks.unsqueeze(1)
    noise = GaussianNoise(sigma=sigma)
    options = {"max_steps": 80, "rtol": 1e-3}
    alone = [
        FISTA(prior=TV(rtol=1e-2), weight=w, **options)(y, Physics(each, noise)).movedim(0, 1)
        for w in (8.0, 16.0, 32.0, 64.0)
    ]
    parts = FISTA(prior=mri.LowRankSparse(), **options)(y, Physics(mri.superposition(series), noise))
    spectrum = FISTA(prior=mri.TemporalSpectrum(), **options)(y, Physics(series, noise))
    training = mri.low_resolution(y, series, 4)
    found = {
        "truth": x,
        "adjoint": series.H(y),
        "total variation\nof each frame": max(alone, key=lambda z: decibels(z, x)),
        "k-t SENSE": mri.kt_sense(y, Physics(series, noise), training),
        "low rank + sparse": parts.sum(0, keepdim=True),
        "sparse in x-f": spectrum,
    }
    figure, axes = plt.subplots(3, len(found), figsize=(9.6, 5.4), layout="constrained")
    column = int(0.57 * n)
    for ax, (name, z) in zip(axes.T, found.items()):
        level = "" if name == "truth" else f"\n{decibels(z, x):.1f} dB"
        print(name.replace("\n", " "), level.strip())
        show(ax[0], z[0, 0].abs(), name + level, vmin=0, vmax=1)
        show(ax[1], z[0, int(0.4 * frames)].abs(), vmin=0, vmax=1)
        show(ax[2], z[0, :, :, column].abs().T, vmin=0, vmax=1, aspect="auto")
    for ax, label in zip(axes[:, 0], ("diastole", "systole", "a column over time")):
        ax.text(-0.08, 0.5, label, rotation=90, va="center", ha="right", transform=ax.transAxes, fontsize=9)
    save(figure, "cine.png")


def maps(n=96, sigma=0.01):
    """T2 and T1 of the head with noise, and T2 straight from undersampled k-space."""
    g = torch.Generator().manual_seed(0)
    head = mri.tissue_phantom((n, n))
    inside = head.M0.abs()[0] > 0.3
    t2 = mri.SpinEcho(torch.arange(1, 13) * 0.012, (n, n))
    t1 = mri.InversionRecovery(torch.tensor([0.05, 0.2, 0.4, 0.8, 1.5, 3.0]), (n, n))
    eta = torch.full((1, n, n), 0.95)
    rows = []
    for model, name, truth, high in (
        (t2, "T2", {"T2": head.T2}, 0.2),
        (t1, "T1", {"T1": head.T1, "eta": eta}, 2.5),
    ):
        images = noisy(model(model.coordinates(M0=head.M0, **truth)), sigma, g)
        fit = mri.fit_maps(images, model, sigma=sigma)
        z = ((fit.maps[name] - truth[name]) / fit.deviations[name])[0][inside]
        share = float((z.abs() < 1).double().mean())
        print(f"{name}: {share:.1%} of errors within one deviation; median {float(z.median()):.3f}")
        rows.append((name, images, truth[name], fit, high))
    figure, axes = plt.subplots(2, 4, figsize=(9.6, 4.6), layout="constrained")
    for ax, (name, images, truth, fit, high) in zip(axes, rows):
        show(ax[0], images[0, 0].abs(), "first image")
        for a, values, title in ((ax[1], truth, f"{name}, truth"), (ax[2], fit.maps[name], f"{name}, fit")):
            shown = show(a, values[0].where(inside, 0), title, cmap="viridis", vmin=0, vmax=high)
        figure.colorbar(shown, ax=ax[2], label="s", shrink=0.8)
        relative = (fit.deviations[name] / fit.maps[name])[0].where(inside, 0)
        shown = show(ax[3], 100 * relative, "standard deviation", cmap="magma", vmin=0, vmax=10)
        figure.colorbar(shown, ax=ax[3], label="%", shrink=0.8)
    save(figure, "parameter-maps.png")


def off_resonance(n=96):
    """A spiral of 20 ms through the field of a head at 3 T."""
    head, field = mri.head_phantom((n, n)), mri.off_resonance((n, n))[0]
    k = mri.spiral(8, 2500, n)
    times = torch.linspace(0.0, 0.02, 2500).expand(8, -1).flatten()
    maps = mri.coil_array((n, n), coils=6)
    A = mri.NUFFTSense(maps, k.flatten(0, 1), field=field, times=times, eps=1e-4)
    y = noisy(A(head), 0.01, torch.Generator().manual_seed(0))
    plain = mri.NUFFTSense(maps, k.flatten(0, 1))
    solver = ConjugateGradient(weight=1.0, max_steps=20)
    noise = GaussianNoise(sigma=0.01)
    print("segments", A.off_resonance_segments)
    figure, axes = plt.subplots(1, 4, figsize=(9.6, 2.7), layout="constrained")
    show(axes[0], head[0].abs(), "truth", vmin=0, vmax=1)
    shown = show(axes[1], field, "off-resonance", cmap="coolwarm", vmin=-200, vmax=200)
    figure.colorbar(shown, ax=axes[1], label="Hz", shrink=0.8)
    for ax, operator, name in ((axes[2], plain, "without the field"), (axes[3], A, "with the field")):
        z = solver(y, Physics(operator, noise))
        print(name, round(decibels(z, head), 1))
        show(ax, z[0].abs(), f"{name}\n{decibels(z, head):.1f} dB", vmin=0, vmax=1)
    save(figure, "off-resonance.png")


def sampling():
    """Trajectories and masks."""
    figure = plt.figure(figsize=(9.6, 4.9), layout="constrained")
    n = 32
    for i, (name, k) in enumerate(
        {
            "radial, golden angle": mri.radial(9, n, n, order="golden"),
            "spiral, power 2": mri.spiral(3, 800, n, power=2.0, turns=6),
            "rosette": mri.rosette(3, 400, n, oscillations=3, rotations=1),
            "kooshball": mri.kooshball(60, 12, n),
        }.items()
    ):
        ax = figure.add_subplot(2, 4, i + 1, projection="3d" if k.shape[-1] == 3 else None)
        mri.plot_trajectory(k, ax)
        ax.set_title(name, fontsize=9)
        ax.set(xlabel="", ylabel="")
        if k.shape[-1] == 3:
            ax.set_zlabel("")
        ax.tick_params(labelsize=6)
    g = torch.Generator().manual_seed(0)
    shape = (96, 96)
    masks = {
        "Poisson discs, R = 6": mri.MaskPoisson(shape=shape, acceleration=6.0, calib=12)(generator=g),
        "Gaussian, R = 6": mri.MaskGaussian(shape=shape, acceleration=6.0, calib=12, axes=(-2, -1))(
            generator=g
        ),
        "shifted lines, R = 8": mri.MaskShifted(shape=(8, 96), frames=48, acceleration=8, calib=4)(
            generator=g
        )[:, 0],
        "k-t Poisson discs, R = 6": mri.MaskKTPoisson(shape=(8, 96), frames=48, acceleration=6.0, calib=4)(
            generator=g
        )[:, 0],
    }
    for i, (name, mask) in enumerate(masks.items()):
        show(figure.add_subplot(2, 4, 5 + i), mask, name, interpolation="nearest")
    save(figure, "sampling.png", dpi=90)


if __name__ == "__main__":
    TARGET.mkdir(parents=True, exist_ok=True)
    sampling()
    off_resonance()
    maps()
    cine()
