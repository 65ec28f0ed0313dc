"""Geometries of other packages: the same arrays must mean the same image and sinogram."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import invcore
from invcore_tomography import (
    Grid,
    XRay,
    cone,
    ellipses,
    fan,
    from_astra,
    from_cil,
    from_odl,
    from_tigre,
    laminography,
    parallel,
    to_astra,
)

THETA = np.array([0.0, 0.3, 1.1, 2.0, 3.7, 5.1])
PLANAR = {
    "parallel": {"type": "parallel", "DetectorWidth": 0.9, "DetectorCount": 34, "ProjectionAngles": THETA},
    "fanflat": {
        "type": "fanflat",
        "DetectorWidth": 1.3,
        "DetectorCount": 40,
        "ProjectionAngles": THETA,
        "DistanceOriginSource": 50.0,
        "DistanceOriginDetector": 30.0,
    },
}
VOLUME = {
    "GridRowCount": 20,
    "GridColCount": 26,
    "option": {"WindowMinX": -12.0, "WindowMaxX": 14.0, "WindowMinY": -11.0, "WindowMaxY": 9.0},
}


def asymmetric(grid):
    """Two smooth blobs, neither centered nor alike."""
    wide = ellipses(
        center=[(4.0, 3.0), (-3.0, -5.0)],
        axes=[(3.5, 1.8), (1.6, 2.5)],
        angle=[0.5, 0.0],
        density=[1.0, 0.6],
        profile="gaussian",
    )
    return wide.rasterize(grid, samples=2).double()


def circular(kind):
    """The same scan by our own constructor, whose y axis is mirrored: angles run the other way."""
    scan = PLANAR[kind]
    count, pitch = scan["DetectorCount"], scan["DetectorWidth"]
    if kind == "parallel":
        return parallel(-THETA, columns=count, pitch=pitch, grid=Grid(shape=(20, 26), center=(1.0, 1.0)))
    return fan(
        np.pi - THETA,
        source_distance=50.0,
        detector_distance=30.0,
        columns=count,
        pitch=pitch,
        grid=Grid(shape=(20, 26), center=(1.0, 1.0)),
    )


@pytest.mark.parametrize("kind", PLANAR)
def test_astra_computes_the_same_sinogram(kind):
    """ASTRA's own projectors on the same arrays; 'linear' is Joseph's too, fan beams have lengths only."""
    try:
        import astra
    except ImportError as error:
        pytest.skip(f"ASTRA cannot be imported: {error}")
    geometry = from_astra(PLANAR[kind], VOLUME)
    x = asymmetric(geometry.grid)
    ours = XRay(geometry)(x)[0].numpy()
    exported = to_astra(geometry)
    for projection, volume in ((PLANAR[kind], VOLUME), exported):
        name = "linear" if "parallel" in projection["type"] else "line_fanflat"
        identifier = astra.create_projector(name, projection, volume)
        theirs = (astra.OpTomo(identifier) * x[0].numpy().astype(np.float32)).reshape(ours.shape)
        error = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
        assert error < (0.003 if name == "linear" else 0.03)
        assert np.linalg.norm(ours - theirs[:, ::-1]) > 0.3 * np.linalg.norm(theirs)


@pytest.mark.parametrize("kind", PLANAR)
def test_circular_and_vector_geometries_agree(kind):
    geometry = from_astra(PLANAR[kind], VOLUME)
    again = from_astra(*to_astra(geometry))
    assert again.grid.shape == geometry.grid.shape and again.grid.center == geometry.grid.center
    for name, t in geometry.parameters().items():
        assert torch.allclose(again.parameters()[name], t)


def test_astra_parallel_is_ours_mirrored():
    """With y mirrored, ASTRA's rays at θ run against ours: same line integrals, same order of columns."""
    ours, theirs = circular("parallel"), from_astra(PLANAR["parallel"], VOLUME)
    x = asymmetric(ours.grid)
    assert torch.allclose(XRay(ours)(x), XRay(theirs)(x), atol=1e-10)


@pytest.mark.parametrize(
    "geometry",
    [
        parallel(5, columns=6, rows=4, pitch=0.5, row_pitch=0.7, offset=0.2),
        cone(5, source_distance=20.0, detector_distance=9.0, rows=3, columns=7, roll=0.1, row_offset=0.3),
        laminography(4, tilt=0.4, rows=4, columns=5),
    ],
    ids=["parallel", "cone", "laminography"],
)
def test_round_trip_in_space(geometry):
    again = from_astra(*to_astra(geometry))
    assert again.detector_shape == geometry.detector_shape and again.beam == geometry.beam
    assert np.allclose(again.grid.spacing, geometry.grid.spacing)
    for name, t in geometry.parameters().items():
        assert torch.allclose(again.parameters()[name], t)


def test_astra_cone_is_the_cone_of_its_documentation():
    """At angle θ the source is at (sin θ, -cos θ) and the columns along (cos θ, sin θ)."""
    projection = {
        "type": "cone",
        "DetectorSpacingX": 1.5,
        "DetectorSpacingY": 2.0,
        "DetectorRowCount": 3,
        "DetectorColCount": 4,
        "ProjectionAngles": THETA,
        "DistanceOriginSource": 10.0,
        "DistanceOriginDetector": 5.0,
    }
    volume = {"GridRowCount": 3, "GridColCount": 4, "GridSliceCount": 5, "option": {}}
    got = from_astra(projection, volume)
    want = cone(
        THETA,
        source_distance=10.0,
        detector_distance=5.0,
        rows=3,
        columns=4,
        pitch=1.5,
        row_pitch=2.0,
        grid=got.grid,
    )
    assert got.grid.shape == (5, 3, 4)
    for name, t in want.parameters().items():
        assert torch.allclose(got.parameters()[name], t), name


