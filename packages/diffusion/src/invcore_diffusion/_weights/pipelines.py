"""Networks of diffusers, the library, as denoisers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from invcore import DataError, MissingDependencyError, ParameterError
from invcore_learning import read_checkpoint

from .._adapters.network import DiffusionDenoiser, Prediction
from .._schedules.edm import EDM
from .._schedules.process import Process
from .._schedules.variance_exploding import VarianceExploding
from .._schedules.variance_preserving import Discrete
from .hub import first_of, require_hash

_WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
_REFUSALS = (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)


class UNetOutput(Module):
    """A UNet of diffusers called as ``network(z, t)`` or ``network(z, t, condition)``.

    Parameters
    ----------
    unet : Module
        ``UNet2DModel``, told a class, or ``UNet2DConditionModel``, told a text.
    told : str, optional
        The parameter that takes the condition.
    """

    def __init__(self, unet: Module, told: str | None = None) -> None:
        super().__init__()
        self.unet, self.told = unet, told

    def forward(self, z: Tensor, time: Tensor, condition: Tensor | None = None) -> Tensor:
        """What the network estimates."""
        told = {} if self.told is None else {self.told: condition}
        return self.unet(z, time, **told).sample


def from_diffusers(
    source: str | os.PathLike[str],
    *,
    revision: str | None = None,
    sha256: str | None = None,
    condition: Tensor | None = None,
    value_range: tuple[float, float] = (0.0, 1.0),
    cache: str | os.PathLike[str] | None = None,
) -> DiffusionDenoiser:
    """Open a pipeline that the library diffusers has saved: its network as a denoiser of images.

    Configurations are read as JSON and weights as plain numbers, of which none may be missing; nothing in the
    files is executed. Networks that denoise images are opened (DDPM, DDIM, EDM, consistency models, score
    models), and those of latent images are refused.

    Parameters
    ----------
    source : str or Path
        A folder, or ``"owner/name"`` on the Hugging Face hub.
    revision, cache
        For the hub; see `hub`.
    sha256 : str, optional
        The SHA-256 of the file of weights; required for the hub, whose page of the file shows it.
    condition : Tensor, optional
        What the network is told: the number of a class, or the embedding (token, feature) of a text; see
        `DiffusionDenoiser`.
    value_range : tuple of float
        The values of black and white in the images.

    Returns
    -------
    DiffusionDenoiser
        In evaluation mode, for images of any size. Its ``schedule`` is for a sampler.

    Raises
    ------
    DataError
        If a file is missing, truncated, of another hash, holds anything but weights, or does not fit.
    ParameterError
        If a condition, a revision or a hash is missing.
    MissingDependencyError
        If diffusers is not installed.

    Examples
    --------
    >>> from_diffusers("no-such-folder/pipeline")
    Traceback (most recent call last):
        ...
    invcore._errors.ParameterError: from_diffusers: there is no folder no-such-folder/pipeline; ...
    """
    files = _Files(source, revision, sha256, cache)
    index = files.json("model_index.json", needed=False)
    if index.keys() & {"vae", "vqvae", "movq"}:
        raise DataError(
            f"from_diffusers: the network of {source} denoises latent images, which a second network makes; "
            "only networks of images are opened"
        )
    library = _diffusers()
    process, prediction, network_range = _process(
        library, files.json("scheduler/scheduler_config.json", "scheduler_config.json")
    )
    config = files.path("unet/config.json", "config.json")
    network, told = _network(library, config, files)
    if (condition is None) != (told is None):
        what = {
            None: "is told nothing: leave condition out",
            "class_labels": "is told a class: give condition=torch.tensor(number)",
            "encoder_hidden_states": "is told a text: give condition=embedding, of shape (token, feature)",
        }
        raise ParameterError(f"from_diffusers: the network of {source} {what[told]}")
    made: Any = network.config
    return DiffusionDenoiser(
        UNetOutput(network, told).eval(),
        process,
        prediction=prediction,
        condition=condition,
        condition_dims=2 if told == "encoder_hidden_states" else 0,
        channels=made.in_channels,
        value_range=value_range,
        network_range=network_range,
        multiple=2 ** (len(made.down_block_types) - 1),
    )


class _Files:
    """The files of a pipeline, in a folder or on the hub."""

    def __init__(
        self, source: Any, revision: str | None, sha256: str | None, cache: str | os.PathLike[str] | None
    ) -> None:
        self.source, self.revision, self.sha256, self.cache = source, revision, sha256, cache
        self.folder = Path(source) if Path(source).is_dir() else None
        if self.folder is None and (revision is None or sha256 is None):
            raise ParameterError(
                f"from_diffusers: there is no folder {source}; for the hub also give revision=, the commit, "
                "and sha256=, the hash that the page of the file of weights shows"
            )

    def found(self, *names: str) -> Path | None:
        """The first that exists."""
        if self.folder is None:
            return first_of(str(self.source), names, revision=str(self.revision), cache=self.cache)
        return next((path for name in names if (path := self.folder / name).is_file()), None)

    def path(self, *names: str) -> Path:
        """The first that exists; there must be one."""
        path = self.found(*names)
        if path is None:
            raise DataError(f"from_diffusers: {self.source} has no file {' or '.join(names)}")
        return path

    def json(self, *names: str, needed: bool = True) -> dict[str, Any]:
        """A table."""
        path = self.path(*names) if needed else self.found(*names)
        if path is None:
            return {}
        try:
            held = json.loads(path.read_text())
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path} is no JSON, or truncated: {error}") from error
        if not isinstance(held, dict):
            raise DataError(f"{path} holds no table")
        return held


def _network(library: ModuleType, config: Path, files: _Files) -> tuple[Module, str | None]:
    """The network, and the parameter that takes its condition."""
    try:
        table = json.loads(config.read_text())
        kind = table["_class_name"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise DataError(f"{config} is no configuration of a network of diffusers: {error}") from error
    if kind not in ("UNet2DModel", "UNet2DConditionModel"):
        raise DataError(f"{config}: opened are UNet2DModel and UNet2DConditionModel, got {kind!r:.80}")
    folder = "unet/" if config.parent.name == "unet" else ""
    weights = files.path(*(f"{folder}{name}" for name in _WEIGHTS))
    require_hash(weights, files.sha256)
    read_checkpoint(weights)  # refuses what is no file of weights only
    try:
        network, said = getattr(library, kind).from_pretrained(
            weights.parent,
            local_files_only=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
            use_safetensors=weights.suffix == ".safetensors",
            torch_dtype=torch.float32,
        )
    except _REFUSALS as error:
        raise DataError(f"{weights} does not fit {config}: {' '.join(str(error).split())[:300]}") from error
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if wrong := said[what]:
            raise DataError(f"{weights} does not fit {config}: {what}: {str(wrong)[:200]}")
    if kind == "UNet2DConditionModel":
        return network, "encoder_hidden_states"
    classes = table.get("num_class_embeds") or table.get("class_embed_type")
    return network, "class_labels" if classes else None


def _process(
    library: ModuleType, config: Mapping[str, Any]
) -> tuple[Process, Prediction, tuple[float, float]]:
    """What the network was trained for, from the configuration of any scheduler."""
    kind = str(config.get("_class_name"))
    symmetric = (-1.0, 1.0)
    try:
        if kind == "ScoreSdeVeScheduler":
            return VarianceExploding(sigma_max=float(config["sigma_max"])), "score", (0.0, 1.0)
        if kind == "CMStochasticIterativeScheduler":
            return _edm(config, time_factor=250.0), "consistency", symmetric
        if kind in ("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"):
            if config.get("prediction_type", "epsilon") != "epsilon":
                raise ValueError("a preconditioned network with prediction_type 'epsilon' is opened")
            return _edm(config, time_factor=0.25), "edm", symmetric
        if "beta_schedule" not in config:
            raise ValueError("it states no beta_schedule")
        names = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas")
        table = library.DDPMScheduler(**{name: config[name] for name in names if name in config})
        predictions: dict[str, Prediction] = {"epsilon": "epsilon", "sample": "x0", "v_prediction": "v"}
        process = Discrete(table.alphas_cumprod.double(), whole=True)
        return process, predictions[config.get("prediction_type", "epsilon")], symmetric
    except (*_REFUSALS, NotImplementedError) as error:
        raise DataError(f"from_diffusers: the scheduler {kind!r:.80} is not understood: {error}") from error


def _edm(config: Mapping[str, Any], time_factor: float) -> EDM:
    low, high, data = (float(config[name]) for name in ("sigma_min", "sigma_max", "sigma_data"))
    return EDM(sigma_min=low, sigma_max=high, sigma_data=data, time_factor=time_factor)


def _diffusers() -> ModuleType:
    try:
        import diffusers
    except ImportError as error:
        raise MissingDependencyError(
            'from_diffusers: the networks are those of diffusers: pip install "invcore-diffusion[diffusers]"'
        ) from error
    return diffusers
