"""Train a network by each of several losses and save its weights: alone, or in each process of torchrun."""

import sys

import torch

import invcore
from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.operators import Mask, RandomMask
from invcore_learning import (
    R2R,
    SURE,
    EquivariantImaging,
    Files,
    Loading,
    MeasurementConsistency,
    MultiOperator,
    Optimization,
    Shift,
    Splitting,
    Validation,
    train,
)

LOSSES = {
    "supervised": invcore.loss("supervised"),
    "r2r": R2R(),
    "splitting": Splitting(keep=0.7),
    "sure": SURE(),
    "sum": MeasurementConsistency()
    + 0.5 * EquivariantImaging(transform=Shift())
    + 0.5 * MultiOperator(generate=RandomMask((6, 6), keep=0.5)),
}


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = torch.nn.Conv2d(1, 1, 3, padding=1)
        g = torch.Generator().manual_seed(0)
        for p in self.parameters():
            p.data = 0.2 * torch.randn(p.shape, generator=g)

    def forward(self, y, physics):
        return self.network(y)


def main(path, batch, length):
    torch.set_num_threads(1)
    images = list(torch.rand(length, 1, 6, 6, generator=torch.Generator().manual_seed(1)))
    physics = Physics(Mask(torch.ones(1, 6, 6), (1, 6, 6)), GaussianNoise(sigma=0.1))
    found = {}
    for name, loss in LOSSES.items():
        model = loss.wrap(Model()) if hasattr(loss, "wrap") else Model()
        done = train(
            model,
            physics,
            images,
            loss=loss,
            optimization=Optimization(epochs=1, optimizer="sgd", lr=0.2, accumulate=2),
            loading=Loading(batch=batch),
            validation=Validation(dataset=images[:5], keep="last"),
            files=Files(f"{path}.{name}"),
        )
        row = done.history[-1]
        weights = torch.cat([p.detach().flatten() for p in model.parameters()])
        found[name] = weights, torch.tensor([row["loss"], row["validation_psnr"], row["gradient"]])
    if done.evaluation is not None:  # the first process
        torch.save(found, path)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
