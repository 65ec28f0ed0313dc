"""The denoisers that the package ships."""

import dataclasses
import os
from itertools import pairwise
from pathlib import Path

import pytest
import torch

import invcore
from invcore.datasets import dead_leaves
from invcore.io import load_image
from invcore.models import card
from invcore_diffusion import DiffusionSampler, Heun, Karras
from invcore_diffusion._weights import shipped

KEY = "psnr of Set12 at 15, 25, 50 of 255, in dB"
FILES = sorted(Path(shipped.__file__).parent.glob("*.safetensors"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_each_file_is_small_half_precision_and_has_a_card(path):
    assert path.stat().st_size <= 3e6
    told = card(path)
    assert {"description", "data", "training"} <= set(told) and "research" in told["data"]
    D = invcore.denoiser(f"diffusion.{path.stem}")
    (network,) = D.networks().values()
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in network.parameters())


def test_each_has_weights_of_its_own():
    one, other = invcore.denoiser("diffusion.gray"), invcore.denoiser("diffusion.gray")
    assert next(iter(one.networks().values())) is not next(iter(other.networks().values()))


def test_bfloat16_costs_less_than_two_hundredths_of_a_decibel():
    x = dead_leaves((96, 96), generator=torch.Generator().manual_seed(0))[None]
    noisy = x + 25 / 255 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    D, psnr = invcore.denoiser("diffusion.gray"), invcore.metric("psnr", data_range=1.0)
    half = dataclasses.replace(D, precision="bfloat16")
    with torch.no_grad():
        full, mixed = (denoiser(noisy, 25 / 255) for denoiser in (D, half))
    assert mixed.dtype == torch.float32 and not torch.equal(full, mixed)
    assert float(psnr(mixed, x)) > float(psnr(full, x)) - 0.02
    with pytest.raises(invcore.ParameterError, match="precision must be 'weights' or 'bfloat16'"):
        dataclasses.replace(D, precision="half")


def test_gray_denoises_photographs():
    """As the card says: above BM3D at 25 (29.97 dB), below a DnCNN for each level (32.86, 30.43, 27.18)."""
    folder = Path(os.environ.get("INVCORE_DATA", "")) / "images" / "set12"
    if not folder.is_dir():
        pytest.skip("no Set12: set INVCORE_DATA to the folder of measured data")
    D, psnr = invcore.denoiser("diffusion.gray"), invcore.metric("psnr", data_range=1.0)
    told = card(FILES[[path.stem for path in FILES].index("gray")])[
        "psnr of Set12 at 15, 25, 50 of 255, in dB"
    ]
    pictures = [load_image(path) for path in sorted(folder.glob("*.png"))[:7]]  # those of 256 x 256
    for level, expected in zip((15, 25, 50), told, strict=True):
        g = torch.Generator().manual_seed(level)
        scores = [
            psnr(D(x + level / 255 * torch.randn(x.shape, generator=g), level / 255), x) for x in pictures
        ]
        assert float(torch.stack(scores).mean()) == pytest.approx(expected, abs=0.3)


def test_color_is_better_than_gray_channel_by_channel():
    data = pytest.importorskip("skimage.data")
    x = torch.from_numpy(data.astronaut()[40:168, 160:288].copy()).movedim(-1, 0).float() / 255
    noisy = x + 25 / 255 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    color, gray = invcore.denoiser("diffusion.color"), invcore.denoiser("diffusion.gray")
    psnr = invcore.metric("psnr", data_range=1.0)
    together, apart = color(noisy, 25 / 255), gray(noisy[:, None], 25 / 255)[:, 0]
    assert float(psnr(together, x)) > float(psnr(apart, x)) + 1


@pytest.mark.slow
def test_draws_of_the_prior_have_the_statistics_of_photographs():
    """Deviation, heavy tails of differences and power in bands, of pictures that it was not trained on."""
    folder = Path(os.environ.get("INVCORE_DATA", "")) / "images" / "set12"
    if not folder.is_dir():
        pytest.skip("no Set12: set INVCORE_DATA to the folder of measured data")
    half = [torch.nn.functional.avg_pool2d(load_image(path), 2)[0] for path in sorted(folder.glob("*.png"))]
    real = torch.cat([x.unfold(0, 32, 16).unfold(1, 32, 16).flatten(0, 1) for x in half])[:, None]
    D, g = invcore.denoiser("diffusion.patches"), torch.Generator().manual_seed(1)
    sampler = DiffusionSampler(D, schedule=Karras(sigma_min=0.005), steps=30, integrator=Heun())
    with torch.no_grad():
        drawn = sampler.unconditional((1, 32, 32), batch=(96,), generator=g)
    assert float(drawn.std()) == pytest.approx(float(real.std()), rel=0.25)
    tails = [float((d**4).mean() / (d**2).mean() ** 2) for d in (drawn.diff(dim=-1), real.diff(dim=-1))]
    assert tails[0] > 0.5 * tails[1] and tails[1] > 9  # three for Gaussian images

    def power(x):
        spectrum = torch.fft.fft2(x * torch.hann_window(32)[:, None] * torch.hann_window(32), norm="ortho")
        f = torch.fft.fftfreq(32) * 32
        radius = torch.hypot(f[:, None], f)
        edges = (2, 4, 8, 16)
        bands = [(radius >= a) & (radius < b) for a, b in pairwise(edges)]
        return torch.stack([spectrum.abs().square().mean((0, 1))[band].mean() for band in bands])

    assert (power(drawn) / power(real)).log2().abs().max() < 1


def test_the_prior_denoises_at_all_levels():
    """Better than the Wiener filter that it corrects, and no worse where only brightness is seen."""
    g = torch.Generator().manual_seed(3)
    x = torch.stack([dead_leaves((32, 32), r_min=2.0, generator=g) for _ in range(8)])
    D, wiener = (invcore.denoiser("diffusion.patches") for _ in range(2))
    (network,) = wiener.networks().values()
    for p in network.unet.tail.parameters():
        p.zero_()
    for sigma, share in ((0.05, 0.9), (0.2, 0.9), (2.0, 1.02), (80.0, 1.02)):
        noisy = x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
        errors = [float((d(noisy, sigma) - x).square().mean().sqrt()) for d in (D, wiener)]
        assert errors[0] < share * errors[1]
    torch.testing.assert_close(D(x, 0.0), x, rtol=0, atol=1e-5)
