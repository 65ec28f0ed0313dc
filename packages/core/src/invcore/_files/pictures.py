"""Reading pictures: PNG, TIFF and JPEG only, and no larger than the file can mean."""

from __future__ import annotations

import os

import numpy as np

from .._errors import DataError
from .memory import room_for
from .regular import regular_file

_FORMATS = ("PNG", "TIFF", "JPEG")
_PLAIN, _EXPANDS = 2**26, 100


def read_picture(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a gray or color picture, whatever its name, and start no other program on it.

    The picture library recognizes dozens of formats by their first bytes, and starts Ghostscript on one of
    them; here it is asked for three. A picture of more than 2**26 values may have 100 times the bytes of its
    file.

    Parameters
    ----------
    path : path
        A PNG, TIFF or JPEG file of one page.

    Returns
    -------
    ndarray, shape (y, x) or (y, x, 3)
        float32; 8-bit pictures, and 16-bit ones in PNG, in [0, 1], others in their own values. Transparency
        is left out.

    Raises
    ------
    DataError

    Examples
    --------
    >>> read_picture("/dev/null")
    Traceback (most recent call last):
        ...
    invcore._errors.DataError: /dev/null is a device, not a file
    """
    from PIL import Image

    path = regular_file(path)
    try:
        with Image.open(path, formats=_FORMATS) as picture:
            if (pages := getattr(picture, "n_frames", 1)) > 1:
                raise DataError(f"{path} has {pages} pages, which is no picture: save the volume as .npy")
            values = picture.width * picture.height * len(picture.getbands())
            if values > max(_PLAIN, _EXPANDS * path.stat().st_size):
                raise DataError(
                    f"{path} declares {picture.width} x {picture.height} pixels in a file of "
                    f"{path.stat().st_size} bytes: more than it can mean"
                )
            room_for(12 * values, str(path))
            gray16 = picture.format == "PNG" and picture.mode.startswith("I")
            if picture.mode in ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV", "RGBX"):
                array = np.asarray(picture.convert("RGB"))
            else:
                array = np.asarray(picture)
    except Image.UnidentifiedImageError:
        raise DataError(f"{path} cannot be read as an image: it is not PNG, TIFF or JPEG") from None
    except (OSError, SyntaxError, ValueError, TypeError, EOFError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read as an image, it is damaged: {error}") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{path} cannot be read as an image: {error}") from error
    if array.ndim == 3:
        array = array[..., :3] if array.shape[2] > 2 else array[..., 0]
    scale = 255 if array.dtype == np.uint8 else 65535 if gray16 else 1
    return np.ascontiguousarray(array, dtype=np.float32) / np.float32(scale)
