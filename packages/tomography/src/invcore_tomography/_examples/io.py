"""Sample files of every format, for the conformance kit."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch

from .._geometry.scans import fan, parallel
from .._phantoms.shapes import shepp_logan

Writers = dict[str, Callable[[Path], Path]]


def dxchange() -> Writers:
    """Return functions that write DXchange and NXtomo files into a folder."""

    def plain(folder: Path) -> Path:
        counts, flat, dark, angles = _counts()
        with h5py.File(folder / "scan.h5", "w") as file:
            file["exchange/data"] = counts
            file["exchange/data_white"] = flat
            file["exchange/data_dark"] = dark
            file["exchange/theta"] = np.rad2deg(angles)
            file["exchange/theta"].attrs["units"] = "degrees"
        return folder / "scan.h5"

    def nxtomo(folder: Path) -> Path:
        counts, flat, dark, angles = _counts()
        frames = np.concatenate([dark, flat, counts])
        key = np.array([2] * len(dark) + [1] * len(flat) + [0] * len(counts))
        with h5py.File(folder / "scan.nxs", "w") as file:
            file["entry1/tomo_entry/instrument/detector/data"] = frames
            file["entry1/tomo_entry/instrument/detector/image_key"] = key
            file["entry1/tomo_entry/instrument/detector/x_pixel_size"] = 3.25
            file["entry1/tomo_entry/instrument/detector/x_pixel_size"].attrs["units"] = "um"
            theta = np.concatenate([np.zeros(len(dark) + len(flat)), np.rad2deg(angles)])
            file["entry1/tomo_entry/sample/rotation_angle"] = theta
        return folder / "scan.nxs"

    return {"DXchange": plain, "NXtomo": nxtomo}


def tiff() -> Writers:
    """Return functions that write a TIFF stack, and a folder of TIFFs."""

    def stack(folder: Path) -> Path:
        import tifffile

        counts, flat, dark, angles = _counts()
        tifffile.imwrite(folder / "scan.tif", counts, photometric="minisblack")
        tifffile.imwrite(folder / "scan.flat.tif", flat, photometric="minisblack")
        tifffile.imwrite(folder / "scan.dark.tif", dark, photometric="minisblack")
        _write_angles(folder / "scan.angles.txt", angles)
        return folder / "scan.tif"

    def files(folder: Path) -> Path:
        import tifffile

        counts, flat, _, angles = _counts()
        inside = folder / "views"
        inside.mkdir(exist_ok=True)
        for k, view in enumerate(counts):
            tifffile.imwrite(inside / f"view_{k:04d}.tif", view, photometric="minisblack")
        tifffile.imwrite(inside / "flat.tif", flat, photometric="minisblack")
        _write_angles(inside / "angles.txt", angles)
        return inside

    return {"stack": stack, "folder": files}


def mrc() -> Writers:
    """Return a function that writes a tilt series with its angles."""

    def series(folder: Path) -> Path:
        import mrcfile

        counts, _, _, angles = _counts()
        with mrcfile.new(folder / "series.mrc", overwrite=True) as file:
            file.set_data(counts.astype(np.float32))
            file.voxel_size = 10.5
        _write_angles(folder / "series.tlt", angles)
        return folder / "series.mrc"

    return {"tilt series": series}


def htc() -> Writers:
    """Return a function that writes a struct as the Helsinki Tomography Challenge does."""

    def limited(folder: Path) -> Path:
        from scipy.io import savemat

        degrees = np.arange(0, 60.5, 2.0)
        geometry = fan(
            np.deg2rad(degrees), source_distance=0.41066, detector_distance=0.14308, columns=56, pitch=2e-3
        )
        head = shepp_logan(radius=0.03, scale=30.0, dtype=torch.float64)
        parameters = {
            "distanceSourceOrigin": 410.66,
            "distanceSourceDetector": 553.74,
            "distanceUnit": "mm",
            "angles": degrees,
            "pixelSizePost": 2.0,
            "numDetectorsPost": 56.0,
        }
        scan = {"type": "2D", "sinogram": _noisy(head.project(geometry)[0]), "parameters": parameters}
        savemat(folder / "limited.mat", {"CtDataLimited": scan})
        return folder / "limited.mat"

    return {"limited": limited}


def mat() -> Writers:
    """Return functions that write sinogram and angles, the views on the second and on the first axis."""

    def columns_first(folder: Path) -> Path:
        from scipy.io import savemat

        lines, angles = _lines()
        savemat(folder / "sino.mat", {"sinoRD": _noisy(lines).T, "anglesRad": angles.numpy()})
        return folder / "sino.mat"

    def views_first(folder: Path) -> Path:
        from scipy.io import savemat

        lines, angles = _lines()
        savemat(folder / "views.mat", {"sinogram": _noisy(lines), "anglesDeg": np.rad2deg(angles.numpy())})
        return folder / "views.mat"

    return {"columns first": columns_first, "views first": views_first}


def dicom() -> Writers:
    """Return functions that write one slice, and a folder of slices."""

    def single(folder: Path) -> Path:
        return _dicom_slice(folder / "slice.dcm", 0)

    def series(folder: Path) -> Path:
        inside = folder / "series"
        inside.mkdir(exist_ok=True)
        for k in range(3):
            _dicom_slice(inside / f"{2 - k}.dcm", k)
        return inside

    return {"slice": single, "series": series}


def _lines() -> tuple[torch.Tensor, torch.Tensor]:
    """Line integrals (view, column) of the head, and angles."""
    angles = torch.arange(40, dtype=torch.float64) * math.pi / 40
    geometry = parallel(angles, columns=48)
    return shepp_logan(radius=20.0, scale=0.08, dtype=torch.float64).project(geometry)[0], angles


def _noisy(lines: torch.Tensor) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    return (lines + 0.01 * torch.randn(lines.shape, generator=generator, dtype=lines.dtype)).numpy()


def _counts() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Counts of three detector rows, flat and dark frames, angles in radians."""
    lines, angles = _lines()
    gain = 2e4 * (1 + 0.1 * torch.sin(torch.arange(48.0))).expand(3, 48)
    noise = np.random.default_rng(0)
    counts = noise.poisson(100 + gain * torch.exp(-lines.float())[:, None]).astype(np.uint16)
    flat = noise.poisson((100 + gain).expand(6, 3, 48)).astype(np.uint16)
    dark = noise.poisson(100, (5, 3, 48)).astype(np.uint16)
    return counts, flat, dark, angles.numpy()


