"""Plug-and-play with ``diffusion.gray`` against wavelets and total variation at their best weight.

    python tools/draw_plug_and_play.py DATA -o docs/_static

DATA holds the measured data and test pictures: ``images/set12``, ``optics/levin09_kernels.mat``, ``mri`` and
``tomography``. The weight of the other two is searched on the very picture that they are judged on, which
nobody can do in practice. Plug-and-play has the settings of the paper for photographs and the brain; for
tomography its weight and its last level have been searched on the tooth. ``--only`` takes some of the
problems.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import matplotlib.pyplot as plt
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

import invcore
from invcore import Denoiser, Physics
from invcore.denoisers import ComplexParts, Equivariant, Rescaled
from invcore.io import load_image
from invcore.noises import GaussianNoise
from invcore.operators import Convolution, Downsample
from invcore.priors import TV, PnP, WaveletL1
from invcore_mri import MaskPoisson
from invcore_tomography import XRay

FINER = 3
"""Pixels of the truth's filtered backprojection along one of the image: about those of the detector."""

LEVELS = 24
"""Steps of plug-and-play: more than the eight of DPIR, which are few for MRI and tomography."""


@dataclass(frozen=True)
class Example:
    """A measurement whose image is known."""

    title: str
    y: Tensor
    physics: Physics
    truth: Tensor
    peak: float
    direct: Tensor
    region: Tensor | None = None
    window: tuple[slice, slice] = (slice(None), slice(None))
    weight: float = 0.23
    last: float | None = None

    def error(self, x: Tensor) -> Tensor:
        """NRMSE of each picture, in the region where there is one."""
        wrong, right = x - self.truth, self.truth
        if self.region is not None:
            wrong, right = wrong * self.region, right * self.region
        return wrong.flatten(-3).norm(dim=-1) / right.flatten(-3).norm(dim=-1)


