"""Fit ``invcore/priors/epll_8x8_200.safetensors``, the mixture that `EPLL` has by default.

    python tools/fit_patch_mixture.py FOLDER OUTPUT

FOLDER holds the 400 gray crops of 180 x 180 pixels from BSDS that denoisers are commonly trained on, as PNG
files. A first fit to few patches gives the start, expectation maximization over many goes on from there.
Patches are drawn from all eight flips and quarter turns. Prints the mean log-likelihood of a patch, of the
fit and of crops that were held out, saves after each step, and ends with the digest of the file.

The file comes out the same to the bit wherever torch has the same version: one thread, and instructions that
all processors of the last ten years have. The card beside the file holds the digest.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", MKL_CBWR="AVX2", ATEN_CPU_CAPABILITY="avx2")

import hashlib
import sys
import time
from pathlib import Path

import numpy as np
import torch
from matplotlib import image as reader

from invcore.priors import GaussianMixture
from invcore.priors._patches import cosines, extract

SIZE, COMPONENTS, FLOOR, HELD_OUT = 8, 200, 1e-6, 20
FIRST, FIRST_STEPS = 60_000, 20
MANY, STEPS = 300_000, 15


def draw(images, count, generator):
    """Patches without their mean, as 63 cosine coefficients, of every crop alike, flipped and turned at
    random."""
    each = -(-count // len(images))
    B = cosines(SIZE, 2, images)
    drawn = []
    for x in images:
        turn = int(torch.randint(8, (), generator=generator))
        x = torch.rot90(x, turn % 4, (0, 1))
        patches = extract((x.T if turn > 3 else x)[None], SIZE, 2).reshape(-1, SIZE**2)
        drawn.append(patches[torch.randperm(len(patches), generator=generator)[:each]] @ B.T)
    v = torch.cat(drawn)
    return v[torch.randperm(len(v), generator=generator)[:count]]


@torch.no_grad()
def main(folder, output):
    """Fit, report, save."""
    torch.set_num_threads(1)
    files = sorted(Path(folder).glob("*.png"))
    images = torch.from_numpy(np.stack([np.round(255 * reader.imread(f)) / 255 for f in files])).float()
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(images), generator=generator)
    held, used = images[order[:HELD_OUT]], images[order[HELD_OUT:]]
    test = draw(held, 10_000, generator)
    mixture = GaussianMixture.fit(
        draw(used, FIRST, generator), COMPONENTS, floor=FLOOR, centered=True, max_steps=FIRST_STEPS
    )
    print(f"start, from {FIRST} patches: held out {float(mixture.log_prob(test).mean()):.3f}", flush=True)
    v = draw(used, MANY, generator)
    for step in range(STEPS):
        start = time.perf_counter()
        mixture, level = mixture.refined(v, floor=FLOOR, centered=True)
        beyond = float(mixture.log_prob(test).mean())
        print(
            f"step {step + 1}: before {level:.3f}; held out {beyond:.3f} nats; "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )
        save(mixture, output, step + 1)
    print(output, "sha256", hashlib.sha256(Path(output).read_bytes()).hexdigest())


def save(mixture, output, steps):
    """Write the mixture with its card."""
    mixture.save(
        output,
        half=True,
        card={
            "what": f"{mixture.components} centered normal densities of 8 x 8 patches of gray photographs "
            "(values 0 to 1) without their mean, as 63 orthonormal cosine coefficients",
            "data": "380 of the 400 crops of 180 x 180 pixels of the Berkeley Segmentation Dataset (the "
            "DnCNN training set), whose images are offered for non-commercial research and education; "
            "statistics only, no image can be had from them",
            "how": f"tools/fit_patch_mixture.py: {MANY} patches, {steps} steps of expectation maximization "
            f"after a start of at most {FIRST_STEPS} steps from {FIRST}, floor {FLOOR:g}, single precision; "
            "factors in half precision",
        },
    )


if __name__ == "__main__":
    main(*sys.argv[1:3])