def _write_angles(path: Path, angles: np.ndarray) -> None:
    path.write_text("".join(f"{a:.6f}\n" for a in np.rad2deg(angles)))


def _dicom_slice(path: Path, k: int) -> Path:
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

    from .._geometry.grid import Grid

    image = shepp_logan(radius=1.0).rasterize(Grid(shape=(40, 36), spacing=2 / 36), samples=2)[0].numpy()
    image = 1000 * image - 1000 + 10 * np.random.default_rng(k).standard_normal(image.shape)
    data = pydicom.Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = CTImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{k}")
    data.SOPClassUID, data.SOPInstanceUID, data.SeriesInstanceUID = CTImageStorage, f"1.2.3.{k}", "1.2.3"
    data.Modality, data.Manufacturer, data.PatientName = "CT", "none", "not to be read"
    data.Rows, data.Columns = image.shape
    data.PixelSpacing, data.SliceThickness = [0.5, 0.7], 2.0
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 2.0 * k], [1, 0, 0, 0, 1, 0]
    data.RescaleSlope, data.RescaleIntercept = 1.0, -1024.0
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 0
    data.PixelData = np.round(image + 1024).clip(0, 4000).astype("<u2").tobytes()
    data.save_as(path, enforce_file_format=True)
    return path


def txrm() -> Writers:
    """Return functions that write the streams of a microscope's file: parallel and cone beam."""

    def parallel_beam(folder: Path) -> Path:
        counts, flat, _, angles = _counts()
        return _txrm(folder / "parallel.txrm", counts, flat[0], angles, cone=False)

    def cone_beam(folder: Path) -> Path:
        counts, flat, _, angles = _counts()
        return _txrm(folder / "cone.txrm", counts, flat[0], 2 * angles, cone=True)

    return {"parallel": parallel_beam, "cone": cone_beam}


