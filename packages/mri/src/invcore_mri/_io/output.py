"""What is shown beside a reconstruction from coils."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from invcore.io import Acquisition, Output

from .._sampling.density import pipe_menon_density
from .._sampling.fft import centered_ifft
from .._sampling.nonuniform import NUFFTSense
from .._sampling.operators import Sense


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

    def beside(self, acquisition: Acquisition) -> Mapping[str, Tensor]:
        return {**super().beside(acquisition), **self.instrument(acquisition)}

    def instrument(self, acquisition: Acquisition) -> Mapping[str, Tensor]:
        """Images of the coil maps, of the sampling and of its point-spread function."""
        operator = acquisition.physics.operator
        assert isinstance(operator, Sense)
        mask = operator.mask.abs().reshape(-1, *operator.mask.shape[-self.spatial_dims :])[:1]
        mask = mask.expand(1, *operator.shape)
        response = centered_ifft(mask + 0j, self.spatial_dims)
        return {"Coil maps": self.maps(operator), "Sampling": mask, _RESPONSE: _decibels(response)}

    def maps(self, operator: Sense | NUFFTSense) -> Tensor:
        """Magnitude of the maps of the first set and slice, (coil, 1, *spatial); four of a volume."""
        spatial = operator.maps.shape[-self.spatial_dims :]
        maps = operator.maps.reshape(-1, operator.coils, *spatial)[0].abs().unsqueeze(1)
        return maps if self.spatial_dims == 2 else maps[:4]

    def summary(self, acquisition: Acquisition) -> str:
        coils, acceleration = (acquisition.metadata[fact] for fact in ("coils", "acceleration"))
        return f"{super().summary(acquisition)}, {coils} coils, acceleration {acceleration:.2f}"


@dataclass(frozen=True, eq=False)
class NonuniformOutput(CoilOutput):
    """Shows the gridded image, and the middle of the field of view larger.

    Parameters
    ----------
    density : Tensor, shape (sample,), or None
        Area of k-space that each sample stands for, where it is known; else found by iteration when it is
        needed.
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
        return _GRIDDED, self._gridded(acquisition)

    def beside(self, acquisition: Acquisition) -> Mapping[str, Tensor]:
        image = self._gridded(acquisition)
        middle = {f"Middle of the {_GRIDDED.lower()}": _middle(image, self.spatial_dims)}
        return {_GRIDDED: image, **middle, **self.instrument(acquisition)}

    def instrument(self, acquisition: Acquisition) -> Mapping[str, Tensor]:
        operator = acquisition.physics.operator
        assert isinstance(operator, NUFFTSense)
        half = torch.tensor(operator.shape, device=operator.trajectory.device) // 2
        cells = (operator.trajectory.round().long() + half).flatten(0, -2)
        cells = cells[((cells >= 0) & (cells < 2 * half)).all(-1)]
        sampling = torch.zeros(1, *operator.shape, device=cells.device)
        sampling[0].index_put_(tuple(cells.T), torch.ones(len(cells), device=cells.device), accumulate=True)
        alone = NUFFTSense(
            maps=torch.ones(1, *operator.shape, dtype=operator.maps.dtype, device=cells.device),
            trajectory=operator.trajectory,
            spatial_dims=self.spatial_dims,
            eps=operator.eps,
        )
        response = alone.H(self._weights(operator)[None] + 0j)
        return {
            "Coil maps": self.maps(operator),
            "Samples in each cell of a grid": sampling,
            _RESPONSE: _decibels(response),
        }

    def _gridded(self, acquisition: Acquisition) -> Tensor:
        """Aᴴ of the data, each sample weighted by the area of k-space that it stands for."""
        operator = acquisition.physics.operator
        assert isinstance(operator, NUFFTSense)
        return operator.H(acquisition.y * self._weights(operator))

    def _weights(self, operator: NUFFTSense) -> Tensor:
        if self.density is not None:
            return self.density.to(operator.trajectory)
        return pipe_menon_density(operator.trajectory, operator.shape, steps=10)


_RESPONSE = "Point-spread function: dB above -60"
_GRIDDED = "Gridded image (no reconstruction)"


def _decibels(response: Tensor) -> Tensor:
    """Magnitude relative to its peak in decibels, from -60 on, which are 0."""
    size = response.abs()
    return (20 * (size / size.amax().clamp_min(1e-38)).clamp_min(1e-3).log10() + 60).float()


def _middle(x: Tensor, dims: int) -> Tensor:
    """The middle half of each side: readouts cover twice the field of view as a rule."""
    for axis in range(-dims, 0):
        n = x.shape[axis]
        x = x.narrow(axis, n // 2 - n // 4, max(1, n // 2))
    return x
