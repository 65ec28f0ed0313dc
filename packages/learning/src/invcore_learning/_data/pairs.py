"""Public sets of real measurements, most of them with images of the same scenes to compare with."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from invcore import DataError, ParameterError
from invcore.io import load_image

from .images import colored, natural
from .matlab import matlab_array
from .sample import Sample

FMD_KINDS = (
    *(f"{microscope}_BPAE_{dye}" for microscope in ("Confocal", "TwoPhoton", "WideField") for dye in "BGR"),
    "Confocal_FISH",
    "Confocal_MICE",
    "TwoPhoton_MICE",
)
_FRAMES = {(1, 10): 198, (1, 12): 198, (2, 10): 198, (2, 11): 200, (3, 7): 198, (3, 12): 198, (4, 12): 198}
"""Sharp frames of a picture and a motion in the set of Köhler; 199 of all others."""
_BITS = {
    "gaofen-1": 10,
    "ikonos": 11,
    "quickbird": 11,
    "worldview-2": 11,
    "worldview-3": 11,
    "worldview-4": 11,
}


class _Pair(NamedTuple):
    """The files of a measurement: of the image, if there is one, and of the data."""

    x: Path | None
    y: Path


class _Measured(ABC):
    """Base of the sets below: entries are `Sample`, read when they are asked for."""

    root: Path
    files: list[_Pair]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.root)!r}, {len(self)} measurements)"

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Any:
        """Read a measurement."""
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"measurement {index} of {n}")
        return self._read(self.files[index % n])

    @abstractmethod
    def _read(self, pair: _Pair) -> Any:
        """The entry of these files."""


class FMD(_Measured):
    r"""Noisy images of fluorescence microscopes beside the mean of 50 of the same view [1]_.

    Entries are `Sample` with x, the mean, and y, one exposure or the mean of a few; both in [0, 1], shape
    (1, 512, 512). The noise is Poisson-Gaussian, of a level that differs between microscopes:
    ``Physics(Identity((1, 512, 512)), PoissonGaussianNoise(gain=…, sigma=…))``, and less by 1/``averages``.
    The authors test on view 19 and train on the others.

    The files are shared at https://github.com/yinhaoz/denoising-fluorescence, one archive for each kind;
    neither a license nor hashes are published with them, so nothing is downloaded here.

    Parameters
    ----------
    root : str or Path
        The folder with those of the kinds: ``root/Confocal_FISH/raw/1/….png``, ``…/gt/1/avg50.png``.
    kinds : sequence of str, optional
        Microscope and sample, such as ``"TwoPhoton_MICE"``; by default those of the twelve that are there.
    averages : sequence of int
        How many exposures y is the mean of: 1, 2, 4, 8, 16.
    views : sequence of int
        The fields of view, 1 to 20.
    crop : int, optional
        Give the square of this side in the middle of x and y.

    Raises
    ------
    DataError
        If files are missing; the message says where they are to be had.
    ParameterError

    References
    ----------
    .. [1] Y. Zhang, Y. Zhu, E. Nichols, Q. Wang, S. Zhang, C. Smith, S. Howard, A Poisson-Gaussian denoising
       dataset with real fluorescence microscopy images, CVPR 2019.

    Examples
    --------
    >>> FMD("no-such-folder")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    invcore._errors.DataError: no-such-folder holds no folder such as Confocal_BPAE_B. Get it from ...
    """

    _source = "https://github.com/yinhaoz/denoising-fluorescence (no license is stated)"

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        kinds: Sequence[str] | None = None,
        averages: Sequence[int] = (1,),
        views: Sequence[int] = tuple(range(1, 21)),
        crop: int | None = None,
    ) -> None:
        self.root, self.crop = Path(root), crop
        _among("FMD", "kinds", kinds or (), FMD_KINDS)
        _among("FMD", "averages", averages, (1, 2, 4, 8, 16))
        _among("FMD", "views", views, range(1, 21))
        found = [kind for kind in FMD_KINDS if (self.root / kind).is_dir()] if kinds is None else list(kinds)
        if not found:
            raise _missing(self.root, f"folder such as {FMD_KINDS[0]}", self._source)
        self.files = []
        for kind in found:
            for count in averages:
                for view in views:
                    folder = self.root / kind / ("raw" if count == 1 else f"avg{count}") / str(view)
                    mean = self.root / kind / "gt" / str(view) / "avg50.png"
                    noisy = sorted(folder.glob("*.png"), key=natural)
                    if not noisy or not mean.is_file():
                        what = mean if noisy else folder / "*.png"
                        raise _missing(self.root, what.relative_to(self.root).as_posix(), self._source)
                    self.files += [_Pair(mean, path) for path in noisy]

    def _read(self, pair: _Pair) -> Sample:
        return _pictures(pair, "gray", self.crop)


class Kohler(_Measured):
    """Photographs blurred by real camera shake beside sharp frames of the same motion, played back [1]_.

    Entries are `Sample` with y, the blurred photograph, and x, a sharp frame; both (3, 800, 800) in [0, 1]:
    four pictures with twelve motions each, those of a picture one after the other. The frames of a motion
    are all sharp and differ by shifts and turns, so a metric is the best over them: see ``frame``.

    The files are those of the benchmark, http://people.kyb.tuebingen.mpg.de/rolfk/BenchmarkECCV2012/:
    ``BlurryImages.zip`` and ``GroundTruth_pngs_Image1.zip`` … ``4``. No license is stated, so nothing is
    downloaded here.

    Parameters
    ----------
    root : str or Path
        Where they are unpacked: ``root/Blurry1_1.png`` (or in ``BlurryImages``),
        ``root/Image1/Kernel1/GroundTruth1_1_1.png``.
    frame : {"middle"} or int
        Which frame is x: the middle one, or one by its number from 1.
    crop : int, optional
        Give the square of this side in the middle of x and y.

    Raises
    ------
    DataError
        If files are missing; the message says where they are to be had.
    ParameterError

    References
    ----------
    .. [1] R. Köhler, M. Hirsch, B. Mohler, B. Schölkopf, S. Harmeling, Recording and playback of camera
       shake: benchmarking blind deconvolution with a real-world database, ECCV 2012.

    Examples
    --------
    >>> Kohler("no-such-folder")
    Traceback (most recent call last):
        ...
    invcore._errors.DataError: no-such-folder holds no Blurry1_1.png. Get it from http://people.kyb...
    """

    _source = "http://people.kyb.tuebingen.mpg.de/rolfk/BenchmarkECCV2012/ (no license is stated)"

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        frame: Literal["middle"] | int = "middle",
        crop: int | None = None,
    ) -> None:
        whole = isinstance(frame, int) and not isinstance(frame, bool) and frame >= 1
        if frame != "middle" and not whole:
            raise ParameterError(f"Kohler: frame must be 'middle' or a number from 1, got {frame!r}")
        self.root, self.crop, self.files = Path(root), crop, []
        for picture in range(1, 5):
            for motion in range(1, 13):
                count = _FRAMES.get((picture, motion), 199)
                number = (count + 1) // 2 if frame == "middle" else int(frame)
                if number > count:
                    raise ParameterError(
                        f"Kohler: picture {picture} with motion {motion} has {count} frames, there is none "
                        f"of number {number}"
                    )
                blurred = f"Blurry{picture}_{motion}.png"
                sharp = f"Image{picture}/Kernel{motion}/GroundTruth{picture}_{motion}_{number}.png"
                places = (self.root / blurred, self.root / "BlurryImages" / blurred)
                y = next((path for path in places if path.is_file()), None)
                if y is None or not (self.root / sharp).is_file():
                    raise _missing(self.root, blurred if y is None else sharp, self._source)
                self.files.append(_Pair(self.root / sharp, y))

    def _read(self, pair: _Pair) -> Sample:
        return _pictures(pair, "rgb", self.crop)


class NBU(_Measured):
    """Images of cities by six satellites: several bands beside a sharper one of all light [1]_.

    Entries are `Sample` without an image, with the data ``(multispectral, panchromatic)`` of shapes
    (band, 256, 256) and (1, 1024, 1024): real data for `invcore.operators.pansharpen` with
    ``domain=(band, 1024, 1024)``. Without ``pan`` they are images (band, 256, 256). Numbers are divided by
    the largest that the detector gives, 1023 or 2047. Bands are blue, green, red and near infrared, or for
    WorldView-2 and 3 coastal, blue, green, yellow, red, red edge and two of near infrared.

    The set is described at https://doi.org/10.1109/MGRS.2020.2976696 and shared by its authors for
    research, through drives without hashes, so nothing is downloaded here. Reading takes SciPy.

    Parameters
    ----------
    root : str or Path
        The folder of a satellite, or the one above: ``root/ikonos/MS_256/1.mat``, ``…/PAN_1024/1.mat``.
    satellite : {"gaofen-1", "ikonos", "quickbird", "worldview-2", "worldview-3", "worldview-4"}
    pan : bool
        Whether to give the panchromatic image, too.

    Raises
    ------
    DataError
        If files are missing, the message says where they are to be had; when one is read, if it is damaged.
    ParameterError

    References
    ----------
    .. [1] X. Meng, Y. Xiong, F. Shao, H. Shen, W. Sun, G. Yang, Q. Yuan, R. Fu, H. Zhang, A large-scale
       benchmark data set for evaluating pansharpening performance, IEEE Geosci. Remote Sens. Mag. 9 (2021).

    Examples
    --------
    >>> NBU("no-such-folder", satellite="ikonos")
    Traceback (most recent call last):
        ...
    invcore._errors.DataError: no-such-folder holds no MS_256/*.mat. Get it from https://doi.org/...
    """

    _source = "https://doi.org/10.1109/MGRS.2020.2976696 (for research)"

    def __init__(self, root: str | os.PathLike[str], *, satellite: str, pan: bool = True) -> None:
        _among("NBU", "satellites", (satellite,), tuple(_BITS))
        own = Path(root) / satellite
        self.root, self.satellite, self.pan = own if own.is_dir() else Path(root), satellite, pan
        bands = {path.name: path for path in (self.root / "MS_256").glob("*.mat")}
        sharp = {path.name: path for path in (self.root / "PAN_1024").glob("*.mat")}
        if not bands:
            raise _missing(self.root, "MS_256/*.mat", self._source)
        if pan and bands.keys() != sharp.keys():
            name = min(bands.keys() ^ sharp.keys())
            folder = "MS_256" if name in sharp else "PAN_1024"
            raise _missing(self.root, f"{folder}/{name}", self._source)
        names = sorted(bands, key=lambda name: natural(Path(name)))
        self.files = [_Pair(bands[name], sharp[name] if pan else bands[name]) for name in names]

    def _read(self, pair: _Pair) -> Any:
        assert pair.x is not None
        scale = 2 ** _BITS[self.satellite] - 1
        bands = matlab_array(pair.x, "imgMS", 3).movedim(-1, 0).contiguous() / scale
        if not self.pan:
            return bands
        return Sample(None, (bands, matlab_array(pair.y, "imgPAN", 2)[None] / scale), {})


def _pictures(pair: _Pair, color: Literal["gray", "rgb"], crop: int | None) -> Sample:
    """Image and data, which are of one size."""
    assert pair.x is not None
    x, y = (colored(load_image(path), color, str(path)) for path in (pair.x, pair.y))
    if x.shape != y.shape:
        raise DataError(
            f"{pair.y} has the shape {tuple(y.shape)}, {pair.x} {tuple(x.shape)}: they must be alike"
        )
    if crop is not None:
        if not 1 <= crop <= min(x.shape[-2:]):
            raise DataError(f"{pair.y} has {tuple(x.shape[-2:])} pixels: no square of side {crop} fits")
        top, left = ((n - crop) // 2 for n in x.shape[-2:])
        x, y = (t[..., top : top + crop, left : left + crop].contiguous() for t in (x, y))
    return Sample(x, y, {})


def _among(name: str, what: str, given: Sequence[Any], allowed: Sequence[Any]) -> None:
    wrong = [one for one in given if one not in allowed]
    if isinstance(given, str) or wrong:
        shown = ", ".join(map(str, allowed))
        raise ParameterError(
            f"{name}: {what} are among {shown}; got {given if isinstance(given, str) else wrong[0]!r}"
        )


def _missing(folder: Path, what: str, source: str) -> DataError:
    return DataError(
        f"{folder} holds no {what}. Get it from {source}, and give the folder that it unpacks to; no archive "
        "may be fetched by a script."
    )
