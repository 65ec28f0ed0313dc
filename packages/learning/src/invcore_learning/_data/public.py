"""Public sets of images: where they come from, what may be done with them, and reading them from a disk."""

from __future__ import annotations

import os
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from invcore import DataError, ParameterError

from .images import ENDINGS, ImageFolder


@dataclass(frozen=True)
class Source:
    """A public set of images.

    Attributes
    ----------
    title, page, license : str
    splits : dict of str to (str, int)
        The folders of each split, of which the first that exists is read, and its number of images.
    url, known_hash : str, optional
        An archive that may be downloaded, with its pinned hash (``"md5:…"``).
    """

    title: str
    page: str
    license: str
    splits: dict[str, tuple[tuple[str, ...], int]]
    url: str | None = None
    known_hash: str | None = None


def _flat(name: str, count: int) -> dict[str, tuple[tuple[str, ...], int]]:
    return {"all": ((name, f"{name}_HR", name.lower(), "."), count)}


_BSDS = "BSDS500/data/images", "BSDS500-master/BSDS500/data/images", "images", "."

SOURCES: dict[str, Source] = {
    "bsds500": Source(
        "Berkeley segmentation data set",
        "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html",
        "non-commercial research and education",
        {
            split: (tuple(f"{folder}/{split}" for folder in _BSDS), count)
            for split, count in (("train", 200), ("val", 100), ("test", 200))
        },
        "https://github.com/BIDS/BSDS500/archive/refs/heads/master.zip",
        "md5:7bfe17302a219367694200a61ce8256c",
    ),
    "div2k": Source(
        "DIV2K: 2K images for super-resolution",
        "https://data.vision.ee.ethz.ch/cvl/DIV2K/",
        "academic research",
        {"train": (("DIV2K_train_HR",), 800), "val": (("DIV2K_valid_HR",), 100)},
    ),
    "kodak24": Source(
        "Kodak lossless true color images",
        "https://r0k.us/graphics/kodak/",
        "unrestricted use",
        {"all": (("Kodak24", "kodak", "PhotoCD_PCD0992", "."), 24)},
    ),
    "mcmaster": Source(
        "McMaster images for demosaicing",
        "https://www4.comp.polyu.edu.hk/~cslzhang/CDM_Dataset.htm",
        "research",
        {"all": (("McM", "McMaster", "."), 18)},
    ),
    "set5": Source("Set5", "https://doi.org/10.5244/C.26.135", "research", _flat("Set5", 5)),
    "set12": Source("Set12", "https://github.com/cszn/DnCNN", "research", _flat("Set12", 12)),
    "set14": Source("Set14", "https://doi.org/10.1007/978-3-642-27413-8_47", "research", _flat("Set14", 14)),
    "urban100": Source(
        "Urban100", "https://doi.org/10.1109/CVPR.2015.7299156", "research", _flat("Urban100", 100)
    ),
}
"""The sets that `public_images` reads, by name."""


def public_images(
    name: str,
    root: str | os.PathLike[str],
    *,
    split: str | None = None,
    color: Literal["gray", "rgb"] | None = None,
    crop: int | None = None,
    download: bool = False,
) -> ImageFolder:
    """Read a public set of images from a disk.

    Parameters
    ----------
    name : str
        One of ``"bsds500"``, ``"div2k"``, ``"kodak24"``, ``"mcmaster"``, ``"set5"``, ``"set12"``,
        ``"set14"``, ``"urban100"``.
    root : str or Path
        The folder of the set, as its archive unpacks.
    split : str, optional
        Such as ``"train"``; needed for sets with several.
    color, crop
        As in `ImageFolder`.
    download : bool
        Fetch it if it is missing, where its license allows that and an archive with a known hash exists.

    Returns
    -------
    ImageFolder

    Raises
    ------
    DataError
        If the set is missing, or not complete; the message says where it is to be had, and its license.
    ParameterError
        If there is no such set or split.

    Examples
    --------
    >>> public_images("div2k", "no-such-folder", split="train")
    Traceback (most recent call last):
        ...
    invcore._errors.DataError: no-such-folder holds no DIV2K_train_HR ... Get it from https://data.vision.ee...
    """
    if name not in SOURCES:
        raise ParameterError(f"public_images: there is no set {name!r}; there are {', '.join(SOURCES)}")
    source, folder = SOURCES[name], Path(root)
    if split is None and len(source.splits) == 1:
        (split,) = source.splits
    if split not in source.splits:
        raise ParameterError(
            f"public_images: {name} has the splits {', '.join(source.splits)}, got {split!r}"
        )
    places, count = source.splits[split]
    found = _place(folder, places)
    if found is None and download:
        _fetch(name, source, folder)
        found = _place(folder, places)
    if found is None:
        raise DataError(
            f"{folder} holds no {places[0]} with images ({source.title}, {split}). Get it from {source.page} "
            f"(license: {source.license}), and give the folder that it unpacks to"
            + (", or pass download=True." if source.url else "; no archive may be fetched by a script.")
        )
    images = ImageFolder(found, pattern="*", color=color, crop=crop)
    if len(images) != count:
        raise DataError(
            f"{found} has {len(images)} images, {name} {split} has {count}: it is not complete, or not only "
            "this set. Use ImageFolder to read it as it is."
        )
    return images


def _place(folder: Path, places: tuple[str, ...]) -> Path | None:
    """The first of the places that has images."""
    for place in places:
        path = folder / place
        if path.is_dir() and any(p.suffix.lower() in ENDINGS for p in path.iterdir()):
            return path
    return None


def _fetch(name: str, source: Source, folder: Path) -> None:
    if source.url is None:
        return
    import pooch

    folder.mkdir(parents=True, exist_ok=True)
    try:
        archive = pooch.retrieve(source.url, source.known_hash, fname=f"{name}.zip", path=folder)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as partial:
            pooch.Unzip(extract_dir=partial)(archive, "download", None)
            for one in Path(partial).iterdir():  # whole or not there, also if this is killed
                if (folder / one.name).exists():
                    raise FileExistsError(f"{folder / one.name} is in the way")
                one.replace(folder / one.name)
    except (OSError, ValueError, zipfile.BadZipFile) as error:  # no network; another hash
        raise DataError(
            f"{name} could not be fetched from {source.url}: {error}. Get it by hand from {source.page}, and "
            f"unpack it in {folder}."
        ) from error
