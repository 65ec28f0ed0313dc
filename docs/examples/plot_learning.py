"""
Learning to reconstruct
=======================

A third of the Fourier coefficients of an image of a polycrystal, with noise: total variation at its best
weight, beside a network that removes the artifacts of a direct inversion, and beside a few steps of a solver
whose denoiser is learned. Lattice fringes are not piecewise constant, so total variation knows little about
them; what to expect instead is learned from simulated measurements, in a minute or two.
"""

import tempfile

import matplotlib.pyplot as plt
import torch

import invcore
from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.spaces import Space
from invcore_learning import Loading, Optimization, Unrolled, evaluate, train

size = (48, 48)


class Polycrystal:
    """Images of grains, each with the fringes of its own orientation: a data set needs no more than this."""

    def __init__(self, length, seed):
        self.grains = invcore.dataset("dead_leaves", length=length, size=size, r_min=8.0, seed=seed)

    def __len__(self):
        return len(self.grains)

    def __getitem__(self, index):
        angle = torch.pi * self.grains[index]
        r = torch.arange(48.0)
        phase = 2 * torch.pi / 6 * (angle.cos() * r + angle.sin() * r[:, None])  # a period of 6 pixels
        return 0.5 + 0.4 * phase.sin()


images, held_out = Polycrystal(200, seed=0), Polycrystal(24, seed=1)

# %%
# The measurement
# ---------------
# The Fourier transform of a real image at random frequencies, the low ones always. The mask is drawn once:
# one scanner, one protocol.

low = torch.fft.fftfreq(48).abs() < 0.06
keep = torch.rand(size, generator=torch.Generator().manual_seed(0)) < 0.35
mask = (keep | (low[:, None] & low[None])).to(torch.complex64)[None]
complex_images = Space((1, *size), "complex")
to_complex = invcore.operator("real_part", complex_images).H
A = invcore.operator("mask", mask, complex_images) @ invcore.operator("fft", complex_images) @ to_complex
physics = Physics(A, GaussianNoise(sigma=0.02))
print(f"{float(mask.real.mean()):.0%} of the coefficients")

# %%
# Total variation, at the weight that is best on other images of the kind.


def tv(weight):
    return invcore.solver("fista", prior=invcore.prior("tv"), weight=weight, rtol=1e-3)


metrics = {"psnr": invcore.metric("psnr", data_range=1.0)}
few = Polycrystal(6, seed=2)
weights = [0.1, 0.3, 1.0, 3.0]
scores = [float(evaluate(tv(w), physics, few, metrics=metrics).metrics["psnr"].mean()) for w in weights]
best = weights[max(range(len(weights)), key=scores.__getitem__)]
print("weight", best, "of", dict(zip(weights, (round(s, 1) for s in scores))))

# %%
# Two models
# ----------
# ``ArtifactRemoval`` goes back to an image by the adjoint, and a network corrects it. ``Unrolled`` takes some
# steps of a solver, a gradient step and a denoiser of its own each, and sees the measurements in all of them.

torch.manual_seed(0)
network = invcore.model("learning.unet", features=(16, 32, 64), blocks=1)
direct = invcore.model("learning.artifact_removal", network)

inner = invcore.model("learning.unet", features=(16, 32), blocks=1)
denoiser = invcore.denoiser("learning.network", inner, blind=True)
plug_and_play = invcore.solver("pgd", prior=invcore.prior("pnp", denoiser=denoiser, sigma=0.1), weight=1.0)
unrolled = Unrolled(plug_and_play, steps=5, learn=("step_size",), per_step=("prior.denoiser.network",))

done = {}
for name, model, epochs in (("artifact removal", direct, 16), ("unrolled", unrolled, 16)):
    done[name] = train(
        model,
        physics,
        images,
        optimization=Optimization(epochs=epochs, lr=3e-3, schedule="cosine", warmup=100, clip=1.0),
        loading=Loading(batch=8),
    )
    print(name, sum(p.numel() for p in model.parameters()), "weights,", done[name].steps, "steps")

# %%
# On images they have not seen
# ----------------------------

results = {"total variation": evaluate(tv(best), physics, held_out, metrics=metrics, baseline="adjoint")}
results |= {
    n: evaluate(m, physics, held_out, metrics=metrics)
    for n, m in (("artifact removal", direct), ("unrolled", unrolled))
}
print(f"{'adjoint':18}{float(results['total variation'].baseline['psnr'].mean()):6.1f} dB")
for name, found in results.items():
    print(f"{name:18}{float(found.metrics['psnr'].mean()):6.1f} dB")

# %%

tv_result = results["total variation"]
rows = {"image": tv_result.pictures["reference"], "adjoint": tv_result.pictures["baseline"]}
rows |= {name: found.pictures["model"] for name, found in results.items()}
_, axes = plt.subplots(3, len(rows), figsize=(11, 6.8), layout="constrained")
for column, (title, pictures) in zip(axes.T, rows.items(), strict=True):
    column[0].set_title(title)
    for ax, picture in zip(column, pictures, strict=False):
        ax.imshow(picture[0], cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])

# %%
# The loss while they learned.

_, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for name, training in done.items():
    ax.semilogy(
        [row["epoch"] for row in training.history], [row["loss"] for row in training.history], label=name
    )
ax.set(xlabel="epoch", ylabel="mean squared error")
ax.legend()

# %%
# A model is one file, with what it is made of; it holds no code.

with tempfile.TemporaryDirectory() as folder:
    path = invcore.models.save(
        unrolled, f"{folder}/unrolled.safetensors", card={"data": "polycrystals, drawn"}
    )
    again = invcore.model(path)
    y = physics(held_out[0], generator=torch.Generator().manual_seed(0))
    print(
        path.stat().st_size // 1024,
        "KiB;",
        "the same image:",
        torch.equal(again(y, physics), unrolled(y, physics)),
    )
