"""Train a network for one epoch and save its weights: alone, or in each process that torchrun starts."""

import sys

import torch

from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.operators import Identity
from invcore_learning import Files, Loading, Optimization, Validation, train


def main(path, batch, length):
    torch.set_num_threads(1)
    g = torch.Generator().manual_seed(0)
    network = torch.nn.Conv2d(1, 1, 3, padding=1)
    for p in network.parameters():
        p.data = 0.2 * torch.randn(p.shape, generator=g)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, y, physics):
            return self.network(y)

    images = list(torch.rand(length, 1, 6, 6, generator=g))
    done = train(
        Model(),
        Physics(Identity((1, 6, 6)), GaussianNoise(sigma=0.1)),
        images,
        optimization=Optimization(epochs=1, optimizer="sgd", lr=1.0, accumulate=2),
        loading=Loading(batch=batch),
        validation=Validation(dataset=images[:5], keep="last"),
        files=Files(f"{path}.folder"),
    )
    if done.evaluation is not None:  # the first process
        row = done.history[-1]
        held = [row["loss"], row["validation_psnr"], row["gradient"]]
        weights = torch.cat([p.detach().flatten() for p in network.parameters()])
        torch.save({"weights": weights, "row": torch.tensor(held)}, path)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
