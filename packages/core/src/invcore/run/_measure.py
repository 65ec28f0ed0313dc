"""Measurements of a problem, read from a file or simulated, and the reference."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .._device import free_device
from .._errors import DataError, ParameterError, ShapeError
from ..io import Acquisition, load_image, load_reconstruction, read
from ..io._image import IMAGES, one_channel
from ..io._read import is_there, reader_of
from ..io._store import is_reconstruction
from ..operators import Space
from ..spaces import batch_shape
from ._build import physics_of


def measure(problem: Mapping[str, Any]) -> tuple[Acquisition, Tensor | None]:
    """Read or simulate the measurements, on the problem's device, and the reference, if there is one."""
    device = _usable(problem["device"])
    truth: Tensor | None
    if "image" in problem:
        truth, acquisition = simulated(problem)
    else:
        options = problem["data"]["options"]
        acquisition = read(measured(problem), format=problem["data"].get("format"), **options)
        truth = None
    domain = acquisition.physics.domain
    if not isinstance(domain, Space) or len(domain.shape) < 3:
        raise DataError(
            f"{measured(problem)}: the physics acts on {domain}, not on images (channel, *spatial)"
        )
    if "data" in problem and "reference" in problem:
        truth = _reference(Path(problem["reference"]).expanduser(), acquisition, options)
    return acquisition.to(device), truth


def measured(problem: Mapping[str, Any]) -> Path:
    """Return the path of the image or of the measured data."""
    return Path(problem["image" if "image" in problem else "data"]["file"]).expanduser()


def simulated(problem: Mapping[str, Any]) -> tuple[Tensor, Acquisition]:
    """Return the image of a problem, and its measurements."""
    if "image" not in problem:
        raise DataError("the problem has no [image] to measure")
    generator = torch.Generator().manual_seed(problem["seed"])
    x = load_image(measured(problem))
    physics = physics_of(problem, x, generator)
    domain = physics.operator.domain
    if isinstance(domain, Space) and domain.kind == "complex" and not x.is_complex():
        x = x + 0j
    y = physics(x, generator=generator)
    if isinstance(domain, Space):  # a parameter such as a drawn mask may be one for each of several
        x = x.expand(*batch_shape(y, physics.range), *domain.shape)
    return x, Acquisition(y=y, physics=physics, metadata={"source": problem["image"]["file"]})


def _usable(device: str) -> torch.device:
    """Return the device, if this machine has it."""
    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    here = ["cpu", *(["cuda"] if cuda else []), *(f"cuda:{i}" for i in range(cuda) if cuda > 1)]
    here += ["mps"] if torch.backends.mps.is_available() else []
    usable = f"Usable here: {', '.join(here)}, or 'auto'."
    try:
        found = free_device() if device == "auto" else torch.device(device)
    except RuntimeError as error:
        raise ParameterError(f"no device is called {device!r}. {usable}") from error
    try:
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ParameterError(f"device {device!r} cannot be used here: {reason}. {usable}") from error
    if found.type == "meta":
        raise ParameterError(f"device 'meta' computes nothing. {usable}")
    return found


def _reference(path: Path, acquisition: Acquisition, options: Mapping[str, Any]) -> Tensor:
    """Load the reference as a magnitude (batch..., 1, *spatial): a result, a raw file, or an image.

    The options select the slice of a raw file.
    """
    domain = acquisition.physics.domain
    assert isinstance(domain, Space)
    dims = len(domain.shape) - 1
    if path.suffix == ".h5" and is_reconstruction(path):
        image = next(iter(acquisition.output.pictures(load_reconstruction(path)[0]).values()))
    else:
        reader = _reader(path)
        if reader is None:
            image = load_image(path)
            image = one_channel(image.unsqueeze(0) if image.ndim == dims else image, dims)
        else:
            takes = inspect.signature(reader.reference).parameters
            known = options if "options" in takes else {k: v for k, v in options.items() if k in takes}
            image = reader.reference(path, **known)
    spatial = domain.shape[1:]
    batch = batch_shape(acquisition.y, acquisition.physics.range)
    leading = image.shape[: -len(spatial) - 1]
    if image.shape[-len(spatial) :] != spatial or math.prod(leading) != math.prod(batch):
        raise ShapeError(
            f"the reference {path.name} is {tuple(image.shape)}, the reconstruction will be "
            f"{(*batch, *domain.shape)}: they are not images of one scan"
        )
    image = torch.linalg.vector_norm(image, dim=-len(spatial) - 1, keepdim=True)
    return image.reshape(*batch, 1, *spatial)


def _reader(path: Path) -> Any:
    """Return the reader that recognizes a reference; None if it is an image by its name, and no reader's."""
    if not is_there(path):
        raise FileNotFoundError(2, "No such reference file", str(path))
    try:
        return reader_of(path)
    except DataError:
        if path.name.lower().endswith(IMAGES):
            return None
        raise
