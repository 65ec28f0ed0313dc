"""Images of the sky as FITS files with world coordinates."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, DtypeError, ParameterError, ShapeError, Value
from invcore.io import atomic_path

from .fits_checks import open_fits, real

_STOKES = {"I": 1, "Q": 2, "U": 3, "V": 4}


class SkyImage(Value):
    """Image of the sky with its coordinates.

    Parameters
    ----------
    image : Tensor, shape (channel, y, x)
        Image with row 0 at the northern and column 0 at the eastern edge; the phase center is the pixel
        (ny//2, nx//2).
    pixel : float
        Size of a pixel in radians (direction cosine), as in `Interferometer`.
    phase_center : (float, float)
        Right ascension and declination (ICRS) in radians.
    frequencies : tuple of float
        Frequencies of the channels in Hz, or the middle of the band for one channel. May be empty.
    unit : str
        Unit of the image, such as ``"Jy/pixel"`` or ``"Jy/beam"``.
    beam : (float, float, float), optional
        Full widths at half maximum of the major and minor axis of the restoring beam, and the position angle
        of the major axis from north through east, in radians.
    stokes : {"I", "Q", "U", "V"}
        Stokes parameter.
    name : str
        Name of the source.

    Examples
    --------
    >>> sky = SkyImage(image=torch.zeros(1, 8, 8), pixel=1e-6, phase_center=(3.0, 0.2))
    >>> [round(float(a), 9) for a in sky.sky_coordinates(torch.tensor([4.0, 4.0]))]
    [3.0, 0.2]
    """

    image: Tensor
    pixel: float
    phase_center: tuple[float, float] = (0.0, 0.0)
    frequencies: tuple[float, ...] = ()
    unit: str = "Jy/pixel"
    beam: tuple[float, float, float] | None = None
    stokes: str = "I"
    name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.image, Tensor) or not self.image.is_floating_point():
            raise DtypeError("SkyImage: image must be a real floating-point tensor")
        if self.image.ndim != 3:
            raise ShapeError(f"SkyImage: image must be (channel, y, x), got {tuple(self.image.shape)}")
        if not (isinstance(self.pixel, float) and 0 < self.pixel < 1):
            raise ParameterError(f"SkyImage: pixel must be a size in radians, got {self.pixel!r}")
        channels = self.image.shape[0]
        if len(self.frequencies) not in (0, channels):
            raise ShapeError(f"SkyImage: {channels} channels, but {len(self.frequencies)} frequencies")
        if self.stokes not in _STOKES:
            raise ParameterError(f"SkyImage: stokes must be one of {', '.join(_STOKES)}, got {self.stokes!r}")

    def sky_coordinates(self, pixels: Tensor) -> Tensor:
        """Return right ascension and declination of pixels in radians.

        Parameters
        ----------
        pixels : Tensor, shape (..., 2)
            Row and column, not necessarily integers.

        Returns
        -------
        Tensor, shape (..., 2)
        """
        ny, nx = self.image.shape[-2:]
        p = pixels.double()
        east, north = (nx // 2 - p[..., 1]) * self.pixel, (ny // 2 - p[..., 0]) * self.pixel
        toward = (1 - east**2 - north**2).sqrt()
        ra, dec = self.phase_center
        declination = (north * math.cos(dec) + toward * math.sin(dec)).asin()
        hour = torch.atan2(east, toward * math.cos(dec) - north * math.sin(dec))
        return torch.stack([(ra + hour) % (2 * math.pi), declination], -1)


def save_fits_image(path: str | os.PathLike[str], sky: SkyImage) -> None:
    """Write an image as FITS with axes RA, DEC (SIN projection), FREQ, STOKES.

    FITS counts rows from the south, so rows are reversed.

    Parameters
    ----------
    path : path
        The file; it appears only when complete.
    sky : SkyImage
        The image.

    Raises
    ------
    DataError
        If the file cannot be written.

    References
    ----------
    M. R. Calabretta, E. W. Greisen, "Representations of celestial coordinates in FITS", Astron. Astrophys.
    395 (2002).

    Examples
    --------
    >>> import tempfile
    >>> sky = SkyImage(image=torch.rand(1, 4, 6), pixel=1e-6, phase_center=(3.0, 0.2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_fits_image(f"{folder}/a.fits", sky)
    ...     bool((read_fits_image(f"{folder}/a.fits").image == sky.image).all())
    True
    """
    from astropy.io import fits

    ny, nx = sky.image.shape[-2:]
    data = sky.image.detach().cpu().flip(-2).numpy()[None]
    hdu = fits.PrimaryHDU(np.ascontiguousarray(data))
    header, degrees = hdu.header, math.degrees(sky.pixel)
    ra, dec = (math.degrees(a) for a in sky.phase_center)
    frequencies = sky.frequencies
    steps = np.diff(frequencies)
    step = float(steps[0]) if len(steps) else 1.0
    axes: list[tuple[str, float, float, float, str]] = [
        ("RA---SIN", ra % 360, -degrees, nx // 2 + 1, "deg"),
        ("DEC--SIN", dec, degrees, ny - ny // 2, "deg"),
        ("FREQ", frequencies[0] if frequencies else 1.0, step, 1, "Hz")
        if frequencies
        else ("CHANNEL", 1.0, 1.0, 1, ""),
        ("STOKES", _STOKES[sky.stokes], 1.0, 1, ""),
    ]
    for k, (kind, value, delta, reference, unit) in enumerate(axes, 1):
        header[f"CTYPE{k}"], header[f"CRVAL{k}"], header[f"CDELT{k}"] = kind, float(value), float(delta)
        header[f"CRPIX{k}"], header[f"CUNIT{k}"] = float(reference), unit
    header["RADESYS"], header["LONPOLE"], header["LATPOLE"] = "ICRS", 180.0, dec
    if len(steps) and bool(np.abs(steps - step).max() > 1e-9 * frequencies[0]):
        header["COMMENT"] = "The channels are not equally spaced; their frequencies in Hz are FREQnnnn"
        for k, value in enumerate(frequencies, 1):
            header[f"FREQ{k:04d}"] = float(value)
    header["BUNIT"], header["BTYPE"] = sky.unit, "Intensity"
    if sky.name:
        header["OBJECT"] = "".join(c if 32 <= ord(c) < 127 else "?" for c in sky.name)
    if sky.beam is not None:
        header["BMAJ"], header["BMIN"], header["BPA"] = (math.degrees(a) for a in sky.beam)
    with atomic_path(path) as target:
        hdu.writeto(target, overwrite=True)


def read_fits_image(path: str | os.PathLike[str]) -> SkyImage:
    """Read a FITS image of the sky; SIN projection, north up, square pixels.

    If the reference pixel is not (ny//2, nx//2), zeros are added at the edges until it is.

    Parameters
    ----------
    path : path

    Returns
    -------
    SkyImage

    Raises
    ------
    DataError
        If the file is damaged, is not an image of the sky, or has another projection.
    """
    path = Path(path)
    with open_fits(path, "a FITS image") as file:
        return _sky(path, file[0])


def _sky(path: Path, hdu: Any) -> SkyImage:
    header = hdu.header
    if hdu.data is None or header["NAXIS"] < 2:
        raise DataError(f"{path}: the first part holds no image")
    kinds = [str(header.get(f"CTYPE{k}", "")).strip().upper() for k in range(1, header["NAXIS"] + 1)]
    if kinds[:2] != ["RA---SIN", "DEC--SIN"]:
        raise DataError(f"{path}: expected the axes RA---SIN and DEC--SIN first, got {kinds[:2]}")
    if any(header.get(key, 0.0) for key in ("PC1_2", "PC2_1", "PC01_02", "PC02_01", "CD1_1", "CD1_2")):
        raise DataError(f"{path}: the image is rotated against north; rotate it first")
    if header.get("CROTA2", 0.0):
        raise DataError(f"{path}: the image is rotated against north; rotate it first")
    values = np.asarray(hdu.data, dtype=np.float64 if abs(header["BITPIX"]) == 64 else np.float32)
    extra = kinds[2:]
    lengths = {kind: int(header[f"NAXIS{k}"]) for k, kind in enumerate(extra, 3)}
    if any(n != 1 for kind, n in lengths.items() if kind not in ("FREQ", "CHANNEL")):
        raise DataError(f"{path}: more than one pixel along {lengths}; only the frequency may have several")
    channels = math.prod(lengths.values())
    values = values.reshape(channels, *values.shape[-2:])
    if not np.isfinite(values).all():
        raise DataError(f"{path}: the image has pixels that are not finite")
    across, up = real(path, header, "CDELT1"), real(path, header, "CDELT2")
    if not (0 < up < 57) or (abs(across) != up and abs(abs(across) / up - 1) > 1e-6):
        raise DataError(f"{path}: pixels must be square, got {across} by {up} degrees")
    if across > 0:  # west is left
        values = values[..., ::-1]
    image = torch.from_numpy(np.ascontiguousarray(values[:, ::-1]))
    ny, nx = image.shape[-2:]
    column = real(path, header, "CRPIX1") - 1
    at = [ny - real(path, header, "CRPIX2"), column if across < 0 else nx - 1 - column]
    if any(abs(a - round(a)) > 1e-4 or abs(a) > 1e5 for a in at):
        raise DataError(f"{path}: the reference pixel lies between pixels or far outside: {at}")
    image = _centered(image, round(at[0]), round(at[1]))
    frequencies: tuple[float, ...] = ()
    if "FREQ" in extra:
        k = 3 + extra.index("FREQ")
        start, step, pixel = (
            real(path, header, f"{key}{k}", d) for key, d in (("CRVAL", 0), ("CDELT", 0), ("CRPIX", 1))
        )
        frequencies = tuple(
            real(path, header, f"FREQ{i + 1:04d}", start + (i + 1 - pixel) * step) for i in range(channels)
        )
    stokes = "I"
    if "STOKES" in extra:
        code = round(real(path, header, f"CRVAL{3 + extra.index('STOKES')}", 1))
        stokes = next((name for name, c in _STOKES.items() if c == code), "I")
    beam = None
    if all(key in header for key in ("BMAJ", "BMIN", "BPA")):
        major, minor, angle = (math.radians(real(path, header, key)) for key in ("BMAJ", "BMIN", "BPA"))
        beam = (major, minor, angle)
    return SkyImage(
        image=image,
        pixel=math.radians(up),
        phase_center=(math.radians(real(path, header, "CRVAL1")), math.radians(real(path, header, "CRVAL2"))),
        frequencies=frequencies,
        unit=str(header.get("BUNIT", "")).strip(),
        beam=beam,
        stokes=stokes,
        name=str(header.get("OBJECT", "")).strip(),
    )


def _centered(image: Tensor, row: int, column: int) -> Tensor:
    """Pad the image with zeros so that (row, column) becomes (ny//2, nx//2)."""
    pads = []
    for at, n in ((column, image.shape[-1]), (row, image.shape[-2])):
        before = max(0, n - 1 - 2 * at, -at)
        after = max(0, 2 * (at + before) - (n + before), at + 1 - n)
        while (n + before + after) // 2 != at + before:
            before, after = (
                (before + 1, after) if (n + before + after) // 2 > at + before else (before, after + 1)
            )
        pads += [before, after]
    return torch.nn.functional.pad(image, pads)
