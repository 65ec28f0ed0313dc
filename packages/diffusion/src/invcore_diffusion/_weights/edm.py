"""Checkpoints of EDM as denoisers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from invcore import DataError

from .._adapters.network import DiffusionDenoiser
from .._networks.edm_unet import EDMUNet
from .._schedules.edm import EDM
from .state_dict import opened, read_state, require_class

WHAT = "U-Net of EDM"


def from_edm(
    path: str | os.PathLike[str],
    *,
    condition: Tensor | None = None,
    value_range: tuple[float, float] = (0.0, 1.0),
    sigma_data: float = 0.5,
    sha256: str | None = None,
) -> DiffusionDenoiser:
    """Open the weights of a network of EDM: DDPM++, NCSN++ or ADM with EDM's preconditioning, as a denoiser.

    All of the architecture is read from names and shapes. EDM's public files (``edm-*.pkl``) are pickles:
    opening one runs code in it, and this function refuses them. Where that code is trusted, with EDM's own
    on the path, they are converted once::

        import pickle, torch
        network = pickle.load(open("edm-ffhq-64x64-uncond-vp.pkl", "rb"))["ema"]
        torch.save(network.state_dict(), "edm-ffhq-64x64-uncond-vp.pt")

    The networks of ``baseline-*.pkl`` have the same shapes and another preconditioning: they are not for
    this function, and nothing in their weights tells.

    Parameters
    ----------
    path : str or Path
        ``.pt`` or ``.safetensors``; `hub` finds one on the Hugging Face hub.
    condition : Tensor, optional
        The number of a class; see `DiffusionDenoiser`.
    value_range : tuple of float
        The values of black and white in the images.
    sigma_data : float
        The standard deviation of pixels in [-1, 1] that it was trained with: 0.5 in the public files.
    sha256 : str, optional
        Refuse a file with another SHA-256.

    Returns
    -------
    DiffusionDenoiser
        Frozen and in evaluation mode, for images of any size. Its ``schedule`` is for a sampler.

    Raises
    ------
    DataError
        If the file is missing, a pickle, truncated, of another hash, holds anything but weights, or they do
        not fit.
    ParameterError
        If a condition is missing.

    Examples
    --------
    >>> from_edm("edm-ffhq-64x64-uncond-vp.pkl")
    Traceback (most recent call last):
        ...
    invcore._errors.DataError: from_edm: edm-ffhq-64x64-uncond-vp.pkl is a pickle, which runs code when ...
    """
    if Path(path).suffix == ".pkl":
        raise DataError(
            f"from_edm: {path} is a pickle, which runs code when it is opened; it was not opened. Convert it "
            "once where you trust that code: the documentation of from_edm has the three lines."
        )
    state = read_state(path, sha256, prefix="model.")
    if "u" in state:
        raise DataError(f"from_edm: {path} is preconditioned as iDDPM; opened are networks trained as EDM's")
    state.pop("map_augment.weight", None)  # of augmentations in training
    network = opened(path, state, WHAT, lambda: EDMUNet(**_parameters(state)))
    if network.out_channels != network.in_channels:
        raise DataError(
            f"from_edm: {path} makes {network.out_channels} channels of {network.in_channels}; a denoiser "
            "makes as many"
        )
    require_class("from_edm", condition, network.label_dim or None)
    return DiffusionDenoiser(
        network,
        EDM(sigma_data=sigma_data),
        prediction="edm",
        condition=condition,
        channels=network.in_channels,
        value_range=value_range,
        multiple=2 ** (len(network.channel_mult) - 1),
    )


def _parameters(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The parameters of `EDMUNet`, from the names and shapes of its weights."""
    ways = {name.split(".")[1] for name in state if name.startswith(("enc.", "dec."))}
    sizes = sorted({int(name.partition("x")[0]) for name in ways}, reverse=True)
    song = "out_norm.weight" not in state
    first = f"{sizes[0]}x{sizes[0]}"
    widths = [len(state[f"enc.{n}x{n}_block0.norm1.bias"]) for n in sizes]
    root, in_channels, _, _ = state[f"enc.{first}_conv.weight"].shape
    emb, noise = state["map_layer0.weight"].shape
    model_channels = root if song else noise
    tail = f"dec.{first}_aux_conv.bias" if song else "out_conv.bias"
    auxiliary = {match[1] for name in ways if (match := re.search(r"aux_(\w+)", name))}
    encoder = "residual" if "residual" in auxiliary else "skip" if "skip" in auxiliary else "standard"
    blocks = {int(match[1]) for name in ways if (match := re.fullmatch(rf"{first}_block(\d+)", name))}
    label = state.get("map_label.weight")
    filters = [t for name, t in state.items() if name.endswith("resample_filter")]
    return {
        "kind": "song" if song else "dhariwal",
        "size": sizes[0],
        "in_channels": in_channels,
        "out_channels": len(state[tail]),
        "model_channels": model_channels,
        "channel_mult": tuple(n // model_channels for n in widths),
        "emb_channels": emb,
        "noise_channels": noise,
        "num_blocks": len(blocks) - 1,
        "attention": tuple(i for i, n in enumerate(sizes) if f"enc.{n}x{n}_block0.qkv.weight" in state),
        "label_dim": 0 if label is None else label.shape[1],
        "fourier": "map_noise.freqs" in state,
        "encoder": encoder,
        "decoder": "skip" if "up" in auxiliary else "standard",
        "filter_size": filters[0].shape[-1] if filters else 2,
    }