def set12(data: Path) -> Tensor:
    """The middle 128 x 128 pixels of the twelve pictures."""
    found = [load_image(path) for path in sorted((data / "images" / "set12").glob("*.png"))]
    return torch.stack(
        [x[:, (n := x.shape[-1]) // 2 - 64 : n // 2 + 64, n // 2 - 64 : n // 2 + 64] for x in found]
    )


def deblurring(data: Path) -> Example:
    """Camera shake, σ = 1 %."""
    with h5py.File(data / "optics" / "levin09_kernels.mat") as file:
        kernel = torch.as_tensor(file[file["kernels"][0, 0]][()].T.copy(), dtype=torch.float32)
    x = set12(data)
    A = Convolution(kernel[None] / kernel.sum(), domain=tuple(x.shape[1:]))
    return simulated("deblurring", A, x, lambda y: y)


def superresolution(data: Path) -> Example:
    """Half the pixels along each axis, σ = 1 %."""
    x = set12(data)
    A = Downsample(tuple(x.shape[1:]), factor=2, kernel="bicubic")
    return simulated("2 x super-resolution", A, x, larger)


def larger(y: Tensor) -> Tensor:
    """Each pixel four times."""
    return y.repeat_interleave(2, -1).repeat_interleave(2, -2)


def simulated(title: str, A: Any, x: Tensor, direct: Callable[[Tensor], Tensor]) -> Example:
    """Pictures measured with noise of 1 %."""
    physics = Physics(A, GaussianNoise(sigma=0.01))
    y = physics(x, generator=torch.Generator().manual_seed(0))
    return Example(title, y, physics, x, 1.0, direct(y))


def brain(data: Path) -> Example:
    """Six times fewer samples of a fully sampled scan, from which the maps of the coils come, too."""
    full = invcore.read(data / "mri" / "brain8_full.cfl")
    truth = full.physics.operator.pinv(full.y)
    mask = MaskPoisson(shape=tuple(truth.shape[-2:]), acceleration=6.0)(
        generator=torch.Generator().manual_seed(0)
    )
    physics = Physics(full.physics.operator.bind(mask=mask), full.physics.noise)
    y = full.y * mask
    zero_filled = physics.operator.H(y)
    return Example("brain, 6 x fewer samples", y, physics, truth, float(zero_filled.abs().max()), zero_filled)


def tooth(data: Path) -> Example:
    """Every sixth view of the tooth, in a disk around it."""
    axis = torch.arange(256.0)
    region = ((axis[:, None] - 118) ** 2 + (axis - 133) ** 2 < 65**2).float()
    window = (slice(50, 186), slice(65, 201))
    return few_views("tooth, 31 of 181 views", data / "tomography" / "tooth.h5", region, window)


def dendrite(data: Path) -> Example:
    """Every sixth view of the dendrite, which settings were not searched on."""
    axis = torch.arange(256.0) - 127.5
    region = (axis[:, None] ** 2 + axis**2 < 120**2).float()
    window = (slice(None), slice(None))
    path = data / "tomography" / "dendrite_parallel.mat"
    return few_views("dendrite, 60 of 360 views", path, region, window, rings=31)


def few_views(title: str, path: Path, region: Tensor, window: tuple[slice, slice], **options: Any) -> Example:
    """Every sixth view.

    The truth is filtered backprojection of all views, at the resolution of the detector and then averaged
    over each pixel. At the pixels alone it would have the noise of frequencies that they cannot hold.
    """
    full = invcore.read(path, size=256, **options)
    fine = invcore.read(path, size=256 * FINER, **options).physics.operator.fbp(full.y)
    A, y = XRay(full.physics.operator.geometry[::6]), full.y[:, ::6]
    direct = A.fbp(y)
    peak = float(direct.clamp_min(0).quantile(0.99))
    physics = Physics(A, full.physics.noise)
    truth = avg_pool2d(fine, FINER)
    return Example(title, y, physics, truth, peak, direct, region, window, weight=1.0, last=0.02)


PROBLEMS: dict[str, Callable[[Path], Example]] = {
    "deblurring": deblurring,
    "superresolution": superresolution,
    "brain": brain,
    "tooth": tooth,
    "dendrite": dendrite,
}


def best_weight(example: Example, prior: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Image, error and weight of each picture, at the weight that suits it best."""
    start = invcore.solver("fista", prior=prior).problem(example.y, example.physics).weight
    tried: dict[float, tuple[Tensor, Tensor]] = {}

    def at(k: float) -> Tensor:
        if k not in tried:
            solver = invcore.solver("fista", prior=prior, weight=start * 2.0**k, rtol=1e-3)
            x = solver(example.y, example.physics)
            tried[k] = x, example.error(x)
        return tried[k][1]

    low = high = 0.0
    for k in (0.0, 1.0):
        at(k)
    while bool((at(high + 1) < at(high)).any()):
        high += 1
    while bool((at(low - 1) < at(low)).any()):
        low -= 1
    errors = {k: e for k, (_, e) in tried.items()}
    best = torch.tensor(sorted(errors))[torch.stack([errors[k] for k in sorted(errors)]).argmin(0)]
    for k in sorted({float(b) + half for b in best.flatten() for half in (-0.5, 0.5)}):
        at(k)
    keys = sorted(tried)
    table = torch.stack([tried[k][1] for k in keys])
    index = table.argmin(0)
    images = torch.stack([tried[k][0] for k in keys])
    if table.ndim == 1:
        return images[index], table[index], start * 2.0 ** torch.tensor(keys)[index]
    rows = torch.arange(table.shape[1])
    return images[index, rows], table[index, rows], start * 2.0 ** torch.tensor(keys)[index]


def fitted(D: Denoiser, example: Example) -> Denoiser:
    """The denoiser for the unit of the images, complex ones too, turned at random in each step."""
    D = Equivariant(D, draw="random")
    return Rescaled(ComplexParts(D) if example.truth.is_complex() else D, scale=example.peak)


def plug_and_play(example: Example, D: Denoiser) -> Tensor:
    """Half-quadratic splitting with the schedule of DPIR; the image of its last data step."""
    solver = invcore.solver(
        "hqs",
        prior=PnP(fitted(D, example)),
        weight=example.weight,
        schedule="dpir",
        levels=LEVELS,
        sigma_start=49 / 255 * example.peak,
        sigma_end=None if example.last is None else example.last * example.peak,
    )
    image: Tensor = solver.solve(example.y, example.physics).state.v
    return image


def main() -> None:
    """Print a table, and write a row of pictures for each problem."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("data", type=Path)
    options.add_argument("-o", "--out", type=Path, required=True)
    options.add_argument("--only", nargs="+", choices=sorted(PROBLEMS), default=list(PROBLEMS))
    given = options.parse_args()
    D = invcore.denoiser("diffusion.gray")
    for name in given.only:
        example = PROBLEMS[name](given.data)
        wavelet, wavelet_error, _ = best_weight(example, WaveletL1())
        tv, tv_error, _ = best_weight(example, TV())
        pnp = plug_and_play(example, D)
        found = {
            "truth": (example.truth, None),
            "direct": (example.direct, example.error(example.direct)),
            "wavelets": (wavelet, wavelet_error),
            "total variation": (tv, tv_error),
            "plug-and-play": (pnp, example.error(pnp)),
        }
        row = {k: float(e.mean()) for k, (_, e) in found.items() if e is not None}
        print(json.dumps({"problem": name, **row}), flush=True)
        draw(example, found, given.out / f"plug-and-play-{name}.png")


def draw(example: Example, found: dict[str, tuple[Tensor, Tensor | None]], path: Path) -> None:
    """The first picture by each method, with its error."""
    figure, axes = plt.subplots(1, len(found), figsize=(2.5 * len(found), 3.2), layout="constrained")
    for ax, (title, (x, error)) in zip(axes, found.items(), strict=True):
        first = x.reshape(-1, *x.shape[-2:])[SHOWN if x.ndim == 4 else 0]
        first = first.abs() if first.is_complex() else first
        ax.imshow(first[example.window], cmap="gray", vmin=0, vmax=top(example), interpolation="nearest")
        value = "" if error is None else f"\nNRMSE {float(error.flatten()[SHOWN if x.ndim == 4 else 0]):.4f}"
        ax.set(xticks=[], yticks=[], title=title + value)
    figure.savefig(path, dpi=100)


SHOWN = 2
"""The picture of Set12 that is drawn."""


def top(example: Example) -> float:
    """The value shown white."""
    return float(example.truth.abs().flatten().quantile(0.995)) if example.peak != 1 else 1.0


if __name__ == "__main__":
    main()
