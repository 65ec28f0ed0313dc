"""Draw ``_static/geometry.png``, the picture on the page about tomography.

Run as ``python docs/picture_geometry.py`` in the environment ``.nox/dev``.
"""

from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np

from invcore_tomography import Grid, cone, fan, parallel


def main():
    """Draw a parallel beam, a fan and a cone, three views of each."""
    views = np.deg2rad([0.0, 30.0, 60.0])
    scans = {
        "parallel": parallel(views, columns=24, pitch=5e-3, grid=Grid(shape=(20, 20), spacing=4e-3)),
        "fan": fan(
            views,
            source_distance=0.2,
            detector_distance=0.1,
            columns=24,
            pitch=7e-3,
            grid=Grid(shape=(20, 20), spacing=4e-3),
        ),
        "cone": cone(
            views,
            source_distance=0.2,
            detector_distance=0.1,
            rows=16,
            columns=24,
            pitch=7e-3,
            grid=Grid(shape=(14, 20, 20), spacing=4e-3),
        ),
    }
    figure = plt.figure(figsize=(13, 4.4))
    for place, (name, geometry) in enumerate(scans.items(), start=1):
        ax = figure.add_subplot(1, 3, place, projection="3d" if geometry.ndim == 3 else None)
        geometry.plot(ax, views=3)
        ax.set_title(name)
        ax.get_legend().remove()
        ax.locator_params(nbins=5)
        if geometry.ndim == 3:
            ax.set_zticks([-0.05, 0.05])
            ax.set_box_aspect(ax.get_box_aspect(), zoom=1.05)
    figure.subplots_adjust(0.06, 0.1, 0.93, 0.92, wspace=0.25)
    path = Path(__file__).parent / "_static" / "geometry.png"
    figure.savefig(path, dpi=80, metadata={"Software": None})
    print(path)


if __name__ == "__main__":
    main()