def test_astra_refuses_what_it_can_not_say():
    curved = fan(3, source_distance=3.0, detector_distance=2.0, columns=4, detector="curved")
    with pytest.raises(invcore.ParameterError, match="curved"):
        to_astra(curved)
    with pytest.raises(invcore.DataError, match="sparse_matrix"):
        from_astra({"type": "sparse_matrix"}, VOLUME)
    with pytest.raises(invcore.DataError, match="2-D"):
        from_astra(PLANAR["parallel"], {**VOLUME, "GridSliceCount": 3})


TIGRE = {
    "mode": "cone",
    "DSO": 100.0,
    "DSD": 150.0,
    "nDetector": np.array([6, 8]),
    "dDetector": np.array([1.5, 1.2]),
    "nVoxel": np.array([4, 6, 8]),
    "sVoxel": np.array([8.0, 12.0, 16.0]),
}


def test_tigre_circular_scan():
    """TIGRE's source starts on the x axis, so its angle a is our a + π/2."""
    got = from_tigre(SimpleNamespace(**TIGRE), THETA)
    want = cone(
        THETA + np.pi / 2,
        source_distance=100.0,
        detector_distance=50.0,
        rows=6,
        columns=8,
        pitch=1.2,
        row_pitch=1.5,
        grid=Grid(shape=(4, 6, 8), spacing=2.0),
    )
    assert got.grid.spacing == (2.0, 2.0, 2.0)
    for name, t in want.parameters().items():
        assert torch.allclose(got.parameters()[name], t), name


def test_tigre_offsets_and_rotations():
    moved = from_tigre(
        {**TIGRE, "offDetector": np.array([0.5, -2.0]), "offOrigin": np.array([1.0, 2.0, 3.0])}, THETA
    )
    still = from_tigre(TIGRE, THETA)
    way = torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64)
    assert torch.allclose(still.source - moved.source, way.expand(6, 3))
    shift = moved.detector - still.detector + way
    assert torch.allclose(shift, -2.0 / 1.2 * still.u + 0.5 / 1.5 * still.v)
    turned = from_tigre({**TIGRE, "rotDetector": np.array([0.0, 0.0, 0.1])}, [0.0])
    assert torch.allclose(
        turned.u[0], 1.2 * torch.tensor([0.0, np.cos(0.1), np.sin(0.1)], dtype=torch.float64)
    )
    assert from_tigre({**TIGRE, "mode": "parallel"}, [0.0]).source[0].tolist() == [-1.0, 0.0, 0.0]
    with pytest.raises(invcore.DataError, match="DSO"):
        from_tigre({k: v for k, v in TIGRE.items() if k != "DSO"}, [0.0])


def test_odl_fan():
    """A stand-in with ODL's interface: source at -radius, detector at +radius along the turned y axis."""

    class Flat1dDetector:
        pass

    class Fan:
        detector = Flat1dDetector()
        angles = THETA
        det_params = SimpleNamespace(mid_pt=np.array([0.4]))
        det_grid = SimpleNamespace(stride=np.array([0.5]))
        det_partition = SimpleNamespace(shape=(9,))

        def src_position(self, a):
            return -20.0 * np.array([-np.sin(a), np.cos(a)])

        def det_point_position(self, a, s):
            return 10.0 * np.array([-np.sin(a), np.cos(a)]) + s * np.array([np.cos(a), np.sin(a)])

    space = SimpleNamespace(min_pt=[-2.0, -3.0], max_pt=[4.0, 5.0], shape=(6, 4))
    got = from_odl(Fan(), space)
    want = fan(
        THETA, source_distance=20.0, detector_distance=10.0, columns=9, pitch=0.5, offset=0.4, grid=got.grid
    )
    assert got.grid.shape == (4, 6) and got.grid.spacing == (2.0, 1.0) and got.grid.center == (1.0, 1.0)
    for name, t in want.parameters().items():
        assert torch.allclose(got.parameters()[name], t), name
    Fan.detector = SimpleNamespace()
    with pytest.raises(invcore.DataError, match="flat"):
        from_odl(Fan(), space)


def test_cil_cone():
    """A stand-in with CIL's interface; CIL turns source and detector by -θ."""
    system = SimpleNamespace(
        source=SimpleNamespace(position=np.array([0.0, -10.0, 0.0])),
        detector=SimpleNamespace(
            position=np.array([0.2, 5.0, 0.1]),
            direction_x=np.array([1.0, 0.0, 0.0]),
            direction_y=np.array([0.0, 0.0, 1.0]),
        ),
        align_reference_frame=lambda frame: None,
    )
    config = SimpleNamespace(
        system=system,
        panel=SimpleNamespace(
            pixel_size=np.array([0.5, 0.7]), num_pixels=np.array([6, 4]), origin="bottom-left"
        ),
        angles=SimpleNamespace(angle_data=np.rad2deg(THETA), initial_angle=0.0, angle_unit="degree"),
    )
    scan = SimpleNamespace(config=config, geom_type="cone")
    scan.copy = lambda: scan
    image = SimpleNamespace(
        **{f"voxel_num_{a}": n for a, n in zip("xyz", (6, 5, 4))}, **{f"voxel_size_{a}": 0.4 for a in "xyz"}
    )
    got = from_cil(scan, image)
    want = cone(
        -THETA,
        source_distance=10.0,
        detector_distance=5.0,
        rows=4,
        columns=6,
        pitch=0.5,
        row_pitch=0.7,
        offset=0.2,
        row_offset=0.1,
        grid=got.grid,
    )
    assert got.grid.shape == (4, 5, 6)
    for name, t in want.parameters().items():
        assert torch.allclose(got.parameters()[name], t), name
