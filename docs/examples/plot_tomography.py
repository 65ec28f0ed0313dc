"""
X-ray tomography
================

From a scan to an image: the geometry, filtered backprojection, total variation where views are few, a cone
beam, and a scanner that calibrates itself. The data are exact line integrals of a phantom, so nothing here is
tested on its own assumptions.
"""

import matplotlib.pyplot as plt
import torch

import invcore
import invcore_tomography as ct

generator = torch.Generator().manual_seed(0)

# %%
# A scan
# ------
# A geometry says where the source and the detector are in each view, in meters. Here a fan beam on a full
# turn, with the detector shifted by a few pixels, as real ones are.

n = 192
geometry = ct.fan(
    360,
    source_distance=0.5,
    detector_distance=0.25,
    columns=320,
    pitch=6e-4,
    offset=1.7e-3,
    grid=ct.Grid(shape=(n, n), spacing=6e-4),
)
phantom = ct.shepp_logan(radius=0.055)
truth = phantom.rasterize(geometry.grid, samples=4)

line_integrals = phantom.project(geometry)  # exact, of the ellipses themselves
photons = 5e4
scale = 20.0  # attenuation of density 1, per meter
noise = invcore.noise("log_poisson", photons=photons, mu=scale)
scan = noise(line_integrals, generator=generator)

_, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
geometry.plot(axes[0])
axes[1].imshow(scan[0], cmap="gray", aspect="auto")
axes[1].set(xlabel="column", ylabel="view", title="sinogram")

# %%
# Filtered backprojection
# -----------------------
# `XRay` is the transform and its exact adjoint; `A.fbp` is filtered backprojection, which knows from the
# geometry what weights it needs.

A = ct.XRay(geometry)
psnr = invcore.metric("psnr", data_range=1.0)


def show(images, window=(0.0, 0.5)):
    """Draw images side by side."""
    _, axes = plt.subplots(1, len(images), figsize=(3 * len(images), 3.4), layout="constrained")
    for ax, (name, image) in zip(axes, images.items(), strict=True):
        ax.imshow(image[0], cmap="gray", vmin=window[0], vmax=window[1])
        ax.set_title(name if image is truth else f"{name}\n{psnr(image, truth).item():.1f} dB", fontsize=9)
        ax.axis("off")


show({"ramp filter": A.fbp(scan), "Hann filter": A.fbp(scan, filter="hann"), "truth": truth})

# %%
# Few views
# ---------
# With every twelfth view only, filtered backprojection leaves streaks. Total variation, with the likelihood
# of the noise, does not.

few = ct.XRay(geometry[::12])
sparse = scan[:, ::12]
physics = invcore.Physics(few, invcore.noise("gaussian", sigma=4e-4))
tv = invcore.solver("fista", prior=invcore.prior("tv"), rtol=1e-4)
show({"30 views": few.fbp(sparse), "total variation": tv(sparse, physics), "truth": truth})

# %%
# A cone beam
# -----------
# Three dimensions, with the algorithm of Feldkamp, Davis and Kress. It is exact in the plane of the source,
# and good near it.

cone = ct.cone(
    240,
    source_distance=0.5,
    detector_distance=0.25,
    rows=96,
    columns=96,
    pitch=2e-3,
    grid=ct.Grid(shape=(64, 64, 64), spacing=1.9e-3),
)
head = ct.shepp_logan(3, radius=0.055)
volume = ct.XRay(cone).fbp(head.project(cone))
_, axes = plt.subplots(1, 3, figsize=(9, 3.4), layout="constrained")
for ax, plane, name in zip(
    axes,
    (volume[0, 32], volume[0, :, 32], volume[0, :, :, 32]),
    ("axial", "coronal", "sagittal"),
    strict=True,
):
    ax.imshow(plane, cmap="gray", vmin=0, vmax=0.5, origin="upper" if name == "axial" else "lower")
    ax.set_title(name)
    ax.axis("off")

# %%
# Self-calibration
# ----------------
# Gradients also reach the geometry. Forget the shift of the detector, and let the data find it: solve for the
# image, and move the shift along the gradient of the residual.

shift = torch.zeros((), dtype=torch.float64, requires_grad=True)


def shifted(offset):
    """The transform with an offset of the detector in millimeters."""
    return ct.XRay(
        ct.fan(
            120,
            source_distance=0.5,
            detector_distance=0.25,
            columns=320,
            pitch=6e-4,
            offset=offset * 1e-3,
            grid=ct.Grid(shape=(96, 96), spacing=1.2e-3),
        )
    )


third = scan[:, ::3]
optimizer = torch.optim.LBFGS([shift], max_iter=6, line_search_fn="strong_wolfe")
solver = invcore.solver("cg", weight=1.0, max_steps=20, rtol=1e-3)
path = []


def residual():
    """The misfit of the best image for a shift, and its gradient."""
    optimizer.zero_grad()
    guess = invcore.Physics(shifted(shift.detach()), invcore.noise("gaussian", sigma=4e-4))
    image = solver.solve(third, guess, throw=False).value
    loss = 1e6 * (shifted(shift)(image) - third).square().mean()
    loss.backward()
    path.append(shift.item())
    return loss


before = shifted(shift.detach()).fbp(third)
optimizer.step(residual)
after = shifted(shift.detach()).fbp(third)
print("shift in mm, step by step:", [round(p, 3) for p in path], "true: 1.7")
_, axes = plt.subplots(1, 2, figsize=(6, 3.4), layout="constrained")
for ax, image, name in zip(axes, (before, after), ("shift ignored", "shift found"), strict=True):
    ax.imshow(image[0], cmap="gray", vmin=0, vmax=0.5)
    ax.set_title(name)
    ax.axis("off")
