"""Train the denoisers that `invcore-diffusion` ships, on one thread of a CPU.

    python tools/train_denoisers.py gray PICTURES -o out --steps 10000

PICTURES is a folder of the 400 training and test pictures of the Berkeley segmentation data set (its
validation pictures are test pictures of this field). The same call goes on where it was stopped; ``--start``
trains a network further that is there already.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

import invcore
from invcore import Physics
from invcore.losses import Supervised
from invcore.noises import GaussianNoise, SigmaUniform
from invcore.operators import Identity
from invcore_learning import Files, ImageFolder, Loading, Logging, Optimization, UNet, engine, train

PATCH, BATCH, LARGEST = 64, 32, 55 / 255


class Patches:
    """Square parts of pictures at random places, in one of their eight orientations: a transform."""

    def __call__(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        """Cut one out of a picture (channel, y, x)."""
        for dim in (-2, -1):
            start = int(torch.randint(x.shape[dim] - PATCH + 1, (), generator=generator))
            x = x.narrow(dim, start, PATCH)
        turns, mirrored = (int(torch.randint(n, (), generator=generator)) for n in (4, 2))
        x = x.rot90(turns, (-2, -1))
        return (x.flip(-1) if mirrored else x).contiguous()

    def __repr__(self) -> str:
        return f"Patches({PATCH})"


def main() -> None:
    """Train, and write the model and what it does on the pictures of ``--test``."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("kind", choices=("gray",))
    options.add_argument("pictures", type=Path)
    options.add_argument("-o", "--out", type=Path, required=True)
    options.add_argument("--steps", type=int, default=10_000)
    options.add_argument("--start", type=Path, help="a model file to go on from")
    options.add_argument("--lr", type=float, default=1e-3)
    options.add_argument("--precision", default="bf16-mixed", help="32-true where a CPU lacks bfloat16")
    given = options.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)  # first weights
    folder = ImageFolder(given.pictures, color="gray")
    pictures = [folder[i] for i in range(len(folder))]
    network = UNet(
        features=(16, 32, 64, 128),
        blocks=2,
        bias=False,
        noise_level=True,
    )
    if given.start is not None:
        start = invcore.model(given.start)  # a network, or a denoiser that holds one
        (held,) = [start] if isinstance(start, torch.nn.Module) else start.networks().values()
        network.load_state_dict(held.state_dict())
    train(
        network.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        Physics(Identity((1, PATCH, PATCH)), GaussianNoise(sigma=0.1)),
        pictures,
        loss=Supervised(metric="mae"),
        optimization=Optimization(
            steps=given.steps,
            optimizer="adamw",
            lr=given.lr,
            schedule="cosine",
            warmup=200,
            clip=1.0,
            ema=0.999,
        ),
        loading=Loading(
            batch=BATCH, transform=Patches(), parameters={"sigma": SigmaUniform(low=0.0, high=LARGEST)}
        ),
        files=Files(given.out, every_seconds=180),
        logging=Logging(progress=True, every=200),
        fabric=engine(accelerator="cpu", precision=given.precision),
    )
    invcore.models.save(network, given.out / f"{given.kind}.safetensors")


if __name__ == "__main__":
    main()
