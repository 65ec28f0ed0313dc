"""Pictures and files of a deconvolved specimen, and of aberrations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invcore.io import Acquisition, Output

from .._pupils.fit import PupilEstimate
from .._pupils.plots import plot_fit


@dataclass(frozen=True)
class SpecimenOutput(Output):
    """The specimen without the border that lies beyond the stack, beside the data.

    Parameters
    ----------
    window : tuple of slice
        The voxels of the image that the stack shows.
    background : float
        Counts without light.

    Examples
    --------
    >>> output = SpecimenOutput((slice(1, 3), slice(1, 3)), 0.0)
    >>> output.pictures(torch.ones(1, 4, 4))["Specimen"].shape
    torch.Size([1, 2, 2])
    """

    window: tuple[slice, ...]
    background: float

    def pictures(self, x: Tensor) -> Mapping[str, Tensor]:
        """Return the window of the image."""
        index: Any = (..., *self.window)
        inside = x[index]
        return {"Specimen": inside}

    def beside(self, acquisition: Acquisition) -> Mapping[str, Tensor]:
        """Return the measured stack."""
        return {"Data": acquisition.y}


@dataclass(frozen=True)
class AberrationOutput(Output):
    """Data beside the model at several depths; files ``aberrations.txt`` and ``aberrations.png``.

    Parameters
    ----------
    estimate : callable
        Maps the unknowns of a `BeadStack` to a `PupilEstimate`.
    """

    fit_scale = False
    estimate: Callable[[Tensor], PupilEstimate]

    def pictures(self, x: Tensor) -> Mapping[str, Tensor]:
        """Return the planes of the model side by side, and the wavefront in nanometers."""
        found = self.estimate(x)
        return {
            "Model, square root of planes": _row(found.model),
            "Wavefront error in nm": 1e9 * found.wavefront()[None],
        }

    def beside(self, acquisition: Acquisition) -> Mapping[str, Tensor]:
        """Return the planes of the data side by side."""
        return {"Data, square root of planes": _row(acquisition.y)}

    def write(self, folder: Path, x: Tensor, record: Mapping[str, Any]) -> Mapping[str, Path]:
        """Write the table of aberrations, and the figure of `plot_fit`."""
        from invcore.report import save_figure

        found = self.estimate(x)
        files = {"aberrations": folder / "aberrations.txt", "aberrations_figure": folder / "aberrations.png"}
        files["aberrations"].write_text(found.table() + "\n", encoding="utf-8")
        save_figure(plot_fit(found), files["aberrations_figure"])
        return files


def _row(stack: Tensor) -> Tensor:
    """Five planes of (plane, y, x) beside each other, (1, y, 5 x)."""
    chosen = torch.linspace(0, len(stack) - 1, min(5, len(stack))).round().long()
    return torch.cat([stack[int(k)] for k in chosen], -1).clamp_min(0).sqrt()[None]
