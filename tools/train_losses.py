"""Train one small network by each loss, and print how far it stays behind supervised training.

Dead leaves, or crops of photographs, of 32 x 32 pixels: 512 noisy pictures to train on and 64 to test on; a
plain network of five convolutions with 16 features, and Adam with 8 pictures a step. On one core a loss takes
some seconds per hundred steps:

    python tools/train_losses.py --images BSDS500 --steps 1000 --only splitting
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

import invcore
from invcore import Physics
from invcore.datasets import DeadLeaves
from invcore.noises import GammaNoise, GaussianNoise, Noise, PoissonNoise, estimate_sigma
from invcore.operators import Identity, Mask, RandomMask
from invcore_learning import (
    R2R,
    SURE,
    UNSURE,
    EquivariantImaging,
    EquivariantSplitting,
    ImageFolder,
    MeasurementConsistency,
    MultiOperator,
    Neighbor2Neighbor,
    Noise2Score,
    RandomCrop,
    Reflect,
    Rotate,
    Shift,
    Splitting,
    at_step,
)

SIZE, TRAIN, TEST, BATCH = 32, 512, 64, 8
SPACE = (1, SIZE, SIZE)
SUPERVISED = invcore.loss("supervised")


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


class Task:
    """Pictures x and z to train and test on, their data, and the physics of each."""

    def __init__(
        self, name: str, x: Tensor, z: Tensor, of: Callable[[Tensor], Physics], test: Physics, y: Tensor
    ) -> None:
        self.name, self.x, self.z, self.of, self.test, self.y = name, x, z, of, test, y
        self.w = test(z, generator=torch.Generator().manual_seed(3))

    def trained(self, loss: Any, steps: int, output: str = "image") -> Any:
        """A network after training."""
        model = loss.wrap(Network(output)) if hasattr(loss, "wrap") else Network(output)
        optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for k in range(steps):
            i = torch.randint(TRAIN, (BATCH,), generator=torch.Generator().manual_seed(k))
            at_step(model, k)
            own, physics = loss.at(k) if hasattr(loss, "at") else loss, self.of(i)
            optimizer.zero_grad()
            own(model(self.y[i], physics), self.x[i], self.y[i], physics, model).mean().backward()
            optimizer.step()
            falling.step()
        return model.eval()

    def psnr(self, model: Any) -> float:
        """Mean over the test pictures, in dB."""
        with torch.no_grad():
            error = (model(self.w, self.test) - self.z).square().mean((-3, -2, -1))
        return float((-10 * error.log10()).mean())


def denoising(name: str, noise: Noise, x: Tensor, z: Tensor) -> Task:
    """One physics for all."""
    physics = Physics(Identity(SPACE), noise)
    y = physics(x, generator=torch.Generator().manual_seed(1))
    return Task(name, x, z, lambda i: physics, physics, y)


def inpainting(x: Tensor, z: Tensor, several: bool) -> Task:
    """70 % of the pixels, the same of all pictures or others of each."""
    g = torch.Generator().manual_seed(2)
    draw, noise = RandomMask((SIZE, SIZE), keep=0.7), GaussianNoise(sigma=0.01)
    masks = draw((TRAIN,), generator=g) if several else draw(generator=g).expand(TRAIN, 1, SIZE, SIZE)
    of = lambda i: Physics(Mask(masks[i], SPACE), noise)
    test = Physics(Mask(draw(generator=g) if several else masks[0], SPACE), noise)
    y = of(torch.arange(TRAIN))(x, generator=g)
    return Task(f"inpainting, {'many masks' if several else 'one mask'}", x, z, of, test, y)


def rows(x: Tensor, z: Tensor, steps: int) -> Iterator[tuple[Task, str, Any]]:
    """All tasks with the losses for them; the first of each is supervised."""
    task = denoising("Gaussian noise", GaussianNoise(sigma=0.1), x, z)
    guess = float(estimate_sigma(task.y).mean())
    yield task, "supervised", SUPERVISED
    yield task, "sure", SURE()
    yield task, "r2r", R2R()
    yield task, "noise2score", Noise2Score(steps=steps)
    yield task, "neighbor2neighbor", Neighbor2Neighbor()
    yield task, "splitting", Splitting()
    yield task, "splitting, held out", Splitting(evaluate="held_out")
    yield task, "unsure", UNSURE(sigma=guess)
    yield task, "consistency alone", MeasurementConsistency()
    task = denoising("Poisson noise", PoissonNoise(gain=0.03), x, z)
    yield task, "supervised", SUPERVISED
    yield task, "sure", SURE()
    yield task, "r2r", R2R()
    yield task, "noise2score", Noise2Score(steps=steps)
    yield task, "splitting", Splitting()
    task = denoising("Gamma noise", GammaNoise(looks=20.0), x, z)
    yield task, "supervised", SUPERVISED
    yield task, "r2r", R2R()
    yield task, "splitting", Splitting()
    task = inpainting(x, z, several=False)
    consistency, turns = MeasurementConsistency(), Rotate() @ Reflect(axes=(-1,))
    yield task, "supervised", SUPERVISED
    yield task, "equivariant", consistency + EquivariantImaging(transform=Shift())
    yield task, "equivariant_splitting", EquivariantSplitting(transform=turns, keep=0.8)
    yield task, "splitting", Splitting()
    yield task, "consistency alone", consistency
    task = inpainting(x, z, several=True)
    yield task, "supervised", SUPERVISED
    yield task, "multi_operator", consistency + MultiOperator(generate=RandomMask((SIZE, SIZE), keep=0.7))
    yield task, "splitting", Splitting()


def pictures(folder: str | None) -> tuple[Tensor, Tensor]:
    """Pictures to train and to test on: crops of different photographs, or dead leaves."""
    count = TRAIN + TEST
    if folder is None:
        leaves = DeadLeaves(length=count, size=(SIZE, SIZE), r_min=3.0, values=(0.1, 1.0))
        found = torch.stack([torch.as_tensor(leaves[i]).float() for i in range(count)])
        return found[:TRAIN], found[TRAIN:]
    photographs, crop = ImageFolder(folder, color="gray"), RandomCrop((SIZE, SIZE))
    g, kept = torch.Generator().manual_seed(0), len(photographs) * 3 // 4
    first = torch.stack([crop(photographs[i % kept], generator=g) for i in range(TRAIN)])
    others = range(kept, len(photographs))
    return first, torch.stack([crop(photographs[others[i % len(others)]], generator=g) for i in range(TEST)])


def main() -> None:
    """Print the table; figures are never rounded in favor of a loss."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", help="folder of photographs, instead of dead leaves")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--only", help="losses whose name contains this")
    wanted = parser.parse_args()
    print("| task | loss | PSNR in dB | behind supervised |\n| --- | --- | --- | --- |")
    best: dict[str, float] = {}
    for task, name, loss in rows(*pictures(wanted.images), wanted.steps):
        if wanted.only and wanted.only not in name and loss is not SUPERVISED:
            continue
        found = task.psnr(task.trained(loss, wanted.steps, "score" if name == "noise2score" else "image"))
        behind = best.setdefault(task.name, found) - found
        gap = f"{math.ceil(100 * behind) / 100:.2f}" if loss is not SUPERVISED else ""
        print(f"| {task.name} | `{name}` | {math.floor(100 * found) / 100:.2f} | {gap} |", flush=True)


if __name__ == "__main__":
    main()
