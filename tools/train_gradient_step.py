"""Train a gradient-step denoiser from the weights of ``diffusion.gray``, on one thread of a CPU.

    python tools/train_gradient_step.py PICTURES -o out --steps 200

PICTURES is a folder of photographs, such as the 400 training crops of the Berkeley segmentation data set. The
network of ``diffusion.gray`` becomes differentiable (ELU for ReLU, on features made so large that the two
differ little) and learns to be a good N in D(x, σ) = x - ∇g(x), g = ‖x - N(x, σ)‖²/2. The same call goes on
where it was stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import invcore
from invcore import Physics
from invcore.io import load_image
from invcore.losses import Supervised
from invcore.noises import GaussianNoise, SigmaUniform
from invcore.operators import Identity
from invcore_learning import (
    Files,
    GradientStepDenoiser,
    ImageFolder,
    Loading,
    Logging,
    Optimization,
    UNet,
    engine,
    train,
)

PATCH, BATCH, LARGEST = 48, 16, 30 / 255
SHARPNESS = 50.0
"""How much larger the features are than those of ``diffusion.gray``: ELU saturates at -1 over this."""


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


class Step(torch.nn.Module):
    """The denoiser as a model of noisy images."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, y: Tensor, physics: Any) -> Tensor:
        """D(y, σ)."""
        return GradientStepDenoiser(self.network, channels=1)(y, physics.noise.sigma)


def smooth() -> UNet:
    """The network of ``diffusion.gray`` with ELUs."""
    (held,) = invcore.denoiser("diffusion.gray").networks().values()
    assert isinstance(held, UNet)
    network = UNet(features=held.features, blocks=held.blocks, bias=False, noise_level=True, activation="elu")
    network.load_state_dict(held.state_dict())
    with torch.no_grad():
        network.head.weight *= SHARPNESS
        network.tail.weight /= SHARPNESS
    return network


def main() -> None:
    """Train, write the denoiser as a model, and print what it does on the pictures of ``--test``."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("pictures", type=Path)
    options.add_argument("-o", "--out", type=Path, required=True)
    options.add_argument("--steps", type=int, default=200)
    options.add_argument("--lr", type=float, default=5e-4)
    options.add_argument("--test", type=Path, help="a folder of pictures to judge it on")
    given = options.parse_args()
    torch.set_num_threads(1)
    folder = ImageFolder(given.pictures, color="gray")
    model = Step(smooth())
    train(
        model,
        Physics(Identity((1, PATCH, PATCH)), GaussianNoise(sigma=0.1)),
        [folder[i] for i in range(len(folder))],
        loss=Supervised(metric="mae"),
        optimization=Optimization(
            steps=given.steps, optimizer="adamw", lr=given.lr, schedule="cosine", warmup=10, clip=1.0
        ),
        loading=Loading(
            batch=BATCH, transform=Patches(), parameters={"sigma": SigmaUniform(low=0.0, high=LARGEST)}
        ),
        files=Files(given.out, every_seconds=60),
        logging=Logging(progress=True, every=10),
        fabric=engine(accelerator="cpu", precision="32-true"),
    )
    D = GradientStepDenoiser(model.network, channels=1, sigma_range=(0.0, LARGEST))
    invcore.models.save(D, given.out / "gradient_step.safetensors")
    if given.test is not None:
        judge(D, given.test)


def judge(D: invcore.Denoiser, folder: Path) -> None:
    """Print the mean PSNR of the middles of the pictures at three noise levels."""
    pictures = [load_image(path) for path in sorted(folder.glob("*.png"))]
    x = torch.stack([p[:, 64:192, 64:192] for p in pictures])
    for level in (5, 15, 25):
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(level))
        found = [D(part, level / 255) for part in (x + level / 255 * noise).split(4)]
        psnr = invcore.metric("psnr", data_range=1.0)(torch.cat(found), x)
        print(f"σ = {level}/255: {float(psnr.detach().mean()):.2f} dB")


if __name__ == "__main__":
    main()
