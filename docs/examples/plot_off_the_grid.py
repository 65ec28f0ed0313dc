"""
Sources between the pixels
==========================

Molecules, stars and scatterers are points, and points are not on pixels. Their number, positions and
brightness can be found as a list, with a proof that no other list is better.
"""

import matplotlib.pyplot as plt
import torch

import invcore
from invcore.metrics import match_spikes

# %%
# A camera and eight molecules
# ----------------------------
# Each row of the list is a brightness in photons and a position in pixels; rows of zeros are empty places. A
# pixel counts what a Gaussian spot of 1.2 pixels leaves in it, over a background of two photons.

n = 20
axis = torch.arange(n, dtype=torch.float64)
pixels = torch.cartesian_prod(axis, axis).reshape(1, n, n, 2)
camera = invcore.operator("measure_samples", pixels, spikes=16, kernel="pixel", sigma=1.2, pixel=1.0)

generator = torch.Generator().manual_seed(4)
truth = torch.zeros(16, 3, dtype=torch.float64)
truth[:8, 0] = 800 + 1200 * torch.rand(8, generator=generator)
truth[:8, 1:] = 3 + (n - 7) * torch.rand(8, 2, generator=generator)
counts = torch.poisson(camera(truth) + 2.0, generator=generator)

# %%
# Find them
# ---------
# The solver adds a molecule where the data ask for one most, and lets all of them slide to where they fit
# best, until nothing is asked for. The weight λ is the price of a photon, which makes all molecules too faint
# by 1 + λ; noise asks for a few that are fainter still. One comes out as two, half a pixel apart, which for a
# spot of 1.2 pixels makes less of a difference than the noise.

fidelity = invcore.fidelity("poisson_kl", background=2.0)
solver = invcore.solver("sliding_frank_wolfe", weight=0.8, fidelity=fidelity)
solution = solver.solve(counts, invcore.Physics(camera))
found = solution.value[solution.value[:, 0] > 200]
pairs, apart = match_spikes(found, truth, tolerance=1.0)
off = float(apart.square().mean().sqrt())
print(f"{len(found)} of more than 200 photons, {len(pairs)} of 8 matched, {off:.2f} pixels off")
print(f"maximum of the certificate: {float(solution.state.certificate):.6f}")

# %%
# The certificate
# ---------------
# η is what a molecule of one photon at each place would gain over its price. Where the list is empty it is
# large at the molecules. At the solution it touches 1 at the molecules found and exceeds it nowhere: the list
# is optimal, and a longer one would not be better.

fine = torch.linspace(0, n - 1, 96, dtype=torch.float64)
places = torch.cartesian_prod(fine, fine)
space = camera.range


def certificate(spikes):
    slope = fidelity.grad(camera(spikes), counts, space)
    eta = torch.cat([-(camera.atoms(part) * slope).sum((-3, -2, -1)) for part in places.split(2000)])
    return eta.reshape(len(fine), len(fine)) / solver.weight


_, axes = plt.subplots(1, 3, figsize=(11, 3.7), layout="constrained")
around = (-0.5, n - 0.5, n - 0.5, -0.5)
axes[0].imshow(counts[0], cmap="gray")
axes[0].set_title("counts")
for ax, (title, spikes) in zip(
    axes[1:], {"η of no molecule": 0 * truth, "η of those found": solution.value}.items()
):
    eta = certificate(spikes)
    print(f"{title}: at most {float(eta.max()):.4g}")
    drawn = ax.imshow(eta, extent=(-0.1, n - 0.9, n - 0.9, -0.1), cmap="viridis", vmax=float(eta.max()))
    ax.set_title(title)
    plt.colorbar(drawn, ax=ax, shrink=0.8)
for ax in axes:
    ax.plot(truth[:8, 2], truth[:8, 1], "o", mfc="none", mec="tab:orange", ms=9)
    ax.set(xlim=around[:2], ylim=around[2:], xticks=[], yticks=[])
for ax in (axes[0], axes[2]):
    ax.plot(found[:, 2], found[:, 1], "x", color="tab:cyan", ms=5)
