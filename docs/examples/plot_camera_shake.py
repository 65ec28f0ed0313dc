"""
A photograph taken with a shaking hand
======================================

The kernel of a camera shake is unknown, and the scene goes on beyond the border of the photograph. Both
matter: a model that is periodic, or zero outside, rings across the image; and the most likely pair of image
and kernel is the photograph itself with no blur at all. Here the border is left unknown, and the kernel is
found from coarse to fine by the strong edges of the image.
"""

import matplotlib.pyplot as plt
import torch

import invcore
from invcore.operators import Convolution
from invcore.priors import TV
from invcore_optics import surrounded, unknown_boundary

seeded = torch.Generator().manual_seed

# %%
# The photograph
# --------------
# A scene of rectangles and disks, larger than what the sensor sees. `unknown_boundary` is the blur of which
# the data are the part that needs no guess about the surroundings.

n = 160
rows, columns = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
scene = torch.full((n, n), 0.3)
g = seeded(3)
for _ in range(40):
    top, left = (int(v) for v in torch.randint(-10, n, (2,), generator=g))
    height, width = (int(v) for v in torch.randint(8, 50, (2,), generator=g))
    inside = (rows >= top) & (rows < top + height) & (columns >= left) & (columns < left + width)
    scene[inside] = float(torch.rand((), generator=g))
for _ in range(12):
    y0, x0, radius = (int(v) for v in torch.randint(4, n, (3,), generator=g))
    scene[(rows - y0) ** 2 + (columns - x0) ** 2 < (radius / 10 + 3) ** 2] = float(
        torch.rand((), generator=g)
    )
scene = scene[None]

shake = invcore.create("generator", "motion_kernel", size=15)(generator=seeded(1))
camera = unknown_boundary(shake, (1, n - 14, n - 14))
physics = invcore.Physics(camera, invcore.noise("gaussian", sigma=0.01))
photograph = physics(scene, generator=seeded(0))

# %%
# What the border does
# --------------------
# With the kernel known, total variation with an unknown boundary, and with a periodic one. A solver starts
# from the data continued by their border, `surrounded`.

solver = invcore.solver("condat_vu", prior=TV(), weight=15.0, max_steps=150)
known = solver.solve(photograph, physics, x0=surrounded(photograph, camera)).value
circular = invcore.Physics(Convolution(shake, domain=tuple(photograph.shape)), physics.noise)
periodic = solver.solve(photograph, circular, x0=photograph).value


def seen(x):
    """The part of the scene that the photograph shows."""
    return x[..., 7:-7, 7:-7]


def psnr(x):
    """Decibels, for a range of one."""
    return -10 * float((x - seen(scene)).square().mean().log10())


print(f"unknown boundary {psnr(seen(known)):.1f} dB, periodic {psnr(periodic):.1f} dB")

# %%
# The kernel unknown
# ------------------
# The operator only says how large the kernel may be. ``solution.physics`` is the camera that was found.

unknown = physics.bind(kernel=torch.ones(1, 15, 15) / 225)
blind = invcore.solver("optics.blind_multiscale", solver=solver)
solution = blind.solve(photograph, unknown)
found = solution.physics.operator.kernel

spectra = (torch.fft.rfft2(k, s=(30, 30)) for k in (found, shake))
a, b = spectra
similarity = float(torch.fft.irfft2(a * b.conj()).max() / found.norm() / shake.norm())
print(f"similarity of the kernels {similarity:.2f}")

_, axes = plt.subplots(2, 4, figsize=(12, 6), layout="constrained")
pictures = {
    "scene": seen(scene),
    "photograph": photograph,
    "periodic": periodic,
    "unknown boundary": seen(known),
    "kernel unknown too": seen(solution.value),
}
for ax, (title, picture) in zip(axes.flat, pictures.items(), strict=False):
    ax.imshow(picture[0], cmap="gray", vmin=0, vmax=1, interpolation="none")
    ax.set_title(title)
for ax, kernel, title in zip(axes.flat[5:], (shake, found), ("shake", "found"), strict=False):
    ax.imshow(kernel[0], cmap="magma", interpolation="none")
    ax.set_title(title)
for ax in axes.flat:
    ax.axis("off")
