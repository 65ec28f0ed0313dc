"""The denoisers that this package ships."""

from __future__ import annotations

from pathlib import Path

import torch

from invcore import Denoiser
from invcore.denoisers import Opponent
from invcore.models import load


def gray() -> Denoiser:
    """Denoiser of gray photographs with values in [0, 1], trained here for noise levels up to 55/255.

    A bias-free U-Net of 1.06 million weights with a map of the noise level. `invcore.models.card` of its file
    names the pictures it was trained on, which are for research, and what it reaches.

    Returns
    -------
    Denoiser

    References
    ----------
    S. Mohan, Z. Kadkhodaie, E. P. Simoncelli, C. Fernandez-Granda, Robust and interpretable blind image
    denoising via bias-free convolutional neural networks, ICLR 2020.

    Examples
    --------
    >>> D = gray()
    >>> x = torch.linspace(0, 1, 64).expand(1, 64, 64)
    >>> noisy = x + 0.1 * torch.randn(1, 64, 64, generator=torch.Generator().manual_seed(0))
    >>> float((D(noisy, 0.1) - x).std()) < 0.03
    True
    """
    return _opened("gray")


def color() -> Denoiser:
    """Denoiser of color photographs (RGB in [0, 1]) for noise levels up to 90/255: `gray` in opponent colors.

    It needs no weights of its own; see `invcore.denoisers.Opponent`.

    Returns
    -------
    Denoiser

    Examples
    --------
    >>> D = color()
    >>> x = torch.linspace(0, 1, 64).expand(3, 64, 64)
    >>> noisy = x + 0.1 * torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(0))
    >>> float((D(noisy, 0.1) - x).std()) < 0.03
    True
    """
    return Opponent(gray())


def patches() -> Denoiser:
    """Prior of gray photographs of about 32 x 32 pixels, values in [0, 1]: a denoiser for all noise levels.

    A U-Net of 1.05 million weights around the Wiener filter (`WienerUNet`), for noise levels up to 80:
    samplers start from noise alone, and draw photographs without data, too. `gray` denoises larger pictures
    better and knows small noise only. `invcore.models.card` of its file names the pictures it was trained on,
    which are for research, and what it reaches.

    Returns
    -------
    Denoiser

    References
    ----------
    T. Karras, M. Aittala, T. Aila, S. Laine, Elucidating the design space of diffusion-based generative
    models, NeurIPS 2022.

    Examples
    --------
    >>> from invcore_diffusion import DiffusionSampler
    >>> g = torch.Generator().manual_seed(0)
    >>> draw = DiffusionSampler(patches(), steps=10).unconditional((1, 32, 32), batch=(4,), generator=g)
    >>> draw.shape
    torch.Size([4, 1, 32, 32])
    """
    return _opened("patches")


def _opened(name: str) -> Denoiser:
    D: Denoiser = load(Path(__file__).parent / f"{name}.safetensors")
    for network in D.networks().values():  # on a CPU convolutions are fastest this way
        network.to(memory_format=torch.channels_last).requires_grad_(False)  # type: ignore[call-overload]
    return D
