"""The denoisers that the package ships."""

import dataclasses
import os
from pathlib import Path

import pytest
import torch

import invcore
from invcore.datasets import dead_leaves
from invcore.io import load_image
from invcore.models import card
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
