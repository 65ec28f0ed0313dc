"""Output of ``invcore reconstruct`` for images of the sky."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from invcore import InvcoreError, Physics
from invcore.io import Output

from .._data.visibilities import Visibilities
from .._imaging.restore import Restored, restore
from .fits_image import SkyImage, save_fits_image

_NEGATIVE = 0.05
"""Share of negative flux that is worth a word."""


class SkyOutput(Output):
    """Files and pictures of an image of the sky.

    ``invcore reconstruct`` writes ``image.fits`` with world coordinates and, for visibilities,
    ``restored.fits`` and ``residual.fits`` in Jy/beam (`restore`).

    Parameters
    ----------
    pixel : float
        Size of a pixel in radians.
    phase_center : (float, float)
        Right ascension and declination in radians.
    frequencies : tuple of float
        Frequencies of the data in Hz; an image of one channel gets their mean.
    stokes, name, unit : str
        Stokes parameter, name of the source, and unit of the image.
    data : (Tensor, Physics), optional
        The visibilities, and the physics with their `Interferometer`.
    """

    fit_scale: ClassVar[bool] = False

    def __init__(
        self,
        *,
        pixel: float,
        phase_center: tuple[float, float] = (0.0, 0.0),
        frequencies: tuple[float, ...] = (),
        stokes: str = "I",
        name: str = "",
        unit: str = "Jy/pixel",
        data: tuple[Tensor, Physics] | None = None,
    ) -> None:
        self.pixel, self.phase_center, self.frequencies = pixel, phase_center, frequencies
        self.stokes, self.name, self.unit, self.data = stokes, name, unit, data

    @classmethod
    def of(
        cls, vis: Visibilities, pixel: float, stokes: str, *, data: tuple[Tensor, Physics] | None = None
    ) -> SkyOutput:
        """Return the output of an image made from ``vis``, with pixels of ``pixel`` radians."""
        return cls(
            pixel=pixel,
            phase_center=vis.phase_center,
            frequencies=tuple(float(f) for f in vis.frequencies),
            stokes=stokes,
            name=vis.source,
            data=data,
        )

    def pictures(self, x: Tensor) -> Mapping[str, Tensor]:
        """Return the image in its unit and, for visibilities, the restored image and the residual."""
        shown = {f"Brightness in {self.unit}": x}
        restored = self._restored(x)
        if restored is not None:
            shown |= {"Restored in Jy/beam": restored.image, "Residual in Jy/beam": restored.residual}
        return shown

    def remarks(self, x: Tensor) -> tuple[str, ...]:
        """Say if the image is empty, or if more than 5 % of the flux is negative, which Stokes I never is."""
        if self.data is None:
            return ()
        if not bool(x.any()):
            return (
                "the model is empty: nothing in the dirty image rises above the noise that the weights of "
                "the file state",
            )
        if self.stokes != "I":
            return ()
        negative, positive = (float(part.sum()) for part in (-x.clamp(max=0), x.clamp(min=0)))
        if negative <= _NEGATIVE * positive:
            return ()
        flux = positive - negative
        return (
            f"negative pixels hold {negative:.3g} Jy, positive ones {positive:.3g} Jy (total {flux:.3g} Jy), "
            "although Stokes I is nowhere negative: pixels too large for a point between them, an extended "
            "part that no baseline measures, or a solver or prior that does not suit",
        )

    def write(self, folder: Path, x: Tensor, record: Mapping[str, Any]) -> Mapping[str, Path]:
        """Write ``image.fits`` and the other images; for a batch ``image-1.fits``, ``image-2.fits``, ..."""
        files = self._write(folder, "image", x, self.unit, None)
        restored = self._restored(x)
        if restored is not None:
            beam = restored.beam.major, restored.beam.minor, restored.beam.angle
            files |= self._write(folder, "restored", restored.image, "Jy/beam", beam)
            files |= self._write(folder, "residual", restored.residual, "Jy/beam", beam)
        return files

    def _restored(self, x: Tensor) -> Restored | None:
        if self.data is None:
            return None
        try:
            return restore(x, *self.data)
        except InvcoreError as error:  # keep the image itself
            warnings.warn(f"there is no restored image: {error}", RuntimeWarning, stacklevel=2)
            return None

    def _write(
        self, folder: Path, what: str, x: Tensor, unit: str, beam: tuple[float, float, float] | None
    ) -> dict[str, Path]:
        images = x.real.reshape(-1, *x.shape[-3:])
        files = {}
        for k, image in enumerate(images, 1):
            role = f"{what}.fits" if len(images) == 1 else f"{what}-{k}.fits"
            frequencies = self.frequencies
            if len(frequencies) != image.shape[0]:
                frequencies = (
                    (sum(frequencies) / len(frequencies),) if frequencies and image.shape[0] == 1 else ()
                )
            sky = SkyImage(
                image=image,
                pixel=self.pixel,
                phase_center=self.phase_center,
                frequencies=frequencies,
                unit=unit,
                beam=beam,
                stokes=self.stokes,
                name=self.name,
            )
            files[role] = folder / role
            save_fits_image(files[role], sky)
        return files
