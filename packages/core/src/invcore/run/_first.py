"""The image of a direct method, to be looked at while the solver runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..io import Acquisition, save_png, save_reconstruction
from ..report import write_report
from ._folder import RESULT, staged
from ._measure import measured
from ._problem import text_of


def write_first(
    folder: Path, problem: Mapping[str, Any], acquisition: Acquisition, say: Callable[[str], None]
) -> None:
    """Write image, picture and report of a direct method, where the field has one."""
    found = acquisition.output.first(acquisition)
    if found is None:
        return
    caption, image = found
    x, dims = image.cpu(), len(acquisition.physics.domain.shape) - 1  # type: ignore[union-attr]
    shape: dict[str, Any] = {"spatial_dims": dims, "voxel_size": acquisition.voxel_size}
    names = (RESULT, "magnitude.png", "report.html")
    record = {"first": caption, "files": sorted(names), "problem": text_of(problem)}
    with staged(folder) as stage:
        save_reconstruction(stage / names[0], x, record, spatial_dims=dims)
        save_png(stage / names[1], x, part="magnitude", **shape)
        write_report(
            stage / names[2],
            x,
            title=caption,
            caption=caption,
            subtitle=measured(problem).name,
            verdict=[f"{caption}; the solver is still refining it, and will replace this page."],
            metadata=acquisition.metadata,
            **shape,
        )
    say(f"first image: {caption}, {folder / names[2]}")
