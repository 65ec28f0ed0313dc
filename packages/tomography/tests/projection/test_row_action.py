"""The iterations that tomography is known for run on its projectors as they are: SIRT, SART, MLEM, OSEM."""

import pytest

from invcore import Physics
from invcore.noises import GaussianNoise, PoissonNoise
from invcore.solvers import OSEM, SART, SIRT, RichardsonLucy
from invcore_tomography import Grid, XRay, ellipses, fan, parallel

GRID = Grid(shape=(32, 32), spacing=1.0)
SCANS = {
    "parallel": parallel(60, columns=48, pitch=1.0, grid=GRID),
    "fan": fan(60, source_distance=80.0, detector_distance=40.0, columns=64, pitch=1.2, grid=GRID),
}
DISKS = ellipses(
    center=[(0.0, 0.0), (4.0, 2.0)], axes=[(11.0, 9.0), (3.0, 4.0)], density=[1.0, 0.7], profile="bump"
)


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("name", ["sirt", "sart", "mlem", "osem"])
def test_a_phantom_comes_back_from_its_exact_line_integrals(scan, name):
    A = XRay(SCANS[scan])
    y, x = DISKS.project(SCANS[scan]), DISKS.rasterize(GRID, samples=4)
    blocks, parts = A.subsets(10), A.split(y, 10)
    noise = PoissonNoise() if name in ("mlem", "osem") else GaussianNoise(sigma=0.1)
    solver, operator, data = {
        "sirt": (SIRT(max_steps=200, rtol=0.0, nonnegative_image=True), A, y),
        "sart": (SART(max_steps=20, rtol=0.0, nonnegative_image=True), blocks, parts),
        "mlem": (RichardsonLucy(max_steps=100, rtol=0.0), A, y),
        "osem": (OSEM(max_steps=10, rtol=0.0), blocks, parts),
    }[name]
    found = solver(data, Physics(operator, noise))
    assert float((found - x).norm() / x.norm()) < 0.03
    assert bool((found >= 0).all())
