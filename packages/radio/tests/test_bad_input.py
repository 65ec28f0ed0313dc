"""What makes no sense is refused, with a message that says what was expected."""

import numpy as np
import pytest
import torch

from invcore import DataError, DtypeError, ParameterError, ShapeError
from invcore_radio import (
    Clean,
    ClosurePhases,
    Interferometer,
    SingleDish,
    closure_triangles,
    constrained,
    fit_beam,
    gaussian_beam,
    hogbom,
    simulate,
    solve_gains,
    vla,
    vlbi_acquisition,
)

PIXEL = 1e-4
NAN = float("nan")


@pytest.fixture(scope="module")
def vis():
    empty = vla("D", antennas=6).observe(hour_angles=(-1.0, 1.0), interval=1200.0, sigma=0.01)
    image = torch.zeros(1, 16, 16)
    image[0, 5, 9] = 1
    return simulate(empty, image, pixel=PIXEL, generator=torch.Generator().manual_seed(0))


def gains(vis, **changed):
    options = {
        "data": vis.values(),
        "model": vis.values(),
        "weight": vis.weight[..., 0],
        "antenna1": vis.antenna1,
        "antenna2": vis.antenna2,
    } | changed
    return solve_gains(options.pop("data"), options.pop("model"), **options)


@pytest.mark.parametrize(
    ("changed", "error", "says"),
    [
        ({"data": torch.full((90, 1), NAN + 0j)}, DataError, "finite"),
        ({"data": torch.ones(90, 1)}, DtypeError, "complex"),
        ({"weight": -torch.ones(90, 1)}, DataError, "weights"),
        ({"block": torch.zeros(3, dtype=torch.int64)}, ShapeError, "block"),
        ({"start": torch.ones(3, 1, 1) + 0j}, ShapeError, r"start .*\(6, 1, 1\)"),
        ({"antennas": 3}, ParameterError, "6 or more"),
    ],
)
def test_gains(vis, changed, error, says):
    assert len(vis) == 90
    with pytest.raises(error, match=says):
        gains(vis, **changed)


def test_no_data_at_all(vis):
    none = vis.select(times=(0.0, 1.0))
    with pytest.raises(DataError, match="no rows"):
        gains(none)
    flagged = vis.replace(flag=torch.ones_like(vis.flag))
    for empty in (none, flagged):
        with pytest.raises(DataError, match="no data"):
            vlbi_acquisition(empty)
    with pytest.raises(ParameterError, match="weights there are 0"):
        Clean()(flagged.values(), flagged.physics(shape=(8, 8), pixel=PIXEL))


@pytest.mark.parametrize("changed", [{"flux": -1.0}, {"flux": 0.0}, {"fraction": -0.1}])
def test_options_of_closure_imaging(vis, changed):
    with pytest.raises(ParameterError, match=next(iter(changed))):
        vlbi_acquisition(vis, **changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"frequencies": []},
        {"frequencies": [-1e9]},
        {"polarizations": ()},
        {"sigma": 0.0},
        {"bandwidth": 0.0},
    ],
)
def test_observations(changed):
    with pytest.raises(ParameterError, match="observe: .*" + next(iter(changed))):
        vla("D", antennas=3).observe(**changed)


def test_images_and_pixels(vis):
    with pytest.raises(DtypeError, match="real"):
        simulate(vis, torch.zeros(1, 8, 8) + 0j, pixel=PIXEL)
    for shape in (32, [32, 32]):
        with pytest.raises(ParameterError, match="shape"):
            vis.physics(shape=shape, pixel=PIXEL)
    with pytest.raises(ParameterError, match="radians"):
        vis.physics(shape=(8, 8), pixel="small")
    assert isinstance(vis.physics(shape=(8, 8), pixel=np.float32(PIXEL)).operator, Interferometer)
    with pytest.raises(ParameterError, match="pixel"):
        SingleDish(pointings=torch.zeros(1, 2), fwhm=torch.ones(1), shape=(3, 3), pixel=-1e-3)
    with pytest.raises(ParameterError, match="positive"):
        gaussian_beam(shape=(3, 3), pixel=1e-3, frequencies=torch.tensor([1e9]), diameter=0.0)


def test_rows_and_shapes_of_visibilities(vis):
    mask = [True, False] * 45
    expected = vis.data[::2]
    for index in (mask, np.array(mask), torch.tensor(mask)):
        assert torch.equal(vis.rows(index).data, expected)
    assert len(vis.rows([])) == 0
    with pytest.raises(DtypeError, match="mask"):
        vis.rows([0.5])
    with pytest.raises(ShapeError, match=r"data must be .*\(90, 1, 1\), got \(3, 1, 1\)"):
        vis.with_data(vis.values()[:3])


def test_closures():
    a, b = torch.triu_indices(3, 3, 1)
    with pytest.raises(DtypeError, match="integers"):
        closure_triangles(a.double(), b, torch.zeros(3))
    with pytest.raises(ParameterError, match="negative"):
        closure_triangles(a - 1, b, torch.zeros(3))
    with pytest.raises(DataError, match="time"):
        closure_triangles(a, b, torch.full((3,), NAN))
    none = ClosurePhases(closures=closure_triangles(a[:2], b[:2], torch.zeros(2)))
    assert none(torch.ones(2, 1) + 0j).shape == (0,)


def test_images_that_are_not_finite(vis):
    bad = torch.full((1, 9, 9), NAN)
    with pytest.raises(DataError, match="finite"):
        fit_beam(bad, pixel=PIXEL)
    with pytest.raises(DataError, match="fills"):
        fit_beam(torch.ones(1, 9, 9), pixel=PIXEL)
    with pytest.raises(DataError, match="finite"):
        hogbom(bad[0], torch.ones(3, 3))
    with pytest.raises(DataError, match="NaN"):
        constrained(vis.values() * NAN, vis.physics(shape=(8, 8), pixel=PIXEL))
