"""
The toolbox
===========

One measurement, and what can be combined with it: noise and its likelihood, priors, solvers, derivatives,
metrics. Everything is found by name, and no step size is set by hand.
"""

import matplotlib.pyplot as plt
import torch

import invcore
from invcore.operators import gaussian_kernel

generator = torch.Generator().manual_seed(0)

# %%
# A measurement
# -------------
# A picture of flat and of striped regions, seen out of focus in few photons. What a point becomes is the
# kernel; outside its edges the picture is taken to be mirrored.

n = 128
row, column = torch.meshgrid(torch.linspace(-1, 1, n), torch.linspace(-1, 1, n), indexing="ij")
truth = torch.full((n, n), 0.15)
truth[(row**2 + column**2) < 0.75] = 0.45
truth[(row.abs() < 0.25) & (column.abs() < 0.55)] = 0.9
truth[((row - 0.55) ** 2 + column**2) < 0.03] = 0.05
stripes = 0.5 + 0.3 * torch.sign(torch.sin(28 * column + 9 * row))
truth = torch.where((row < -0.4) & (row > -0.75) & (column.abs() < 0.4), stripes, truth)[None]

operator = invcore.operator("convolution", kernel=gaussian_kernel(1.6), domain=(1, n, n), boundary="reflect")
physics = invcore.Physics(operator, invcore.noise("gaussian", sigma=0.03))
y = physics(truth, generator=generator)

psnr, ssim = invcore.metric("psnr", data_range=1.0), invcore.metric("ssim", data_range=1.0)


def show(images):
    """Draw images side by side, with their figures."""
    size = (2.6 * len(images), 3.0)
    _, axes = plt.subplots(1, len(images), figsize=size, layout="constrained")
    for ax, (name, image) in zip(axes, images.items(), strict=True):
        ax.imshow(image[0], cmap="gray", vmin=0, vmax=1)
        figures = f"{psnr(image, truth).item():.1f} dB, SSIM {ssim(image, truth).item():.2f}"
        ax.set_title(name if image is truth else f"{name}\n{figures}", fontsize=9)
        ax.axis("off")


show({"truth": truth, "measured": y})

# %%
# Priors
# ------
# The data term is the likelihood of the noise. The weight of the prior follows from the noise level where it
# has a rule (``weight="auto"``, the default), and is a number where it has none: a plug-and-play prior takes
# the strength of its denoiser from it.

total_variation = invcore.prior("tv")
tikhonov = invcore.solver("cg").solve(y, physics)
images = {
    "Tikhonov": tikhonov.value,
    "wavelets": invcore.solver("fista", prior=invcore.prior("wavelet"))(y, physics),
    "total variation": invcore.solver("fista", prior=total_variation)(y, physics),
    "BM3D, plug-and-play": invcore.solver(
        "hqs", prior=invcore.prior("pnp", denoiser=invcore.denoiser("bm3d"))
    )(y, physics),
}
show(images)

# %%
# Solvers
# -------
# Four ways to the same minimum. Step sizes come from certified norms, so all of them converge as they are;
# what differs is how fast. The objective after each step, above the smallest that any of them reaches:

weight = 3.0
curves = {}
for name in ("fista", "admm", "chambolle_pock", "condat_vu"):
    solver = invcore.solver(name, prior=total_variation, weight=weight, max_steps=150, rtol=0.0)
    curves[name] = solver.solve(y, physics, record_objective=True).stats["objective"]
best = min(curve.min() for curve in curves.values())
_, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for name, curve in curves.items():
    ax.semilogy((curve - best) / best + 1e-7, label=name)
ax.set(xlabel="step", ylabel="relative distance of the objective")
ax.legend()

# %%
# Another noise, another likelihood
# ---------------------------------
# For photon counts the likelihood is that of Poisson, which has no Lipschitz gradient. Mirror descent does
# not need one, and Richardson-Lucy is the classic; a prior makes the difference.

photons = invcore.Physics(operator, invcore.noise("poisson", gain=1 / 50))
counts = photons(truth, generator=generator)
show(
    {
        "50 photons a pixel": counts,
        "Richardson-Lucy, 30 steps": invcore.solver("richardson_lucy", max_steps=30)(counts, photons),
        "with total variation": invcore.solver("chambolle_pock", prior=total_variation, weight=4.0)(
            counts, photons
        ),
    }
)

# %%
# Learning the weight
# -------------------
# A weight that is a tensor has a gradient, through the solution itself: no iteration is kept. The rule for
# Tikhonov's weight makes the error of the predicted data small, where a blur hides most of the noise that it
# amplifies in the image. One example with its truth moves the weight to where the error of the image is
# smallest.

log_weight = tikhonov.problem.weight.log().requires_grad_()
optimizer = torch.optim.Adam([log_weight], lr=0.5)
for _ in range(15):
    solver = invcore.solver("cg", weight=log_weight.exp(), rtol=1e-4)
    learned = solver.solve(y, physics, differentiate="implicit").value
    loss = (learned - truth).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
show({"Tikhonov, weight by rule": images["Tikhonov"], "Tikhonov, weight learned": learned.detach()})