def _txrm(path: Path, counts: np.ndarray, flat: np.ndarray, angles: np.ndarray, *, cone: bool) -> Path:
    views, height, width = counts.shape

    def whole(*values: int) -> bytes:
        return np.array(values, "<i4").tobytes()

    streams = {
        "ImageInfo/ImageHeight": whole(height),
        "ImageInfo/ImageWidth": whole(width),
        "ImageInfo/ImagesTaken": whole(views),
        "ImageInfo/DataType": whole(5),
        "ImageInfo/XrayGeometry": whole(1 if cone else 2),
        "ImageInfo/Angles": np.rad2deg(angles).astype("<f4").tobytes(),
        "ImageInfo/PixelSize": np.array([2.5], "<f4").tobytes(),
        "ImageInfo/StoRADistance": np.full(views, -20.0, "<f4").tobytes(),
        "ImageInfo/DtoRADistance": np.full(views, 30.0, "<f4").tobytes(),
        "Alignment/X-Shifts": (0.2 * np.cos(angles)).astype("<f4").tobytes(),
        "ReferenceData/DataType": whole(10),
        "ReferenceData/Image": flat.astype("<f4").tobytes(),
    }
    streams |= {f"ImageData1/Image{k + 1}": view.astype("<u2").tobytes() for k, view in enumerate(counts)}
    path.write_bytes(ole_file(streams))
    return path


def ole_file(streams: dict[str, bytes]) -> bytes:
    """An OLE compound file (version 3) of streams ``storage/name``, each padded to at least 4096 bytes so that no ministream is needed."""
    sector, free, end = 512, 0xFFFFFFFF, 0xFFFFFFFE
    storages = sorted({name.split("/")[0] for name in streams}, key=lambda n: (len(n), n.upper()))
    entries: list[tuple[str, int, int, int, int, int]] = []  # name, kind, right, child, first sector, size
    names = {storage: 1 + k for k, storage in enumerate(storages)}
    chains: list[int] = []  # FAT
    body = b""

    def store(data: bytes) -> int:
        nonlocal body
        data += bytes(-len(data) % sector)
        first, count = len(chains), len(data) // sector
        chains.extend([*range(first + 1, first + count), end])
        body += data
        return first

    following = 1 + len(storages)
    children: list[tuple[str, int, int, int, int, int]] = []
    inside = {
        s: sorted((n for n in streams if n.startswith(s + "/")), key=lambda n: (len(n), n.upper()))
        for s in storages
    }
    first_child = {}
    for storage in storages:
        first_child[storage] = following + len(children)
        for k, name in enumerate(inside[storage]):
            data = streams[name] + bytes(max(0, 4096 - len(streams[name])))
            index = following + len(children)
            right = index + 1 if k + 1 < len(inside[storage]) else free
            children.append((name.split("/")[1], 2, right, free, store(data), len(data)))
    entries.append(("Root Entry", 5, free, 1, end, 0))
    for k, storage in enumerate(storages):
        right = names[storage] + 1 if k + 1 < len(storages) else free
        entries.append((storage, 1, right, first_child[storage], 0, 0))
    directory = b""
    for name, kind, right, child, start, size in entries + children:
        text = name.encode("utf-16-le") + b"\x00\x00"
        directory += text + bytes(64 - len(text)) + len(text).to_bytes(2, "little") + bytes([kind, 1])
        directory += np.array([free, right, child], "<u4").tobytes() + bytes(16 + 4 + 16)
        directory += np.array([start, size, 0], "<u4").tobytes()
    while len(directory) % sector:
        directory += bytes(68) + np.array([free, free, free], "<u4").tobytes() + bytes(48)
    directory_start = store(directory)
    fat_start, tables = len(chains), 1
    while len(chains) + tables > 128 * tables:
        tables += 1
    chains.extend([0xFFFFFFFD] * tables)
    fat = np.array(chains + [free] * (128 * tables - len(chains)), "<u4").tobytes()
    difat = [fat_start + k for k in range(tables)] + [free] * (109 - tables)
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    header += np.array([0x3E, 3, 0xFFFE, 9, 6, 0, 0, 0], "<u2").tobytes()
    header += np.array([0, tables, directory_start, 0, 4096, end, 0, end, 0], "<u4").tobytes()
    return header + np.array(difat, "<u4").tobytes() + body + fat
