"""Sample files of every format, for the conformance kit."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch

from invcore.io import write_hdf5

from .._geometry.grid import Grid
from .._geometry.scans import fan, parallel
from .._phantoms.shapes import shepp_logan
from .ole import ole_file

Writers = dict[str, Callable[[Path], Path]]


def dxchange() -> Writers:
    """Return functions that write DXchange and NXtomo files into a folder."""

    def plain(folder: Path) -> Path:
        counts, flat, dark, angles = _counts()

        def fill(file: h5py.File) -> None:
            file["exchange/data"] = counts
            file["exchange/data_white"] = flat
            file["exchange/data_dark"] = dark
            file["exchange/theta"] = np.rad2deg(angles)
            file["exchange/theta"].attrs["units"] = "degrees"

        write_hdf5(folder / "scan.h5", fill)
        return folder / "scan.h5"

    def nxtomo(folder: Path) -> Path:
        counts, flat, dark, angles = _counts()
        frames = np.concatenate([dark, flat, counts])
        key = np.array([2] * len(dark) + [1] * len(flat) + [0] * len(counts))
        theta = np.concatenate([np.zeros(len(dark) + len(flat)), np.rad2deg(angles)])

        def fill(file: h5py.File) -> None:
            detector = file.create_group("entry1/tomo_entry/instrument/detector")
            detector["data"], detector["image_key"], detector["x_pixel_size"] = frames, key, 3.25
            detector["x_pixel_size"].attrs["units"] = "um"
            file["entry1/tomo_entry/sample/rotation_angle"] = theta

        write_hdf5(folder / "scan.nxs", fill)
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

        lines, angles = line_integrals()
        savemat(folder / "sino.mat", {"sinoRD": _noisy(lines).T, "anglesRad": angles.numpy()})
        return folder / "sino.mat"

    def views_first(folder: Path) -> Path:
        from scipy.io import savemat

        lines, angles = line_integrals()
        savemat(folder / "views.mat", {"sinogram": _noisy(lines), "anglesDeg": np.rad2deg(angles.numpy())})
        return folder / "views.mat"

    return {"columns first": columns_first, "views first": views_first}


def dicom() -> Writers:
    """Return functions that write one slice, and a folder of slices."""

    def single(folder: Path) -> Path:
        return dicom_slice(folder / "slice.dcm", 0)

    def series(folder: Path) -> Path:
        inside = folder / "series"
        inside.mkdir(exist_ok=True)
        for k in range(3):
            dicom_slice(inside / f"{2 - k}.dcm", k)
        return inside

    return {"slice": single, "series": series}


def line_integrals() -> tuple[torch.Tensor, torch.Tensor]:
    """Line integrals (view, column) of the head, and angles."""
    angles = torch.arange(40, dtype=torch.float64) * math.pi / 40
    geometry = parallel(angles, columns=48)
    return shepp_logan(radius=20.0, scale=0.08, dtype=torch.float64).project(geometry)[0], angles


def _noisy(lines: torch.Tensor) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    return (lines + 0.01 * torch.randn(lines.shape, generator=generator, dtype=lines.dtype)).numpy()


def _counts() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Counts of three detector rows, flat and dark frames, angles in radians."""
    lines, angles = line_integrals()
    gain = 2e4 * (1 + 0.1 * torch.sin(torch.arange(48.0))).expand(3, 48)
    noise = np.random.default_rng(0)
    counts = noise.poisson(100 + gain * torch.exp(-lines.float())[:, None]).astype(np.uint16)
    flat = noise.poisson((100 + gain).expand(6, 3, 48)).astype(np.uint16)
    dark = noise.poisson(100, (5, 3, 48)).astype(np.uint16)
    return counts, flat, dark, angles.numpy()


def _write_angles(path: Path, angles: np.ndarray) -> None:
    path.write_text("".join(f"{a:.6f}\n" for a in np.rad2deg(angles)))


def dicom_slice(path: Path, k: int) -> Path:
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

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
