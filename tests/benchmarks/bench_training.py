"""Supervised training of a DnCNN, and an evaluation pass: `invcore_learning.train` and deepinv's Trainer.

    python tests/benchmarks/bench_training.py [depth, 17 by default] [features, 64] [size, 40] [batch, 16]
        [rounds, 5]

Both train the same network from the same weights with Adam on the same images for an epoch, with noise drawn
on the fly; ours also in mixed precision. Beside the times stand the mean
loss, and of the evaluation the mean PSNR. Memory is the growth of the peak over a training, each in a process
of its own.
"""

import contextlib
import copy
import io
import resource
import statistics
import sys
import tempfile
import time

import _timing  # first: pins the threads
import torch
from _timing import available

import invcore
from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.operators import Identity
from invcore_learning import DnCNN, Loading, Optimization, evaluate, train

SIGMA = 0.1


class Model(torch.nn.Module):
    """The network as both libraries call it."""

    def __init__(self, depth, features):
        super().__init__()
        self.network = DnCNN(depth=depth, features=features)

    def forward(self, y, physics, **_):
        return self.network(y)


class Pairs(torch.utils.data.Dataset):
    """The images as deepinv takes them."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i]


def ours(model, images, batch, epochs, precision="32-true"):
    from lightning_fabric import Fabric

    physics = Physics(Identity(tuple(images[0].shape)), GaussianNoise(sigma=SIGMA))
    done = train(
        model,
        physics,
        images,
        optimization=Optimization(epochs=epochs, lr=1e-4),
        loading=Loading(batch=batch),
        fabric=Fabric(accelerator="cpu", devices=1, precision=precision),
    )
    return done.history[-1]["loss"]


def theirs(model, images, batch, epochs):
    import deepinv

    with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as folder:
        trainer = deepinv.Trainer(
            model,
            physics=deepinv.physics.Denoising(deepinv.physics.GaussianNoise(SIGMA)),
            optimizer=torch.optim.Adam(model.parameters(), lr=1e-4),
            train_dataloader=torch.utils.data.DataLoader(Pairs(images), batch_size=batch, shuffle=True),
            epochs=epochs,
            losses=deepinv.loss.SupLoss(metric=deepinv.metric.MSE()),
            online_measurements=True,
            device="cpu",
            save_path=folder,
            ckp_interval=10**6,
            verbose=False,
            show_progress_bar=False,
        )
        trainer.train()
    return float(trainer.logs_losses_train[0].avg)


def our_evaluation(model, images, batch):
    physics = Physics(Identity(tuple(images[0].shape)), GaussianNoise(sigma=SIGMA))
    metrics = {"psnr": invcore.metric("psnr", data_range=1.0)}
    found = evaluate(model, physics, images, metrics=metrics, batch=batch, pictures=1)
    return float(found.metrics["psnr"].mean())


def their_evaluation(model, images, batch):
    import deepinv

    with contextlib.redirect_stdout(io.StringIO()):
        found = deepinv.test(
            model,
            torch.utils.data.DataLoader(Pairs(images), batch_size=batch),
            deepinv.physics.Denoising(deepinv.physics.GaussianNoise(SIGMA)),
            metrics=deepinv.metric.PSNR(max_pixel=1.0),
            online_measurements=True,
            device="cpu",
            verbose=False,
            show_progress_bar=False,
        )
    return float(found["PSNR"])


@torch.no_grad()
def plain_evaluation(model, images):
    x = torch.stack(images)
    y = x + SIGMA * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    return float(-10 * torch.log10((model.eval()(y, None) - x).square().mean((1, 2, 3))).mean())


def raced(title, contestants, images, rounds):
    """Wall and processor time of the contestants, in turn, and ratios to the first.

    Processor time is that of the whole process, which other processes disturb less.
    """
    wall, used, results = {}, {}, {}
    for k in range(rounds + 1):  # the first round warms up
        for name, work in contestants:
            start, spent = time.perf_counter(), time.process_time()
            results[name] = work()
            if k:
                wall.setdefault(name, []).append(time.perf_counter() - start)
                used.setdefault(name, []).append(time.process_time() - spent)
    print(f"\n{title}  ({_timing.THREADS} threads, median of {rounds})")
    print(f"  {'':24} {'images/s':>9} {'ratio':>7} {'processor':>11} {'ratio':>7} {'result':>9}")
    medians = {
        name: (statistics.median(wall[name]), statistics.median(used[name])) for name, _ in contestants
    }
    first = medians[contestants[0][0]]
    for name, (a, b) in medians.items():
        print(
            f"  {name:24} {images / a:9.1f} {a / first[0]:6.2f}x {1e3 * b:8.0f} ms {b / first[1]:6.2f}x "
            f"{results[name]:9.4f}",
            flush=True,
        )


def main(depth=17, features=64, size=40, batch=16, rounds=5):
    g = torch.Generator().manual_seed(0)
    made = invcore.dataset("dead_leaves", length=4 * batch, size=(size, size))
    images = [made[i] for i in range(4 * batch)]
    model = Model(depth, features)
    for p in model.parameters():
        scale = (2 / max(p[0].numel(), 1)) ** 0.5 if p.ndim > 1 else 0.0
        p.data = scale * torch.randn(p.shape, generator=g)
    learners = [
        ("ours", ours),
        ("ours, in bfloat16", lambda *given: ours(*given, precision="bf16-mixed")),
    ]
    judges = [("ours", our_evaluation)]
    if available("deepinv"):
        learners.append(("deepinv", theirs))
        judges.append(("deepinv", their_evaluation))
    works = [(n, lambda f=f: f(copy.deepcopy(model), images, batch, 1)) for n, f in learners]
    title = f"DnCNN {depth} x {features}, batch {batch} of {size} x {size}"
    raced(f"training, {title}; loss", works, len(images), rounds)
    judged = [(n, lambda f=f: f(copy.deepcopy(model), images, batch)) for n, f in judges]
    judged.append(("plain, one batch", lambda: plain_evaluation(copy.deepcopy(model), images)))
    raced("evaluation; mean PSNR in dB", judged, len(images), rounds)
    for name, f in learners:
        print(f"  memory of {name}: {grown(f, copy.deepcopy(model), images, batch):.0f} MiB")


def grown(work, model, images, batch):
    """Peak memory of a process that trains once, above that of one that only imports, in MiB."""
    import multiprocessing

    receive, send = multiprocessing.Pipe(duplex=False)

    def child():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        torch.set_num_threads(1)
        work(model, images, batch, 1)
        send.send((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    found = receive.recv()
    process.join()
    return found


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
