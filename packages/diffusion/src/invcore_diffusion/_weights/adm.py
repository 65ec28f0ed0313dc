"""Checkpoints of guided diffusion (ADM) as denoisers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from invcore import ParameterError

from .._adapters.network import DiffusionDenoiser
from .._networks.adm_unet import ADMUNet
from .._schedules.variance_preserving import Discrete
from .state_dict import opened, read_state, require_class

WHAT = "U-Net of guided diffusion"


def from_adm(
    path: str | os.PathLike[str],
    *,
    noise_schedule: Literal["linear", "cosine"],
    new_attention_order: bool,
    heads: int | None = None,
    head_channels: int | None = None,
    steps: int = 1000,
    condition: Tensor | None = None,
    value_range: tuple[float, float] = (0.0, 1.0),
    sha256: str | None = None,
) -> DiffusionDenoiser:
    """Open a checkpoint of guided diffusion (ADM) or improved diffusion: its network as a denoiser of images.

    Its names and shapes tell features, blocks, scales with attention, classes, and how sizes change. They do
    not tell the noise schedule nor how attention is split, so that these have no default. The public files:

    ========================================  ==============  ===================  =====================
    file                                      noise_schedule  heads                new_attention_order
    ========================================  ==============  ===================  =====================
    ``64x64_diffusion.pt`` (ImageNet)         cosine          head_channels=64     True
    ``128x128_diffusion.pt`` (ImageNet)       linear          heads=4              False
    ``256x256_diffusion*.pt`` (ImageNet)      linear          head_channels=64     False
    ``512x512_diffusion.pt`` (ImageNet)       linear          head_channels=64     False
    ``lsun_*.pt``                             linear          head_channels=64     False
    ``ffhq_10m.pt`` (of DPS and DiffPIR)      linear          head_channels=64     False
    ``imagenet64_uncond_100M_1500K.pt``       cosine          heads=4, steps=4000  False
    ========================================  ==============  ===================  =====================

    Weights are read as plain numbers, each of which must fit; nothing in the file is executed.

    Parameters
    ----------
    path : str or Path
        ``.pt`` or ``.safetensors``; `hub` finds one on the Hugging Face hub.
    noise_schedule : {"linear", "cosine"}
    new_attention_order, heads, head_channels
        See `ADMUNet`; one of ``heads`` and ``head_channels``.
    steps : int
        Of the diffusion that it was trained for, a multiple of 1000: the network sees times from 0 to 1000.
    condition : Tensor, optional
        The number of a class; see `DiffusionDenoiser`.
    value_range : tuple of float
        The values of black and white in the images.
    sha256 : str, optional
        Refuse a file with another SHA-256.

    Returns
    -------
    DiffusionDenoiser
        Frozen and in evaluation mode, for images of any size. Its ``schedule`` is for a sampler. Of a network
        with a learned variance the mean is used.

    Raises
    ------
    DataError
        If the file is missing, truncated, of another hash, holds anything but weights, or they do not fit.
    ParameterError
        If a condition is missing, or the schedule or the heads cannot be.

    Examples
    --------
    >>> import tempfile
    >>> network = ADMUNet(in_channels=1, out_channels=2, model_channels=32, features=(32, 32), heads=2)
    >>> with tempfile.NamedTemporaryFile(suffix=".pt") as file:
    ...     torch.save(network.state_dict(), file.name)
    ...     D = from_adm(file.name, noise_schedule="linear", heads=2, new_attention_order=False)
    >>> D(torch.zeros(1, 9, 7), 0.1).shape
    torch.Size([1, 9, 7])
    """
    process = _process(noise_schedule, steps)
    state = read_state(path, sha256)
    split: dict[str, Any] = {
        "heads": heads,
        "head_channels": head_channels,
        "new_attention_order": new_attention_order,
    }
    network = opened(path, state, WHAT, lambda: ADMUNet(**_parameters(state), **split))
    if network.out_channels not in (network.in_channels, 2 * network.in_channels):
        raise ParameterError(
            f"from_adm: {path} makes {network.out_channels} channels of {network.in_channels}: it is no "
            "denoiser of its input; networks that enlarge images are not opened"
        )
    require_class("from_adm", condition, network.num_classes)
    return DiffusionDenoiser(
        network,
        process,
        condition=condition,
        channels=network.in_channels,
        value_range=value_range,
        multiple=2 ** (len(network.features) - 1),
    )


def _process(schedule: str, steps: int) -> Discrete:
    """The levels at the whole times that the network sees."""
    if schedule not in ("linear", "cosine") or steps < 1000 or steps % 1000:
        raise ParameterError(
            "from_adm: expected noise_schedule 'linear' or 'cosine' and a multiple of 1000 steps, got "
            f"{schedule!r} and {steps!r}"
        )
    betas = torch.linspace(0.1 / steps, 20 / steps, steps, dtype=torch.float64)
    if schedule == "cosine":
        time = torch.arange(steps + 1, dtype=torch.float64) / steps
        left = torch.cos((time + 0.008) / 1.008 * torch.pi / 2) ** 2
        betas = (1 - left[1:] / left[:-1]).clamp(max=0.999)
    return Discrete(torch.cumprod(1 - betas, 0)[:: steps // 1000], whole=steps == 1000)


def _parameters(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The parameters of `ADMUNet`, from the names and shapes of its weights."""
    up = _blocks(state, "output_blocks")
    ends = [i for i, layers in enumerate(up) if {"conv", "in_layers"} & set().union(*layers[1:])]
    scales = len(ends) + 1
    blocks = len(up) // scales - 1
    firsts = range(len(up) - blocks - 1, -1, -blocks - 1)  # the finest scale is the last
    attention = tuple(scale for scale, i in enumerate(firsts) if any("qkv" in layer for layer in up[i]))
    label = state.get("label_emb.weight")
    features = tuple(len(state[f"output_blocks.{i}.0.out_layers.3.bias"]) for i in firsts)
    out_channels, _, _, _ = state["out.2.weight"].shape
    return {
        "in_channels": state["input_blocks.0.0.weight"].shape[1],
        "out_channels": out_channels,
        "model_channels": state["time_embed.0.weight"].shape[1],
        "features": features,
        "blocks": blocks,
        "attention": attention,
        "num_classes": None if label is None else len(label),
        "scale_shift": len(state["output_blocks.0.0.emb_layers.1.bias"]) == 2 * features[-1],
        "resblock_updown": not any("conv" in layer for layers in up for layer in layers),
    }


def _blocks(state: Mapping[str, Tensor], room: str) -> list[list[set[str]]]:
    """For each block of a room, for each of its layers, the names of its parts."""
    found: dict[int, dict[int, set[str]]] = {}
    for name in state:
        if match := re.match(rf"{room}\.(\d{{1,4}})\.(\d)\.(\w+)", name):
            found.setdefault(int(match[1]), {}).setdefault(int(match[2]), set()).add(match[3])
    return [[layers[j] for j in sorted(layers)] for _, layers in sorted(found.items())]
