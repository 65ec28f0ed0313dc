"""What is shown beside a reconstruction from coils."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from invcore.io import Acquisition, Output

from .._sampling.nonuniform import NUFFTSense


@dataclass(frozen=True)
class CoilOutput(Output):
    """Names the coils and the acceleration; shows the images of several sets of maps as one, and each."""

    nifti = True

    sets: int = 1
    spatial_dims: int = 2

    def pictures(self, x: Tensor) -> Mapping[str, Tensor]:
        if self.sets == 1:
            return {"Reconstruction": x}
        axis = -self.spatial_dims - 1
        shown = {"Root sum of squares of the sets": torch.linalg.vector_norm(x, dim=axis, keepdim=True)}
        return shown | {f"Set {i + 1}": x.narrow(axis, i, 1) for i in range(self.sets)}

    def summary(self, acquisition: Acquisition) -> str:
        coils, acceleration = (acquisition.metadata[fact] for fact in ("coils", "acceleration"))
        return f"{super().summary(acquisition)}, {coils} coils, acceleration {acceleration:.2f}"


@dataclass(frozen=True, eq=False)
class NonuniformOutput(CoilOutput):
    """Shows the gridded image, and the middle of the field of view larger.

    Parameters
    ----------
    density : Tensor, shape (sample,), or None
        Area of k-space that each sample stands for, where it is known.
    """

    density: Tensor | None = None

    def summary(self, acquisition: Acquisition) -> str:
        facts = acquisition.metadata
        pixels = " x ".join(map(str, facts["shape"]))
        return (
            f"{facts['shots']} readouts, {facts['samples']} samples of {facts['coils']} coils for {pixels} "
            f"pixels, noise {facts['sigma']:.3g}"
        )

    def pictures(self, x: Tensor) -> Mapping[str, Tensor]:
        shown = dict(super().pictures(x))
        if self.sets == 1 and min(x.shape[-self.spatial_dims :]) >= 64:
            shown["Middle of the field of view"] = _middle(x, self.spatial_dims)
        return shown

    def first(self, acquisition: Acquisition) -> tuple[str, Tensor] | None:
        return (_GRIDDED, self._gridded(acquisition)) if self.density is not None else None

    def beside(self, acquisition: Acquisition) -> Mapping[str, Tensor]:
        if self.density is None:
            return super().beside(acquisition)
        image = self._gridded(acquisition)
        return {_GRIDDED: image, f"Middle of the {_GRIDDED.lower()}": _middle(image, self.spatial_dims)}

    def _gridded(self, acquisition: Acquisition) -> Tensor:
        """Aᴴ of the data, each sample weighted by its area."""
        assert self.density is not None
        operator: NUFFTSense = acquisition.physics.operator
        return operator.H(acquisition.y * self.density.to(acquisition.y.real))


_GRIDDED = "Gridded image (no reconstruction)"


def _middle(x: Tensor, dims: int) -> Tensor:
    """The middle half of each side: readouts cover twice the field of view as a rule."""
    for axis in range(-dims, 0):
        n = x.shape[axis]
        x = x.narrow(axis, n // 2 - n // 4, max(1, n // 2))
    return x
