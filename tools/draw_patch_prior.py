"""How good ``diffusion.patches`` is: its draws beside photographs, and posteriors of photographs not seen.

    python tools/draw_patch_prior.py DATA -o docs/_static

DATA holds ``images/set12``, which the prior was not trained on, and ``images/bsds500``, which it was.
Beside it stands the Gaussian prior of the same mean and spectrum, which is what the network starts from.
"""

from __future__ import annotations

import argparse
import copy
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from scipy.fft import dctn
from scipy.stats import kurtosis
from torch import Tensor
from torch.nn.functional import avg_pool2d

import invcore
from invcore import Denoiser, Physics
from invcore.noises import GaussianNoise
from invcore.operators import Downsample, Mask
from invcore_diffusion import DiffusionSampler, Heun, Karras
from invcore_learning import ImageFolder

N = 32
BANDS = ((0.5, 2), (2, 5), (5, 10), (10, 20), (20, 45))


def patches(folder: Path) -> Tensor:
    """All patches (n, 1, 32, 32) half a patch apart of the pictures at half their resolution."""
    pictures = ImageFolder(folder, color="gray")
    half = (avg_pool2d(pictures[i], 2)[0] for i in range(len(pictures)))
    return torch.cat([x.unfold(0, N, N // 2).unfold(1, N, N // 2).flatten(0, 1) for x in half])[:, None]


def gaussian(D: Denoiser) -> Denoiser:
    """The denoiser without what its network has learned."""
    (network,) = D.networks().values()
    network = copy.deepcopy(network)
    for p in network.unet.tail.parameters():
        p.data.zero_()
    return replace(D, network=network)  # type: ignore[type-var]


def describe(name: str, x: Tensor) -> None:
    """Print deviation, heaviness of the tails of differences, and power of each band of frequencies."""
    power = dctn((x[:, 0] - x.mean()).double().numpy(), axes=(1, 2), norm="ortho") ** 2
    k = torch.arange(N)
    radius = torch.hypot(k[:, None].float(), k.float()).numpy()
    bands = [power[:, (radius >= low) & (radius < high)].mean() for low, high in BANDS]
    tails = kurtosis(x.diff(dim=-1).flatten().numpy())
    outside = float(((x < 0) | (x > 1)).float().mean())
    print(
        f"{name:12} std {float(x.std()):.3f}, kurtosis of differences {tails:.1f}, outside [0, 1] "
        f"{outside:.1%}, power " + " ".join(f"{b:.2g}" for b in bands)
    )


def posterior(method: str, D: Denoiser, physics: Physics, x: Tensor, draws: int) -> tuple[Tensor, Tensor]:
    """Draws (draw, n, 1, y, x) for data of the photographs, and the data."""
    y = physics(x, generator=torch.Generator().manual_seed(1))
    sampler = invcore.sampler(method, denoiser=D, steps=40, schedule=Karras(sigma_min=0.01))
    many = y.expand(draws, *y.shape)
    return sampler(many, physics, generator=torch.Generator().manual_seed(2)), y


def main() -> None:
    """Print the figures, and draw."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("data", type=Path)
    options.add_argument("-o", "--out", type=Path, required=True)
    options.add_argument("--draws", type=int, default=256)
    options.add_argument("--file", type=Path, help="a model file to judge in place of the shipped one")
    given = options.parse_args()
    D = invcore.model(given.file) if given.file else invcore.denoiser("diffusion.patches")
    priors = {"diffusion.patches": D, "Gaussian": gaussian(D)}
    g = torch.Generator().manual_seed(0)
    unseen = patches(given.data / "images/set12")
    unseen = unseen[torch.randperm(len(unseen), generator=g)]
    describe("Set12", unseen)
    describe("BSDS", patches(given.data / "images/bsds500"))
    rows = {"photographs": unseen[:16]}
    for name, prior in priors.items():
        sampler = DiffusionSampler(prior, schedule=Karras(sigma_min=0.005), steps=40, integrator=Heun())
        x = sampler.unconditional((1, N, N), batch=(given.draws,), generator=g)
        describe(name, x)
        rows[name] = x[:16]
    for level in (0.05, 0.1, 0.2, 0.5, 1.0):
        noisy = unseen[:400] + level * torch.randn(400, 1, N, N, generator=g)
        errors = [float((p(noisy, level) - unseen[:400]).square().mean().sqrt()) for p in priors.values()]
        print(f"noise {level}: error " + " ".join(f"{e:.4f}" for e in errors))
    x, psnr = unseen[:16], invcore.metric("psnr", data_range=1.0)
    seen = (torch.rand(1, N, N, generator=g) < 0.25).float()
    problems = {
        "a quarter of the pixels": (
            "diffusion.pigdm",
            Physics(Mask(seen, (1, N, N)), GaussianNoise(sigma=0.03)),
        ),
        "a quarter of the size": (
            "diffusion.ddrm",
            Physics(Downsample((1, N, N), factor=4), GaussianNoise(sigma=0.01)),
        ),
    }
    for title, (method, physics) in problems.items():
        for name, prior in priors.items():
            found, y = posterior(method, prior, physics, x, 16)
            mean = found.mean(0)
            low, high = found.quantile(torch.tensor([0.05, 0.95]), 0)
            inside = float(((x >= low) & (x <= high)).float().mean())
            print(
                f"{title}, {name}: mean {float(psnr(mean, x).mean()):.2f} dB, a draw "
                f"{float(psnr(found[0], x).mean()):.2f} dB, in the 90 % intervals {inside:.0%}"
            )
            if name == "diffusion.patches":
                rows[title] = y if y.shape == x.shape else y.repeat_interleave(4, -1).repeat_interleave(4, -2)
                rows[f"one draw, {title}"], rows[f"mean, {title}"] = found[0], mean
    figure, axes = plt.subplots(len(rows), 1, figsize=(9, 0.75 * len(rows)), layout="constrained")
    for ax, (title, images) in zip(axes, rows.items(), strict=True):
        ax.imshow(images[:, 0].movedim(0, 1).reshape(N, -1), cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
        ax.set_title(title, fontsize=8, pad=2, loc="left")
    figure.savefig(given.out / "patch-prior.png", dpi=100)


if __name__ == "__main__":
    with torch.no_grad():
        main()
