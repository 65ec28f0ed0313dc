"""Train one small network by each loss, and print how far it stays behind supervised training.

Dead leaves of 32 x 32 pixels, 512 noisy pictures to train on and 32 to test on; a plain network of five
convolutions with 16 features, 600 steps of Adam with 8 pictures each. It takes a few minutes on one core:

    python tools/train_losses.py
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

import invcore
from invcore import Physics
from invcore.datasets import DeadLeaves
from invcore.noises import GammaNoise, GaussianNoise, Noise, PoissonNoise
from invcore.operators import Identity, Mask, RandomMask
from invcore_learning import (
    R2R,
    SURE,
    UNSURE,
    EquivariantImaging,
    EquivariantSplitting,
    MeasurementConsistency,
    MultiOperator,
    Neighbor2Neighbor,
    Noise2Score,
    Reflect,
    Rotate,
    Shift,
    Splitting,
    at_step,
)

SIZE, TRAIN, TEST, BATCH, STEPS = 32, 512, 32, 8, 600
SPACE = (1, SIZE, SIZE)


class Network(torch.nn.Module):
    """Five convolutions after the adjoint, which estimate what to add."""

    def __init__(self, output: str = "image") -> None:
        super().__init__()
        g = torch.Generator().manual_seed(0)
        sizes = (2, 16, 16, 16, 16, 1)
        self.layers = torch.nn.ModuleList(torch.nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(sizes))
        self.output = output
        for layer in self.layers:
            weight = torch.randn(layer.weight.shape, generator=g) * (2 / layer.weight[0].numel()) ** 0.5
            layer.weight.data, layer.bias.data = weight, torch.zeros_like(layer.bias)
        self.layers[-1].weight.data *= 0.1

    def forward(self, y: Tensor, physics: Physics) -> Tensor:
        """Reconstruct."""
        A: Any = physics.operator
        x = A.H(y)
        seen = A.H(A(torch.ones_like(x)))
        h = torch.cat([x, seen], -3)
        for layer in self.layers[:-1]:
            h = torch.relu(layer(h))
        h = self.layers[-1](h)
        return 30 * h if self.output == "score" else x + h


def train(loss: Any, physics: Any, x: Tensor, y: Tensor, output: str = "image") -> Any:
    """Train on ``y``; ``physics(i)`` is that of the pictures ``i``."""
    model = loss.wrap(Network(output)) if hasattr(loss, "wrap") else Network(output)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for k in range(STEPS):
        i = torch.randint(TRAIN, (BATCH,), generator=torch.Generator().manual_seed(k))
        at_step(model, k)
        own = loss.at(k) if hasattr(loss, "at") else loss
        optimizer.zero_grad()
        own(model(y[i], physics(i)), x[i], y[i], physics(i), model).mean().backward()
        optimizer.step()
        falling.step()
    return model.eval()


def psnr(model: Any, physics: Physics, x: Tensor, y: Tensor) -> float:
    """Mean over the test pictures, in dB."""
    with torch.no_grad():
        error = (model(y, physics) - x).square().mean((-3, -2, -1))
    return float((-10 * error.log10()).mean())


def row(task: str, name: str, loss: Any, setting: Any, output: str = "image") -> None:
    """Train, test, and print a line."""
    physics, test, x, y, z, w = setting
    found = psnr(train(loss, physics, x, y, output), test, z, w)
    print(f"| {task} | {name} | {found:.2f} |", flush=True)


def denoising(noise: Noise, x: Tensor, z: Tensor) -> Any:
    """One physics for all."""
    physics = Physics(Identity(SPACE), noise)
    g = torch.Generator().manual_seed(1)
    return (lambda i: physics), physics, x, physics(x, generator=g), z, physics(z, generator=g)


def main() -> None:
    """Print the table."""
    leaves = DeadLeaves(length=TRAIN + TEST, size=(SIZE, SIZE), r_min=3.0, values=(0.1, 1.0))
    pictures = torch.stack([torch.as_tensor(leaves[i]).float() for i in range(TRAIN + TEST)])
    x, z = pictures[:TRAIN], pictures[TRAIN:]
    supervised = invcore.loss("supervised")
    sigma = 0.1
    setting = denoising(GaussianNoise(sigma=sigma), x, z)
    row("Gaussian noise", "supervised", supervised, setting)
    row("Gaussian noise", "sure", SURE(), setting)
    row("Gaussian noise", "unsure", UNSURE(sigma=0.2), setting)
    row("Gaussian noise", "r2r", R2R(), setting)
    row("Gaussian noise", "splitting", Splitting(), setting)
    row("Gaussian noise", "neighbor2neighbor", Neighbor2Neighbor(), setting)
    row("Gaussian noise", "noise2score", Noise2Score(steps=STEPS), setting, "score")
    row("Gaussian noise", "consistency alone", MeasurementConsistency(), setting)
    setting = denoising(PoissonNoise(gain=0.03), x, z)
    row("Poisson noise", "supervised", supervised, setting)
    row("Poisson noise", "sure", SURE(), setting)
    row("Poisson noise", "r2r", R2R(), setting)
    setting = denoising(GammaNoise(looks=20.0), x, z)
    row("Gamma noise", "supervised", supervised, setting)
    row("Gamma noise", "r2r", R2R(), setting)

    g = torch.Generator().manual_seed(2)
    mask = RandomMask((SIZE, SIZE), keep=0.7)(generator=g)
    physics = Physics(Mask(mask, SPACE), GaussianNoise(sigma=0.01))
    setting = (lambda i: physics), physics, x, physics(x, generator=g), z, physics(z, generator=g)
    turns = Rotate() @ Reflect(axes=(-1,))
    consistency = MeasurementConsistency()
    row("inpainting, one mask", "supervised", supervised, setting)
    row("inpainting, one mask", "consistency alone", consistency, setting)
    row("inpainting, one mask", "equivariant", consistency + EquivariantImaging(transform=Shift()), setting)
    row("inpainting, one mask", "splitting", Splitting(), setting)
    split = EquivariantSplitting(transform=turns, keep=0.8)
    row("inpainting, one mask", "equivariant_splitting", split, setting)
    masks = RandomMask((SIZE, SIZE), keep=0.7)((TRAIN,), generator=g)
    several = lambda i: Physics(Mask(masks[i], SPACE), GaussianNoise(sigma=0.01))
    whole = Physics(Mask(masks, SPACE), GaussianNoise(sigma=0.01))
    setting = several, physics, x, whole(x, generator=g), z, physics(z, generator=g)
    row("inpainting, many masks", "supervised", supervised, setting)
    other = MultiOperator(generate=RandomMask((SIZE, SIZE), keep=0.7))
    row("inpainting, many masks", "multi_operator", consistency + other, setting)
    row("inpainting, many masks", "splitting", Splitting(), setting)


if __name__ == "__main__":
    main()
