"""Train a small RAM on five operators, and compare it with total variation on these and on others.

    python tools/train_foundation.py PICTURES TEST -o out

PICTURES is a folder of pictures to train on, TEST one of pictures to test on. Pictures are 64 x 64 pixels.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
import train_reconstruction as shared

import invcore
from invcore import Physics, Space
from invcore.losses import Supervised
from invcore.noises import GaussianNoise
from invcore.operators import Convolution, Downsample, FourierTransform, Identity, Mask, RealPart
from invcore_learning import RAM, Files, Loading, Logging, Optimization, engine, evaluate, train

SIZE = 64
SPACE = Space((1, SIZE, SIZE))


def blur(kernel: torch.Tensor) -> Convolution:
    """The circular convolution with a kernel."""
    return Convolution(kernel=kernel[None], domain=SPACE)


def gaussian(width: float) -> torch.Tensor:
    """A Gaussian kernel of 13 x 13 pixels."""
    r = torch.arange(-6.0, 7.0)
    k = torch.exp(-(r**2) / (2 * width**2))
    k = k[:, None] * k
    return k / k.sum()


def problems() -> tuple[dict[str, Physics], dict[str, Physics]]:
    """The operators that are trained on, and others."""
    from invcore_tomography import Grid, XRay, parallel

    g = torch.Generator().manual_seed(0)
    keep = (torch.rand(SPACE.shape, generator=g) < 0.5).float()
    density = invcore.generator(
        "mri.mask_gaussian", shape=(SIZE, SIZE), acceleration=3.0, calib=12, axes=(-2, -1)
    )
    fourier = Space(SPACE.shape, "complex")
    to_complex = RealPart(fourier).H
    mri = (
        Mask(density(generator=g).to(torch.complex64)[None], fourier)
        @ FourierTransform(fourier, centered=True)
        @ to_complex
    )
    ct = XRay(parallel(40, columns=91, grid=Grid((SIZE, SIZE), spacing=1.0)))
    motion = torch.zeros(13, 13)
    motion[torch.arange(3, 10), torch.arange(3, 10)] = 1 / 7
    trained = {
        "denoising": Physics(Identity(SPACE), GaussianNoise(sigma=0.1)),
        "blur": Physics(blur(gaussian(1.2)), GaussianNoise(sigma=0.03)),
        "inpainting": Physics(Mask(keep, SPACE), GaussianNoise(sigma=0.08)),
        "MRI": Physics(mri, GaussianNoise(sigma=0.06)),
        "tomography": Physics(ct, GaussianNoise(sigma=0.7)),
    }
    others = {
        "motion blur": Physics(blur(motion), GaussianNoise(sigma=0.03)),
        "stronger blur": Physics(blur(gaussian(1.7)), GaussianNoise(sigma=0.03)),
        "super-resolution": Physics(Downsample(domain=SPACE, factor=2), GaussianNoise(sigma=0.03)),
    }
    return trained, others


def main() -> None:
    """Train, evaluate and print a table."""
    options = argparse.ArgumentParser()
    options.add_argument("pictures", type=Path)
    options.add_argument("test", type=Path)
    options.add_argument("-o", "--out", type=Path, required=True)
    options.add_argument("--start", type=Path, help="the file of a denoiser or of a RAM")
    options.add_argument("--often", default="", help="an operator that is drawn four times as often")
    options.add_argument("--steps", type=int, default=2500)
    options.add_argument("--batch", type=int, default=16)
    options.add_argument("--lr", type=float, default=1e-3)
    given = options.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    shared.SIZE = SIZE
    trained, others = problems()
    ram = RAM(channels=(1,), features=(16, 32, 64, 128), blocks=2)
    if given.start is not None:
        start = invcore.model(given.start)
        if isinstance(start, RAM):
            ram = start.train()
        else:
            ram.start_as(shared.network_of(given.start))
    ram = ram.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    print(sum(p.numel() for p in ram.parameters()), "weights")
    begun = time.process_time()
    train(
        ram,
        [physics for name, physics in trained.items() for _ in range(4 if name == given.often else 1)],
        shared.pictures(given.pictures),
        loss=Supervised(metric="mae"),
        optimization=Optimization(
            steps=given.steps, lr=given.lr, schedule="cosine", warmup=100, clip=0.5, ema=0.995
        ),
        loading=Loading(batch=given.batch, transform=shared.Crops()),
        files=Files(given.out, every_seconds=120),
        logging=Logging(progress=True, every=50),
        fabric=engine(accelerator="cpu", precision="bf16-mixed"),
    )
    minutes = (time.process_time() - begun) / 60
    invcore.models.save(ram, given.out / "ram.safetensors")
    test = shared.pictures(given.test, SIZE)
    table: dict[str, Any] = {}
    for name, physics in {**trained, **others}.items():
        found = evaluate(ram, physics, test, metrics=shared.METRICS, seed=1)
        best = shared.baseline(physics, test, "tv", [1, 2, 4, 8, 16])
        table[name] = {
            "ram": float(found.metrics["psnr"].mean()),
            "tv": best[1],
            "weight": best[0],
            "seen": name in trained,
        }
        print(name, table[name], flush=True)
    (given.out / "scores.json").write_text(json.dumps({"minutes": minutes, "table": table}))


if __name__ == "__main__":
    main()
