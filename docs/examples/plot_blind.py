"""
Deblurring with an unknown blur
===============================

One photograph, and neither the scene nor the blur is known. The most likely *pair* of them is often the
photograph itself and a blur that does nothing. This page shows why, what avoids it, and what can be had in
practice.
"""

import math
import warnings

import matplotlib.pyplot as plt
import torch

import invcore
from invcore.models import GaussianRestorer
from invcore.operators import gaussian_kernel
from invcore.priors import L1, NonNegative, Simplex
from invcore.solvers import FISTA, MirrorDescent

seeded = torch.Generator().manual_seed

# %%
# Why the joint estimate does not deblur
# --------------------------------------
# Take Gaussian images with the power spectrum of photographs, S ∝ 1/f², blurred by a Gaussian of width 2. For
# each width that one may suppose, the best image is known in closed form. The joint objective, as a function
# of the width alone, rises from the very beginning: whatever the data, no blur is best. The marginal
# likelihood averages over all images instead of taking the best one. It has a minimum, and that is at the
# true width.

n, true = 128, 2.0
f = torch.fft.fftfreq(n, dtype=torch.float64)
squared = f[:, None] ** 2 + f**2
S = 1 / squared.clamp_min(1 / n**2)
prior = GaussianRestorer(mean=torch.zeros(1, n, n, dtype=torch.float64), spectrum=S / S.mean())


def blur(width):
    """A Gaussian blur with the transfer function exp(-2π² w² f²)."""
    gain = torch.exp(-2 * (math.pi * width) ** 2 * squared)
    kernel = torch.fft.fftshift(torch.fft.ifft2(gain).real)[None]
    return invcore.operator("convolution", kernel, domain=(1, n, n))


sharp = prior.sample(generator=seeded(0))
sigma = 0.05 * float(blur(true)(sharp).std())
noise = invcore.noise("gaussian", sigma=sigma)
y = invcore.Physics(blur(true), noise)(sharp, generator=seeded(1))

power = torch.fft.fft2(y, norm="ortho").abs().square()
widths = torch.arange(0, 4.01, 0.1)
joint, marginal = [], []
for width in widths:
    gain = torch.exp(-4 * (math.pi * width) ** 2 * squared)
    joint.append(float((power / (gain * prior.spectrum + sigma**2)).sum()) / 2)  # at the best image
    marginal.append(-float(prior.log_evidence(y, invcore.Physics(blur(float(width)), noise))))
print(f"joint estimate: width {widths[torch.tensor(joint).argmin()]:.1f};", end=" ")
print(f"marginal likelihood: width {widths[torch.tensor(marginal).argmin()]:.1f}; truth {true}")

_, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
for ax, values, title in zip(
    axes, (joint, marginal), ("joint objective", "-log marginal likelihood"), strict=True
):
    ax.plot(widths, torch.tensor(values) / n**2)
    ax.plot(widths[torch.tensor(values).argmin()], min(values) / n**2, "o")
    ax.axvline(true, linestyle=":", color="gray")
    ax.set(title=title, xlabel="width of the blur (pixels)", ylabel="per pixel")

# %%
# A star field and a shaking camera
# ---------------------------------
# Points of light are where joint estimation works: each of them shows the kernel. The kernel is a random
# motion; all solvers start from the same wide Gaussian. ``solution.value`` is the image, ``solution.physics``
# the physics with the kernel that was found. Image and kernel may be shifted against each other;
# ``psf_error`` compares kernels at the best shift.

size, sky = 13, 96
g = seeded(5)
stars = torch.zeros(1, sky, sky)
stars.view(-1)[torch.randint(0, sky**2, (60,), generator=g)] = 300 * torch.rand(60, generator=g) ** -0.7
motion = invcore.create("generator", "motion_kernel", size=size)(generator=seeded(7))
wide = gaussian_kernel(2.5, size=size)
camera = invcore.operator("convolution", motion, domain=(1, sky, sky))
psf_error = invcore.metric("psf_error")

counting = invcore.Physics(camera, invcore.noise("poisson", gain=1.0))
photons = counting(stars + 1, generator=seeded(1))
found = {}
for title, each in (
    ("richardson_lucy", {}),
    ("the same, kernel ahead", {"kernel_steps": 20, "image_steps": 1}),
):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        solver = invcore.solver("blind_richardson_lucy", max_steps=60, **each)
        found[title] = solver.solve(photons, counting.bind(kernel=wide))
    for warning in caught:
        print(f"{title}:", str(warning.message).partition(",")[0])

# %%
# With 20 steps for the kernel and one for the image in a turn, the kernel runs ahead and becomes a point; a
# warning says so. By default there is one step for the kernel and five for the image.
#
# The other two solvers take any operator, any parameter of it and any prior of the image. Variable projection
# solves for the image each time it looks at a kernel; alternating takes turns.

exposing = invcore.Physics(camera, invcore.noise("gaussian", sigma=5.0))
y = exposing(stars, generator=seeded(1))
start = exposing.bind(kernel=wide)


def points(weight, max_steps):
    """A sparse non-negative image."""
    return FISTA(prior=L1() + NonNegative(), weight=weight, max_steps=max_steps)


projection = invcore.solver("variable_projection", solver=points(0.1, 60), constraint=Simplex(), max_steps=8)
found["projection"] = projection.solve(y, start)
turns = invcore.solver(
    "blind_alternating",
    solver=points(0.1, 20),
    parameter_solver=MirrorDescent(prior=Simplex(), max_steps=10),
    max_steps=30,
)
found["alternating"] = turns.solve(y, start)
for title, solution in found.items():
    kernel = solution.physics.operator.kernel
    print(f"{title:23} error {float(psf_error(kernel, motion)):.2f}, 2-norm {float(kernel.norm()):.2f}")

kernels = {"truth": motion, "start": wide} | {t: s.physics.operator.kernel for t, s in found.items()}
_, axes = plt.subplots(2, 6, figsize=(13, 4.6), layout="constrained")
for (upper, lower), (title, kernel) in zip(axes.T, kernels.items(), strict=True):
    image = {"truth": stars, "start": y}.get(title)
    image = found[title].value if image is None else image
    upper.imshow(image[0].clamp_min(0).sqrt(), cmap="gray", vmax=40, interpolation="none")
    lower.imshow(kernel[0], cmap="magma", vmax=float(motion.max()), interpolation="none")
    upper.set_title("data" if title == "start" else title, fontsize=9)
    for ax in (upper, lower):
        ax.set(xticks=[], yticks=[])
