"""Train reconstruction networks, and compare them with the best variational methods on images held out.

    python tools/train_reconstruction.py mri direct PICTURES TEST -o out --start gray.safetensors

MRI with eight coils and a quarter of the readouts, and tomography with 60 views, of pictures of 128 x 128
pixels. ``direct`` is a U-Net after a direct inversion, ``unrolled`` a few steps of a solver with the network
as its denoiser; both start from the weights of a denoiser. PICTURES is a folder of pictures to train on, TEST
one of pictures to test on.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import invcore
from invcore import Physics, Space
from invcore.losses import Supervised
from invcore.models import GaussianRestorer
from invcore.noises import GaussianNoise
from invcore_learning import (
    ArtifactRemoval,
    Files,
    ImageFolder,
    Loading,
    Logging,
    NetworkDenoiser,
    Optimization,
    UNet,
    Unrolled,
    engine,
    evaluate,
    train,
)

SIZE, STEPS = 128, 6
METRICS = {"psnr": invcore.metric("psnr", data_range=1.0), "ssim": invcore.metric("ssim", data_range=1.0)}


def mri() -> Physics:
    """Eight coils, a quarter of the readouts of a scan with two phase encodings."""
    from invcore_mri import coil_array

    g = torch.Generator().manual_seed(0)
    mask = invcore.generator("mri.mask_gaussian", shape=(SIZE, SIZE), acceleration=4.0, axes=(-2, -1))(
        generator=g
    )
    maps = coil_array((SIZE, SIZE), coils=8)
    sense = invcore.operator("mri.sense", maps=maps, mask=mask)
    to_complex = invcore.operator("real_part", Space((1, SIZE, SIZE), "complex")).H
    return Physics(sense @ to_complex, GaussianNoise(sigma=0.1))


def ct() -> Physics:
    """Sixty views over half a turn, parallel beam."""
    from invcore_tomography import Grid, XRay, parallel

    geometry = parallel(60, columns=182, grid=Grid((SIZE, SIZE), spacing=1.0))
    return Physics(XRay(geometry), GaussianNoise(sigma=1.0))


PROBLEMS = {"mri": mri, "ct": ct}


class AtLevel(torch.nn.Module):
    """A network that denoises, at a noise level that is learned."""

    def __init__(self, network: UNet, sigma: float) -> None:
        super().__init__()
        self.network, self.level = network, torch.nn.Parameter(torch.tensor(sigma).log())

    def forward(self, x: Tensor) -> Tensor:
        """Denoise images (batch..., channel, y, x)."""
        return self.network(x, self.level.exp().expand(x.shape[:-3]))


class Crops:
    """Square parts of pictures at random places, reflected and turned at random: a transform."""

    def __call__(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        """Cut one out of a picture (channel, y, x)."""
        for dim in (-2, -1):
            start = int(torch.randint(x.shape[dim] - SIZE + 1, (), generator=generator))
            x = x.narrow(dim, start, SIZE)
        turns, mirrored = (int(torch.randint(n, (), generator=generator)) for n in (4, 2))
        x = x.rot90(turns, (-2, -1))
        return (x.flip(-1) if mirrored else x).contiguous()

    def __repr__(self) -> str:
        return f"Crops({SIZE})"


def network_of(file: Path) -> UNet:
    """The network in a model file, or in the denoiser there."""
    start: Any = invcore.model(file)
    (held,) = [start] if isinstance(start, torch.nn.Module) else start.networks().values()
    assert isinstance(held, UNet)
    return held


def pictures(folder: Path, crop: int | None = None) -> list[Tensor]:
    """All pictures of a folder, gray."""
    images = ImageFolder(folder, color="gray", crop=crop)
    return [images[i] for i in range(len(images))]


def baseline(
    physics: Physics, test: list[Tensor], prior: str, weights: list[float]
) -> tuple[float, float, Any]:
    """The weight of a prior that is best on the test pictures themselves, its PSNR, and the results."""
    best: tuple[float, float, Any] = (0.0, -1.0, None)
    for weight in weights:
        options = {"levels": 3} if prior == "wavelet" else {}
        solver = invcore.solver("fista", prior=invcore.prior(prior, **options), weight=weight, rtol=1e-4)
        found = evaluate(solver, physics, test, metrics=METRICS, seed=1)
        score = float(found.metrics["psnr"].mean())
        print(f"{prior} {weight:.3g}: {score:.2f} dB", flush=True)
        if score > best[1]:
            best = weight, score, found
    return best


def wiener() -> GaussianRestorer:
    """The best linear reconstruction, for images whose amplitudes fall as 1/frequency."""
    k = SIZE * torch.fft.fftfreq(SIZE)
    shape = 1 / (1 + k[:, None] ** 2 + k**2)
    spectrum = 0.06 * shape / shape.mean()  # the variance of a pixel is 0.06
    return GaussianRestorer(mean=torch.full((1, SIZE, SIZE), 0.45), spectrum=spectrum[None], rtol=0.01)


def model(kind: str, how: str, network: UNet) -> torch.nn.Module:
    """The model to train, with the network inside."""
    if how == "direct":
        return ArtifactRemoval(AtLevel(network, {"mri": 0.07, "ct": 0.055}[kind]), inversion=wiener())
    levels = torch.logspace(math.log10(49 / 255), math.log10(0.05), STEPS).tolist()  # those of DPIR
    prior = invcore.prior("pnp", denoiser=NetworkDenoiser(network))
    solver = invcore.solver("hqs", prior=prior, weight=0.23, sigma=tuple(levels), inner_steps=8)
    return Unrolled(solver, steps=STEPS, learn=("weight",), per_step=("sigma",))


def adam(lr: float) -> Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer]:
    """Adam, thirty times as fast for the logarithms of levels and steps as for weights."""

    def made(parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        groups: dict[bool, list[torch.nn.Parameter]] = {True: [], False: []}
        for p in parameters:
            groups[p.numel() <= 8].append(p)
        return torch.optim.Adam(
            [{"params": groups[False], "lr": lr}, {"params": groups[True], "lr": 30 * lr}]
        )

    return made


def main() -> None:
    """Train, evaluate, and write figures and pictures."""
    plain = argparse.RawDescriptionHelpFormatter
    options = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    options.add_argument("kind", choices=sorted(PROBLEMS))
    options.add_argument("how", choices=("direct", "unrolled", "baseline"))
    options.add_argument("pictures", type=Path)
    options.add_argument("test", type=Path)
    options.add_argument("-o", "--out", type=Path, required=True)
    options.add_argument(
        "--start", type=Path, help="the file of a denoiser, whose weights are the first ones"
    )
    options.add_argument("--state", type=Path, help="the file done.pt of an earlier run, to go on from")
    options.add_argument("--steps", type=int, default=800)
    options.add_argument("--batch", type=int, default=8)
    options.add_argument("--lr", type=float, default=5e-4)
    options.add_argument("--precision", default="bf16-mixed", help="32-true where a CPU lacks bfloat16")
    given = options.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    physics, test = PROBLEMS[given.kind](), pictures(given.test, SIZE)
    network = UNet(features=(16, 32, 64, 128), blocks=2, bias=False, noise_level=True)
    if given.start is not None:
        network.load_state_dict(network_of(given.start).state_dict())
    module = model(given.kind, given.how, network.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    if given.state is not None:
        module.load_state_dict(torch.load(given.state, weights_only=True)["state"])
    begun = time.process_time()
    done = train(
        module,
        physics,
        pictures(given.pictures),
        loss=Supervised(metric="mse"),
        optimization=Optimization(
            steps=given.steps,
            optimizer=adam(given.lr),
            schedule="cosine",
            warmup=20,
            clip=1.0,
            ema=0.99,
        ),
        loading=Loading(batch=given.batch, transform=Crops()),
        files=Files(given.out, every_seconds=120),
        logging=Logging(progress=True, every=25),
        fabric=engine(accelerator="cpu", precision=given.precision),
    )
    found = evaluate(module, physics, test, metrics=METRICS, seed=1)
    scores = {name: float(v.mean()) for name, v in found.metrics.items()}
    scores |= {"minutes": (time.process_time() - begun) / 60, "steps": done.steps}
    print(json.dumps(scores))
    (given.out / "scores.json").write_text(json.dumps(scores))
    torch.save(
        {"state": module.state_dict(), "pictures": found.pictures, "history": done.history},
        given.out / "done.pt",
    )


if __name__ == "__main__":
    main()
