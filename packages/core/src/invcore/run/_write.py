"""Files of a reconstruction: image, pictures and report, which appear in the folder together."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import torch
from torch import Tensor

from .._errors import DataError, MissingDependencyError
from .._problem import tolerance
from ..io import Acquisition, save_dicom, save_nifti, save_png, save_reconstruction, write_hdf5
from ..report import convergence_figure, error_figure, save_figure, write_report
from ._folder import RESULT, staged
from ._measure import measured
from ._problem import text_of
from ._record import Reconstruction, facts
from ._residual import residual_of
from ._verdict import verdict


def write(
    result: Reconstruction, folder: Path, *, nifti: bool | None = False, dicom: bool = False
) -> Reconstruction:
    """Write all files of a reconstruction, remove those of an earlier one, and return it with their paths."""
    output, dims = result.acquisition.output, result.spatial_dims
    with staged(folder) as stage:
        files = {"image": stage / RESULT, **_pictures(result, stage)}
        if nifti or (nifti is None and output.nifti and _has_nibabel()):
            files["nifti"] = stage / "magnitude.nii.gz"
            size = result.voxel_size
            in_mm = None if size is None else [1e3 * h for h in size]
            placement = result.acquisition.placement
            save_nifti(files["nifti"], result.x, spatial_dims=dims, voxel_size=in_mm, placement=placement)
        if dicom:
            files |= _dicom(result, stage)
        files |= output.write(stage, result.x, result.provenance)
        files["report"] = stage / "report.html"
        record = {**result.provenance, "files": sorted(file.name for file in files.values())}
        result = dataclasses.replace(
            result, provenance=record, files={role: folder / file.name for role, file in files.items()}
        )
        save_reconstruction(files["image"], result.x, record, spatial_dims=dims, estimated=_estimated(result))
        _report(result, files["report"])
    return result


def check_dicom(acquisition: Acquisition) -> None:
    """Refuse DICOM where it cannot be written."""
    if importlib.util.find_spec("pydicom") is None:
        raise MissingDependencyError('writing DICOM needs pydicom: pip install "invcore[io]"')
    if acquisition.placement is None or acquisition.voxel_size is None:
        raise DataError(
            "--dicom needs to know where the image lies in the patient, and its voxel, which this file does "
            "not say; --nifti writes it without"
        )


def _dicom(result: Reconstruction, folder: Path) -> dict[str, Path]:
    """One file a slice, of the first picture."""
    size, placement = result.voxel_size, result.acquisition.placement
    assert size is not None and placement is not None
    main = next(iter(result.pictures.values()))
    text = {"SeriesDescription": f"invcore {result.problem['solver'].get('name', '')}".strip()[:64]}
    written = save_dicom(
        folder / "magnitude.dcm",
        main,
        voxel_size=size,
        placement=placement,
        spatial_dims=result.spatial_dims,
        described=text,
    )
    return {f"dicom {i + 1}" if len(written) > 1 else "dicom": file for i, file in enumerate(written)}


def wants_nifti(wanted: bool | None, problem: Mapping[str, Any]) -> bool | None:
    """Refuse NIfTI where it cannot be written; None leaves it to the kind of measured data."""
    if wanted and not _has_nibabel():
        raise MissingDependencyError('writing NIfTI needs nibabel: pip install "invcore[io]"')
    return wanted if wanted is not None or "data" in problem else False


def _has_nibabel() -> bool:
    return importlib.util.find_spec("nibabel") is not None


def save_measurements(path: Path, problem: Mapping[str, Any], x: Tensor, y: Any) -> None:
    """Write datasets ``y`` (or ``y/0`` …) and ``x``, and the problem, atomically."""

    def fill(file: h5py.File) -> None:
        blocks = {f"y/{i}": part for i, part in enumerate(y)} if isinstance(y, tuple) else {"y": y}
        for name, block in {**blocks, "x": x}.items():
            file[name] = block.detach().resolve_conj().cpu().numpy()
        file["problem"] = text_of(problem)

    write_hdf5(path, fill)


def _pictures(result: Reconstruction, folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    shape: dict[str, Any] = {"spatial_dims": result.spatial_dims, "voxel_size": result.voxel_size}
    for caption, image in result.pictures.items():
        role = "magnitude" if len(result.pictures) == 1 else _slug(caption)
        files[role] = folder / f"{role}.png"
        save_png(files[role], image, part="magnitude", **shape)
    if result.x.is_complex():
        files["phase"] = folder / "phase.png"
        save_png(files["phase"], result.x, part="phase", **shape)
    if result.reference is not None and result.compared is not None:
        files["error"] = folder / "error.png"
        save_figure(error_figure(result.compared, result.reference, **shape), files["error"])
    if curves := _curves(result):
        files["convergence"] = folder / "convergence.png"
        figure = convergence_figure(curves, tolerances=_tolerances(result))
        save_figure(figure, files["convergence"])
    return files


def _estimated(result: Reconstruction) -> dict[str, Tensor]:
    """Return the parameters of the operator that a blind solver found."""
    given = result.acquisition.physics.operator.parameters()
    found = result.solution.physics.operator.parameters()
    return {name: value for name, value in found.items() if not _same(value, given.get(name))}


def _same(a: Tensor, b: Tensor | None) -> bool:
    return b is not None and a.shape == b.shape and torch.equal(a.cpu(), b.to("cpu", a.dtype))


def _report(result: Reconstruction, path: Path) -> None:
    (caption, main), *others = result.pictures.items()
    acquisition = result.acquisition
    figures = {key.upper(): f"{float(v.mean()):.4f}" for key, v in result.metrics.items()}
    figures |= {
        "steps": str(result.steps),
        "solver": f"{result.seconds:.1f} s",
        "weight": f"{result.weight:.3g}",
    }
    note = ""
    if "metrics" not in result.problem:
        fitted = acquisition.output.fit_scale
        note = "Magnitudes, after the best scalar fit to the reference." if fitted else f"{caption}."
    residual = residual_of(result)
    write_report(
        path,
        main,
        title="Reconstruction",
        caption=caption,
        subtitle=measured(result.problem).name,
        spatial_dims=result.spatial_dims,
        voxel_size=result.voxel_size,
        reference=result.reference,
        compared=result.compared,
        others={
            **dict(others),
            **{key: v.cpu() for key, v in acquisition.output.beside(acquisition).items()},
        },
        verdict=verdict(result),
        figures=figures,
        metrics=result.metrics or None,
        metrics_note=note,
        residual=residual,
        residual_note=_residual_note(result),
        statistics=_curves(result),
        tolerances=_tolerances(result),
        metadata=facts(result),
        provenance=result.provenance,
    )


def _curves(result: Reconstruction) -> dict[str, Any]:
    stats = result.solution.stats
    return {name: stats[name] for name in ("objective", "change") if name in stats}


def _tolerances(result: Reconstruction) -> dict[str, float]:
    wanted = tolerance(result.solution.problem, result.solver.rtol) if hasattr(result.solver, "rtol") else 0.0
    return {"change": wanted} if wanted else {}


def _residual_note(result: Reconstruction) -> str:
    fit = result.fit
    judged = f"{fit.name} = {fit.value:.3g}; " if fit is not None else ""
    return (
        f"{judged}1 is the size of the noise. Structure is what the image, the geometry or the calibration "
        "does not explain."
    )


def _slug(caption: str) -> str:
    """Make a file name of a caption: ``Surface 2: depth in m`` gives ``surface-2-depth``."""
    words = re.sub(r" in \S+$", "", caption).lower()
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-")
