"""Geometries written for TIGRE, ODL and CIL, and read back by the tested readers."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

import invcore
from invcore_tomography import (
    Grid,
    cone,
    fan,
    from_cil,
    from_odl,
    from_tigre,
    helical,
    laminography,
    parallel,
    to_cil,
    to_odl,
    to_tigre,
)

BEAM = {"source_distance": 20.0, "detector_distance": 9.0, "pitch": 1.7}
SPATIAL = {
    "parallel": parallel(5, columns=6, rows=4, pitch=0.5, row_pitch=0.7, offset=0.2),
    "cone": cone(5, rows=3, columns=7, row_offset=0.3, offset=-0.4, **BEAM),
    "rolled": cone(
        4, rows=3, columns=7, roll=0.1, grid=Grid(shape=(3, 4, 5), center=(0.5, -1.0, 2.0)), **BEAM
    ),
    "helix": helical(6, advance=1.5, turns=1.5, rows=3, columns=4, detector="flat", grid=(3, 3, 3), **BEAM),
    "laminography": laminography(4, tilt=0.4, rows=4, columns=5),
}
PLANAR = {
    "parallel": parallel(np.array([0.1, 0.5, 2.0]), columns=6, pitch=0.5, offset=0.2, grid=(4, 5)),
    "fan": fan(np.array([0.2, 1.0, 4.0]), columns=7, offset=0.3, grid=(5, 4), **BEAM),
}


def require_same_scan(again, geometry, *, along_rays=False):
    """Equal vectors, up to a multiple where only that matters (directions, a parallel beam's detector)."""
    assert again.detector_shape == geometry.detector_shape and again.beam == geometry.beam
    assert again.grid.shape == geometry.grid.shape
    assert np.allclose(again.grid.spacing, geometry.grid.spacing)
    got, want = again.parameters(), dict(geometry.parameters())
    names = ["u", "v"] if geometry.ndim == 3 else ["u"]
    for name in names:
        assert torch.allclose(got[name], want[name], atol=1e-9), name
    if geometry.beam == "parallel":
        a, b = (t / t.norm(dim=-1, keepdim=True) for t in (got["source"], want["source"]))
        sign = (a * b).sum(-1, keepdim=True).sign() if along_rays else 1.0
        assert torch.allclose(a * sign, b, atol=1e-9)
        gap = got["detector"] - want["detector"]
        assert torch.allclose(gap, (gap * b).sum(-1, keepdim=True) * b, atol=1e-9)
    else:
        for name in ("source", "detector"):
            assert torch.allclose(got[name], want[name], atol=1e-9), name


@pytest.mark.parametrize("name", SPATIAL)
def test_tigre_there_and_back(name):
    geometry = SPATIAL[name]
    theirs, angles = to_tigre(geometry)
    again = from_tigre(theirs, angles)
    center = torch.tensor(
        geometry.grid.center[::-1], dtype=torch.float64
    )  # TIGRE moves the scan, not the image
    moved = again.bind(
        detector=again.detector + center,
        source=again.source + center if again.beam == "divergent" else again.source,
    )
    require_same_scan(moved, geometry)


def test_tigre_says_simple_things_simply():
    theirs, angles = to_tigre(SPATIAL["cone"])
    assert pytest.approx([20, 29]) == [theirs.DSO, theirs.DSD]
    assert theirs.rotDetector.tolist() == [0, 0, 0] and angles.ndim == 1
    assert theirs.offDetector == pytest.approx([0.3, -0.4])
    plane, _ = to_tigre(PLANAR["fan"])
    assert plane.nVoxel.tolist() == [1, 5, 4] and plane.nDetector.tolist() == [1, 7]
    assert to_tigre(SPATIAL["laminography"])[1].shape == (4, 3)


def test_tigre_refuses():
    with pytest.raises(invcore.ParameterError, match="flat"):
        to_tigre(fan(3, columns=4, detector="curved", **BEAM))
    skew = SPATIAL["cone"]
    with pytest.raises(invcore.ParameterError, match="right angles"):
        to_tigre(skew.bind(v=skew.v + 0.1 * skew.u))
    with pytest.raises(invcore.ParameterError, match="same size"):
        to_tigre(skew.bind(u=skew.u * torch.linspace(1, 2, 5, dtype=torch.float64)[:, None]))


class _Flat1dDetector:
    pass


class _Flat2dDetector:
    pass


_Flat1dDetector.__name__, _Flat2dDetector.__name__ = "Flat1dDetector", "Flat2dDetector"


class _Circle:
    """ODL's circular geometries, as far as reading them goes."""

    def __init__(self, apart, dpart, *, along, axes, radii=None):
        self.angles, self.det_partition = apart, dpart
        self.detector = (_Flat1dDetector if len(axes) == 1 else _Flat2dDetector)()
        low, high, shape = np.array(dpart.low), np.array(dpart.high), np.array(dpart.shape)
        self.det_params = SimpleNamespace(mid_pt=(low + high) / 2)
        self.det_grid = SimpleNamespace(stride=(high - low) / shape)
        self.along, self.axes, self.radii = np.array(along), axes, radii
        if radii is not None:
            self.src_position = lambda a: self.turned(a, -radii[0] * self.along)

    def turned(self, a, w):
        c, s = np.cos(a), np.sin(a)
        return np.array([c * w[0] - s * w[1], s * w[0] + c * w[1], *w[2:]])

    def det_point_position(self, a, at):
        far = self.radii[1] if self.radii else 1.0
        at = np.atleast_1d(at)
        return self.turned(a, far * self.along + sum(p * w for p, w in zip(at, self.axes)))

    def det_to_src(self, a, at):
        return -self.turned(a, self.along)


@pytest.fixture
def odl(monkeypatch):
    module = ModuleType("odl")
    module.uniform_partition = lambda low, high, shape: SimpleNamespace(low=low, high=high, shape=shape)
    module.nonuniform_partition = lambda points: points
    module.uniform_discr = lambda low, high, shape, dtype: SimpleNamespace(
        min_pt=low, max_pt=high, shape=shape
    )

    def parallel_scan(apart, dpart, *, det_pos_init, det_axis_init=None, det_axes_init=None):
        axes = (det_axis_init,) if det_axes_init is None else det_axes_init
        return _Circle(apart, dpart, along=det_pos_init, axes=axes)

    def divergent(
        apart, dpart, *, src_radius, det_radius, src_to_det_init, det_axis_init=None, det_axes_init=None
    ):
        axes = (det_axis_init,) if det_axes_init is None else det_axes_init
        return _Circle(apart, dpart, along=src_to_det_init, axes=axes, radii=(src_radius, det_radius))

    module.tomo = SimpleNamespace(
        Parallel2dGeometry=parallel_scan,
        Parallel3dAxisGeometry=parallel_scan,
        FanBeamGeometry=divergent,
        ConeBeamGeometry=divergent,
    )
    monkeypatch.setitem(sys.modules, "odl", module)


CIRCULAR = [PLANAR["parallel"], PLANAR["fan"], SPATIAL["parallel"], SPATIAL["cone"], SPATIAL["rolled"]]
IDS = ["parallel, plane", "fan", "parallel, space", "cone", "rolled"]


@pytest.mark.parametrize("geometry", CIRCULAR, ids=IDS)
def test_odl_there_and_back(geometry, odl):
    again = from_odl(*to_odl(geometry))
    require_same_scan(again, geometry, along_rays=True)
    assert np.allclose(again.grid.center, geometry.grid.center)


def test_what_is_not_circular_is_refused(odl):
    with pytest.raises(invcore.ParameterError, match="z axis"):
        to_odl(SPATIAL["helix"])
    with pytest.raises(invcore.ParameterError, match="increase"):
        to_odl(PLANAR["fan"][[0, 2, 1]])


@pytest.fixture
def cil(monkeypatch):
    """CIL's classes, as far as they are used."""

    class AcquisitionGeometry:
        def __init__(self, kind, direction, source, detector, x, y):
            self.geom_type = kind
            system = SimpleNamespace(
                detector=SimpleNamespace(position=np.array(detector), direction_x=np.array(x), direction_y=y),
                align_reference_frame=lambda frame: None,
            )
            system.ray, system.source = SimpleNamespace(direction=direction), SimpleNamespace(position=source)
            self.config = SimpleNamespace(system=system)

        @classmethod
        def create_Parallel2D(
            cls, *, ray_direction, detector_position, detector_direction_x, detector_direction_y=None
        ):
            return cls(
                "parallel", ray_direction, None, detector_position, detector_direction_x, detector_direction_y
            )

        @classmethod
        def create_Cone2D(
            cls, *, source_position, detector_position, detector_direction_x, detector_direction_y=None
        ):
            return cls(
                "cone", None, source_position, detector_position, detector_direction_x, detector_direction_y
            )

        create_Parallel3D, create_Cone3D = create_Parallel2D, create_Cone2D

        def set_angles(self, angles, angle_unit):
            self.config.angles = SimpleNamespace(angle_data=angles, initial_angle=0.0, angle_unit=angle_unit)

        def set_panel(self, num_pixels, pixel_size, origin):
            count = np.atleast_1d(num_pixels)
            size = np.atleast_1d(pixel_size)
            self.config.panel = SimpleNamespace(
                num_pixels=(count[0], count[-1] if len(count) > 1 else 1),
                pixel_size=(size[0], size[-1]),
                origin=origin,
            )

        def set_labels(self, labels):
            self.labels = labels

        def copy(self):
            return self

    framework = ModuleType("cil.framework")
    framework.AcquisitionGeometry = AcquisitionGeometry
    framework.ImageGeometry = lambda **sizes: SimpleNamespace(**sizes)
    monkeypatch.setitem(sys.modules, "cil", ModuleType("cil"))
    monkeypatch.setitem(sys.modules, "cil.framework", framework)


@pytest.mark.parametrize("geometry", CIRCULAR, ids=IDS)
def test_cil_there_and_back(geometry, cil):
    again = from_cil(*to_cil(geometry))
    require_same_scan(again, geometry)
    assert np.allclose(again.grid.center, geometry.grid.center)


@pytest.mark.parametrize("export, module", [(to_odl, "odl"), (to_cil, "cil.framework")])
def test_what_is_missing_is_named(export, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(invcore.MissingDependencyError, match=module):
        export(PLANAR["fan"])
