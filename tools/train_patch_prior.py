"""Train the prior of small photographs that `invcore-diffusion` ships, on one thread of a CPU.

    python tools/train_patch_prior.py PICTURES -o out --steps 18000

PICTURES is a folder of the 400 training and test pictures of the Berkeley segmentation data set. Each patch
is 32 x 32 pixels of a picture at half its resolution. The same call goes on where it was stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

import invcore
from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.operators import Identity
from invcore_diffusion import ScoreMatching, WienerUNet
from invcore_learning import (
    Files,
    ImageFolder,
    Loading,
    Logging,
    NetworkDenoiser,
    Optimization,
    engine,
    train,
)

PATCH, BATCH = 32, 64


class Patches:
    """Square parts of pictures at random places, mirrored at random: a transform."""

    def __call__(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        """Cut one out of a picture (channel, y, x)."""
        for dim in (-2, -1):
            start = int(torch.randint(x.shape[dim] - PATCH + 1, (), generator=generator))
            x = x.narrow(dim, start, PATCH)
        mirrored = int(torch.randint(2, (), generator=generator))
        return (x.flip(-1) if mirrored else x).contiguous()

    def __repr__(self) -> str:
        return f"Patches({PATCH})"


def statistics(pictures: list[Tensor]) -> tuple[float, Tensor]:
    """Mean of the pixels, and variances of the cosine coefficients, of all patches half a patch apart."""
    from scipy.fft import dctn

    apart = [x[0].unfold(0, PATCH, PATCH // 2).unfold(1, PATCH, PATCH // 2).flatten(0, 1) for x in pictures]
    patches = torch.cat([torch.cat([x, x.flip(-1)]) for x in apart])
    mean = float(patches.mean())
    coefficients = dctn((patches - mean).double().numpy(), axes=(1, 2), norm="ortho")
    return mean, torch.from_numpy((coefficients**2).mean(0)).float()


def main() -> None:
    """Train, and write the denoiser."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("pictures", type=Path)
    options.add_argument("-o", "--out", type=Path, required=True)
    options.add_argument("--steps", type=int, default=18_000)
    options.add_argument("--lr", type=float, default=1e-3)
    options.add_argument("--precision", default="bf16-mixed", help="32-true where a CPU lacks bfloat16")
    given = options.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)  # first weights
    folder = ImageFolder(given.pictures, color="gray")
    pictures = [avg_pool2d(folder[i], 2) for i in range(len(folder))]
    mean, spectrum = statistics(pictures)
    network = WienerUNet(spectrum=spectrum, mean=mean)
    train(
        network.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        Physics(Identity((1, PATCH, PATCH)), GaussianNoise(sigma=0.1)),
        pictures,
        loss=ScoreMatching(log_mean=-1.5, log_deviation=1.6, sigma_data=0.25),
        optimization=Optimization(
            steps=given.steps,
            optimizer="adamw",
            lr=given.lr,
            schedule="cosine",
            warmup=200,
            clip=1.0,
            ema=0.999,
        ),
        loading=Loading(batch=BATCH, transform=Patches()),
        files=Files(given.out, every_seconds=180),
        logging=Logging(progress=True, every=200),
        fabric=engine(accelerator="cpu", precision=given.precision),
    )
    D = NetworkDenoiser(network, channels=1, sigma_range=(0.0, 80.0))
    invcore.models.save(D, given.out / "patches.safetensors")


if __name__ == "__main__":
    main()
