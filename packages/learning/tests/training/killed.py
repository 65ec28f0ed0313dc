"""Train in processes that are killed again and again, until one comes to its end: ``killed.py FOLDER KILLS``.

A kill is ``batch:K``, at the K-th batch of its process, or ``after:SECONDS``. The last line is the result.
Processes are forked after the imports, so that each begins at once.
"""

import hashlib
import os
import signal
import sys
import time

import torch

import invcore
from invcore import Physics
from invcore.losses import Supervised
from invcore.noises import GaussianNoise
from invcore.operators import Mask
from invcore_learning import Files, Loading, Optimization, RandomCrop, Validation, train


class Network(torch.nn.Module):
    """Dropout and batch statistics: state beside the weights."""

    def __init__(self):
        super().__init__()
        self.first, self.last = (torch.nn.Conv2d(a, b, 3, padding=1) for a, b in ((1, 4), (4, 1)))
        self.norm, self.dropout = torch.nn.BatchNorm2d(4), torch.nn.Dropout(0.3)
        g = torch.Generator().manual_seed(0)
        for p in self.parameters():
            p.data = 0.2 * torch.randn(p.shape, generator=g)

    def forward(self, y, physics):
        return self.last(self.dropout(torch.relu(self.norm(self.first(physics.operator.H(y))))))


class Loss:
    """The mean squared error of pixels drawn in each step, which kills the process when told to."""

    def __init__(self, kill=None, k=0, count=None):
        self.kill, self.k, self.count = kill, k, [0] if count is None else count

    def at(self, k):
        return Loss(self.kill, k, self.count)

    def __call__(self, x_hat, x, y, physics, model):
        self.count[0] += 1
        if self.count[0] == self.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        keep = torch.rand(x.shape[-2:], generator=torch.Generator().manual_seed(self.k)) < 0.5
        return Supervised()(keep * x_hat, keep * x, y, physics, model)


def images(seed):
    g = torch.Generator().manual_seed(seed)
    return list(torch.rand(11, 1, 9, 9, generator=g))


def training(folder, kill, slow):
    torch.set_num_threads(1)
    mask = Physics(Mask(torch.ones(1, 6, 6), (1, 6, 6)), GaussianNoise(sigma=0.1))
    judge = [x[:, :6, :6] for x in images(1)]
    done = train(
        Network(),
        mask,
        images(0),
        loss=Loss(kill),
        optimization=Optimization(
            epochs=40 if slow else 5, accumulate=2, clip=0.5, ema=0.9, schedule="cosine", warmup=3
        ),
        loading=Loading(
            batch=2,
            parameters={"mask": invcore.generator("mask_random", (6, 6), keep=0.5)},
            transform=RandomCrop((6, 6)),
            workers=2 if slow else 0,
        ),
        validation=Validation(dataset=judge, every=4, baseline=None),
        files=Files(folder, every_steps=3),
    )
    state = torch.load(os.path.join(folder, "checkpoint.ckpt"), weights_only=True)
    state.pop("configuration")
    found = hashlib.sha256(repr(done.history).encode())
    for t in (*done.model.state_dict().values(), *tensors(state)):
        found.update(t.numpy().tobytes())
    print(done.status, done.steps, found.hexdigest(), flush=True)


def tensors(state):
    """All tensors of nested dictionaries, in order."""
    if isinstance(state, torch.Tensor):
        yield state
    elif isinstance(state, dict | list):
        for below in state.values() if isinstance(state, dict) else state:
            yield from tensors(below)


def main(folder, *kills):
    slow = any(kill.startswith("after") for kill in kills) or "slow" in kills
    died = 0
    for kill in (*(k for k in kills if k != "slow"), ""):
        how, _, value = kill.partition(":")
        child = os.fork()
        if not child:
            training(folder, int(value) if how == "batch" else None, slow)
            os._exit(0)
        if how == "after":
            time.sleep(float(value))
            os.kill(child, signal.SIGKILL)
        died += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    print("killed", died, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
