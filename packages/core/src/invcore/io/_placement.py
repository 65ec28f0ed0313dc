"""Where an image lies in the patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._errors import DataError


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where an image lies in the patient, in DICOM's coordinates: left, posterior, superior.

    Parameters
    ----------
    center : tuple of float
        Position, in meters, of the voxel at index n // 2 of each axis.
    directions : tuple of tuple of float
        Three unit vectors at right angles: along the spatial axes of the image, in their order, and of a
        plane its normal.
    thickness : float
        Of a plane, in meters; 0 if not known.

    Raises
    ------
    DataError
        If the directions are not at right angles, or a number is not finite.

    Examples
    --------
    >>> axial = Placement(center=(0.0, 0.0, 0.1), directions=((0, 1, 0), (1, 0, 0), (0, 0, 1)))
    >>> axial.affine((4, 4), (0.002, 0.001))[:3, 3]
    array([0.002, 0.004, 0.1  ])
    """

    center: tuple[float, ...]
    directions: tuple[tuple[float, ...], ...]
    thickness: float = 0.0

    def __post_init__(self) -> None:
        axes = np.array(self.directions, dtype=np.float64)
        numbers = np.array([*self.center, self.thickness], dtype=np.float64)
        if axes.shape != (3, 3) or len(self.center) != 3 or not np.isfinite(numbers).all():
            raise DataError(
                f"a placement has a center and three directions of three numbers each, got {self.center} and "
                f"{self.directions}"
            )
        if not np.allclose(axes @ axes.T, np.eye(3), atol=1e-3):
            raise DataError(f"the directions of an image are not at right angles: {self.directions}")

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Placement | None:
        """Return the placement that ``metadata["placement"]`` states; None if there is none."""
        given = metadata.get("placement")
        if given is None:
            return None
        return cls(
            center=tuple(given["center_m"]),
            directions=tuple(tuple(axis) for axis in given["directions"]),
            thickness=float(given.get("thickness_m", 0.0)),
        )

    def affine(self, shape: Sequence[int], voxel: Sequence[float]) -> np.ndarray:
        """Return the matrix (4, 4) from the indices of NIfTI, (x, y, z), to the patient in its own axes.

        NIfTI's coordinates are right, anterior, superior: the first two of DICOM's change their sign. A plane
        is z = 0. The unit is that of the voxel, which in `save_nifti` is the millimeter.

        Parameters
        ----------
        shape : sequence of int
            Of the spatial axes.
        voxel : sequence of float
            Along them, in meters.
        """
        steps = [np.array(d) * h for d, h in zip(self.directions, voxel)]
        corner = np.array(self.center) - sum(n // 2 * step for n, step in zip(shape, steps))
        if len(steps) == 2:  # (y, x): a plane's normal is z
            normal = np.array(self.directions[2]) * (self.thickness or max(voxel))
            steps = [normal, *steps]
        matrix = np.eye(4)
        matrix[:3, :3] = np.stack(steps[::-1], -1)
        matrix[:3, 3] = corner
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix + 0.0
