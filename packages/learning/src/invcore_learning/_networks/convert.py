"""Weights of other libraries in the networks of this one."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import Module

import invcore

_M = TypeVar("_M", bound=Module)
Name = Callable[[re.Match[str], Any], str]
"""What a foreign name is called in a network: from the match of a rule, and the network."""
Weights = Callable[[Tensor], Tensor]
"""What becomes of the weights."""

WRAPPERS = ("state_dict", "params", "params_ema", "model")
"""Entries under which checkpoints hold the weights, beside other things."""


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the weights in a checkpoint file of torch (``.pt``, ``.pth``, ``.ckpt``), or of safetensors.

    Only tensors and plain containers are read: a file with code in it is refused, and the code not run.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict of str to Tensor
        The state dict; if it lies under ``state_dict``, ``params``, ``params_ema`` or ``model``, that entry.

    Raises
    ------
    DataError
        If there is no such file, or it holds anything but weights.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save({"params": {"weight": torch.ones(2)}}, f"{folder}/w.pth")
    ...     read_checkpoint(f"{folder}/w.pth")
    {'weight': tensor([1., 1.])}
    """
    if not Path(path).is_file():
        raise invcore.DataError(f"there is no file {path}")
    if Path(path).suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise invcore.DataError(
                f"{path} is truncated, or no safetensors file, and was not opened: {str(error)[:200]}"
            ) from error
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise invcore.DataError(
            f"{path} is truncated, or no file of weights only, and was not opened: {str(error)[:200]}"
        ) from error
    for name in WRAPPERS:
        if isinstance(held, Mapping) and isinstance(held.get(name), Mapping):
            held = held[name]
    if not isinstance(held, Mapping) or not all(isinstance(t, Tensor) for t in held.values()):
        raise invcore.DataError(f"{path} holds no state dict: names of weights with their tensors")
    return dict(held)


def convert(state: Mapping[str, Tensor], network: _M, *, layout: str) -> _M:
    """Load weights of another library into a network.

    ===========  ====================  ==============================================
    layout       network               source of the weights
    ===========  ====================  ==============================================
    ``kair``     `DnCNN` (``bias``)    KAIR ``dncnn_*``, batch normalization merged
    ``kair``     `FFDNet`              KAIR ``ffdnet_*``
    ``kair``     `DRUNet`              KAIR and DPIR ``drunet_*``; deepinv ``DRUNet``
    ``kair``     `Restormer`           that of the authors
    ``deepinv``  `DnCNN`               deepinv ``DnCNN``
    ``deepinv``  `FFDNet`              deepinv ``FFDNet`` without normalization
    ``deepinv``  `DRUNet`              deepinv ``DRUNet``, and that in ``GSDRUNet``
    ``deepinv``  `Restormer`           deepinv ``Restormer``
    ===========  ====================  ==============================================

    Parameters
    ----------
    state : mapping of str to Tensor
        As `read_checkpoint` returns it.
    network : Module
        Its weights are replaced. Build it with the depth, features and channels of the checkpoint.
    layout : str
        Where the names come from, as above.

    Returns
    -------
    Module
        ``network``, in evaluation mode.

    Raises
    ------
    ParameterError
        If there is no table for this network and layout.
    DataError
        If a name is unknown, missing or comes twice, or a shape does not fit. The network is not changed
        then.

    Examples
    --------
    >>> from invcore_learning import DnCNN
    >>> foreign = {f"model.{2 * i}.{kind}": p for i, layer in enumerate(DnCNN(depth=3, features=4).layers)
    ...            for kind, p in layer.named_parameters()}
    >>> convert(foreign, DnCNN(depth=3, features=4), layout="kair").depth
    3
    """
    name = type(network).__name__
    known = sorted(layout for cls, layout in RULES if cls == name)
    if layout not in known:
        raise invcore.ParameterError(
            f"convert: no table of layout {layout!r} for {name}; there is {', '.join(known) or 'none'}"
        )
    found: dict[str, Tensor] = {}
    for foreign, t in state.items():
        own, change = _own_name(foreign, network, RULES[name, layout])
        if own in found:
            raise invcore.DataError(f"convert: {foreign!r} is another weight for {own!r}")
        found[own] = change(t)
    wanted = network.state_dict()
    if missing := sorted(set(wanted) - set(found)):
        raise invcore.DataError(f"convert: the checkpoint has no weights for {_few(missing)} of {name}")
    if unknown := sorted(set(found) - set(wanted)):
        raise invcore.DataError(f"convert: {name} has no {_few(unknown)}: is it built as the checkpoint?")
    wrong = [
        f"{key} {tuple(t.shape)} (wanted {tuple(wanted[key].shape)})"
        for key, t in found.items()
        if t.shape != wanted[key].shape
    ]
    if wrong:
        raise invcore.DataError(f"convert: shapes do not fit {name}: {_few(wrong)}")
    network.load_state_dict(found)
    return network.eval()


def _own_name(foreign: str, network: Any, rules: Rules) -> tuple[str, Weights]:
    for pattern, name, change in rules:
        if match := re.fullmatch(pattern, foreign):
            return (name(match, network) if callable(name) else match.expand(name)), change
    raise invcore.DataError(f"convert: {foreign!r} is no weight of {type(network).__name__} in this layout")


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _up(match: re.Match[str], network: Any) -> str:
    """``m_up3`` follows the bottom, so it is the last in a list that begins with the finest scale."""
    scale, place, rest = int(match[1]) - 1, int(match[2]), match[3]
    if place == 0:
        return f"up.{scale}.{rest}"
    return f"decoder.{scale}.{place - 1}.{_BLOCK.get(rest, rest)}"


def _down(match: re.Match[str], network: Any) -> str:
    scale, place, rest = int(match[1]) - 1, int(match[2]), match[3]
    if place == network.blocks:
        return f"down.{scale}.{rest}"
    return f"encoder.{scale}.{place}.{_BLOCK.get(rest, rest)}"


def _body(match: re.Match[str], network: Any) -> str:
    return f"bottom.{match[1]}.{_BLOCK.get(match[2], match[2])}"


def _every_second(match: re.Match[str], network: Any) -> str:
    return f"layers.{int(match[1]) // 2}.{match[2]}"


def _last(match: re.Match[str], network: Any) -> str:
    return f"layers.{network.depth - 1}.{match[1]}"


def _after_first(match: re.Match[str], network: Any) -> str:
    return f"layers.{int(match[1]) + 1}.{match[2]}"


def _same(t: Tensor) -> Tensor:
    return t


def _one_level(t: Tensor) -> Tensor:
    """The noise level as one channel of the half-size images, and not as four that are equal."""
    return torch.cat([t[:, :-4], t[:, -4:].sum(1, keepdim=True)], dim=1) if t.ndim == 4 else t


def _transformer(match: re.Match[str], network: Any) -> str:
    """A part of a Restormer: where the block stands, and what of it."""
    where, level, place, rest = match["where"], match["level"], match["place"], match["rest"]
    scale = "" if level is None else f"{int(level) - 1}."
    return f"{_PLACES[where]}.{scale}{place}.{_TRANSFORMER.get(rest, rest)}"


_PLACES = {"encoder": "encoder", "decoder": "decoder", "latent": "bottom", "refinement": "refiner"}
_TRANSFORMER = {
    "norm1.body.weight": "before_attention.weight",
    "norm1.body.bias": "before_attention.bias",
    "attn.temperature": "attention.temperature",
    "attn.qkv.weight": "attention.mix.weight",
    "attn.qkv_dwconv.weight": "attention.local.weight",
    "attn.project_out.weight": "attention.out.weight",
    "norm2.body.weight": "before_gate.weight",
    "norm2.body.bias": "before_gate.bias",
    "ffn.project_in.weight": "gate.mix.weight",
    "ffn.dwconv.weight": "gate.local.weight",
    "ffn.project_out.weight": "gate.out.weight",
}


def _finer(match: re.Match[str], network: Any) -> str:
    """A layer between two scales, by the finer one: ``down1_2``, ``up2_1``, ``reduce_chan_level2``."""
    what, scales = match["what"], [int(k) for k in match["scales"].split("_")]
    return f"{what}.{min(scales) - (2 if what == 'reduce' else 1)}.weight"


_BLOCK = {"res.0.weight": "first.weight", "res.2.weight": "second.weight"}

Rules = tuple[tuple[str, "str | Name", Weights], ...]
"""Rows of a pattern for foreign names, what they are called here, and what becomes of the weights."""

_SEQUENCE: Rules = ((r"model\.(\d*[02468])\.(weight|bias)", _every_second, _same),)
_PREFIX = r"(?:student_grad\.model\.)?"
_DRUNET: Rules = (
    (_PREFIX + r"m_(head|tail)\.(weight)", r"\1.\2", _same),
    (_PREFIX + r"m_down(\d)\.(\d+)\.(.+)", _down, _same),
    (_PREFIX + r"m_body\.(\d+)\.(.+)", _body, _same),
    (_PREFIX + r"m_up(\d)\.(\d+)\.(.+)", _up, _same),
)
_RESTORMER: Rules = (
    (r"patch_embed\.proj\.weight", "head.weight", _same),
    (r"output\.weight", "tail.weight", _same),
    (r"(?P<what>down|up)(?P<scales>\d_\d)\.body\.0\.weight", _finer, _same),
    (r"(?P<what>reduce)_chan_level(?P<scales>\d)\.weight", _finer, _same),
    (
        r"(?P<where>encoder|decoder|latent|refinement)(?:_level(?P<level>\d))?\.(?P<place>\d+)\.(?P<rest>.+)",
        _transformer,
        _same,
    ),
)
RULES: dict[tuple[str, str], Rules] = {
    ("DnCNN", "kair"): _SEQUENCE,
    ("FFDNet", "kair"): _SEQUENCE,
    ("DRUNet", "kair"): _DRUNET,
    ("DRUNet", "deepinv"): _DRUNET,
    ("Restormer", "kair"): _RESTORMER,
    ("Restormer", "deepinv"): _RESTORMER,
    # deepinv adds what the network computes to the image, this library subtracts it
    ("DnCNN", "deepinv"): (
        (r"in_conv\.(weight|bias)", r"layers.0.\1", _same),
        (r"conv_list\.(\d+)\.(weight|bias)", _after_first, _same),
        (r"out_conv\.(weight|bias)", _last, torch.neg),
    ),
    ("FFDNet", "deepinv"): (
        (r"blocks\.0\.0\.(weight|bias)", r"layers.0.\1", _one_level),
        (r"blocks\.(\d+)\.(?:0\.)?(weight|bias)", r"layers.\1.\2", _same),
    ),
}
"""The tables, by name of the network and layout."""
