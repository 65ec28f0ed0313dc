"""Visibilities: selection, Stokes parameters and averages, against sums written out."""

import dataclasses

import numpy as np
import pytest
import torch

from invcore import DataError, DtypeError, ParameterError, ShapeError
from invcore_radio import (
    Interferometer,
    Visibilities,
    direct_transform,
    eht,
    radio_galaxy,
    simulate,
    vla,
)

C = 299792458.0


def made(rows=12, channels=3, polarizations=("RR", "LL", "RL", "LR"), seed=0, dtype=torch.complex128):
    g = torch.Generator().manual_seed(seed)
    cube = (rows, channels, len(polarizations))
    real = torch.empty(0, dtype=dtype).real.dtype
    return Visibilities(
        data=torch.randn(cube, generator=g, dtype=dtype),
        uvw=1e3 * torch.randn(rows, 3, generator=g, dtype=torch.float64),
        frequencies=torch.linspace(1.0e9, 1.2e9, channels, dtype=torch.float64),
        weight=0.5 + torch.rand(cube, generator=g, dtype=real),
        flag=torch.rand(cube, generator=g) < 0.2,
        time=torch.arange(rows, dtype=torch.float64) // 3 * 10.0 + 5e9,
        interval=torch.full((rows,), 10.0, dtype=torch.float64),
        antenna1=torch.tensor([0, 0, 1]).repeat(rows // 3),
        antenna2=torch.tensor([1, 2, 2]).repeat(rows // 3),
        antenna_names=("A", "B", "C"),
        polarizations=polarizations,
        channel_width=torch.full((channels,), 1e8, dtype=torch.float64),
    )


def test_parts_must_fit():
    vis = made()
    with pytest.raises(ShapeError, match="weight must be"):
        dataclasses.replace(vis, weight=vis.weight[:, :2])
    with pytest.raises(DtypeError, match="time must be a tensor of torch.float64"):
        dataclasses.replace(vis, time=vis.time.float())
    with pytest.raises(DataError, match="data has entries that are not finite"):
        vis.replace(data=torch.full_like(vis.data, float("nan")))
    with pytest.raises(DataError, match="negative"):
        vis.replace(weight=-vis.weight)
    with pytest.raises(DataError, match="antenna2 must index"):
        dataclasses.replace(vis, antenna2=vis.antenna2 + 1)
    with pytest.raises(ShapeError, match="polarizations"):
        dataclasses.replace(vis, polarizations=("RR", "RR", "LL", "LR"))
    with pytest.raises(DataError, match="frequencies must be positive"):
        dataclasses.replace(vis, frequencies=-vis.frequencies)


def test_stokes_of_circular_and_linear_feeds():
    """From I, Q, U, V to the correlations as the measurement equation has them, and back."""
    g = torch.Generator().manual_seed(1)
    i, q, u, v = (torch.randn(5, 2, generator=g, dtype=torch.complex128) for _ in range(4))
    circular = torch.stack([i + v, i - v, q + 1j * u, q - 1j * u], -1)
    linear = torch.stack([i + q, i - q, u + 1j * v, u - 1j * v], -1)
    for names, data in ((("RR", "LL", "RL", "LR"), circular), (("XX", "YY", "XY", "YX"), linear)):
        vis = made(6, 2, names).rows(slice(5)).replace(data=data)
        vis = vis.replace(flag=torch.zeros_like(vis.flag))
        for name, expected in zip("IQUV", (i, q, u, v)):
            torch.testing.assert_close(vis.stokes(name).data[..., 0], expected)


def test_stokes_errors_propagate():
    """The variance of (RR + LL)/2 by drawing."""
    g = torch.Generator().manual_seed(2)
    a, b = (torch.randn(100000, generator=g, dtype=torch.float64) for _ in range(2))
    vis = made(3, 1, ("RR", "LL")).replace(
        weight=torch.tensor([0.25, 4.0], dtype=torch.float64).expand(3, 1, 2).clone(),
        flag=torch.zeros(3, 1, 2, dtype=torch.bool),
    )
    assert float(vis.stokes("I").sigma[0, 0, 0]) == pytest.approx(
        float(((2 * a + 0.5 * b) / 2).std()), rel=0.02
    )


def test_single_hand_stands_in():
    vis = made(3, 1, ("RR", "LL"))
    flag = torch.tensor([[False, False], [True, False], [True, True]])[:, None]
    vis = vis.replace(flag=flag)
    assert vis.stokes("I").mask.flatten().tolist() == [True, False, False]
    one = vis.stokes("I", single_hand=True)
    assert one.mask.flatten().tolist() == [True, True, False]
    assert one.data[1, 0, 0] == vis.data[1, 0, 1] and one.weight[1, 0, 0] == vis.weight[1, 0, 1]
    alone = vis.select(polarizations=["LL"])
    with pytest.raises(ParameterError, match="single_hand=True"):
        alone.stokes("I")
    assert alone.stokes("I", single_hand=True).mask.flatten().tolist() == [True, True, False]
    with pytest.raises(ParameterError, match="needs RL and LR or XX and YY"):
        vis.stokes("Q")


def test_selection():
    vis = made()
    assert len(vis.select(antennas=["A", "B"])) == 4
    assert set(vis.select(antennas=["A", "B", "C"]).antenna1.tolist()) == {0, 1}
    with pytest.raises(ParameterError, match="no antenna 'X'"):
        vis.select(antennas=["X"])
    low = vis.select(frequencies=(0.9e9, 1.15e9))
    assert low.channels == 2 and low.channel_width.shape == (2,)
    assert torch.equal(vis.select(polarizations=["LR", "RR"]).data, vis.data[..., [3, 0]])
    assert len(vis.select(times=(5e9, 5e9 + 10))) == 6
    cut = vis.select(uv_range=(0, 3000))
    distance = vis.uvw[:, :2].norm(dim=1)[:, None] * vis.frequencies / C
    assert int(cut.mask.sum()) == int((vis.mask & (distance <= 3000)[..., None]).sum())
    assert torch.equal(vis.rows([3, 1]).time, vis.time[[3, 1]])
    assert len(vis.replace(flag=torch.ones_like(vis.flag)).unflagged()) == 0


def test_scans():
    vis = made()
    assert len(list(vis.scans())) == 1
    later = dataclasses.replace(vis, time=torch.where(torch.arange(12) >= 6, vis.time + 500, vis.time))
    assert [len(s) for s in later.scans()] == [6, 6]
    assert [len(s) for s in later.scans(gap=1000)] == [12]


@pytest.mark.parametrize("time", [20.0, "scan"])
def test_average_is_the_weighted_mean(time):
    vis = made()
    found = vis.average(time=time)
    size = 2 if time == 20.0 else 4
    assert len(found) == 12 // size
    for row in range(len(found)):
        a, b = int(found.antenna1[row]), int(found.antenna2[row])
        rows = ((vis.antenna1 == a) & (vis.antenna2 == b)).nonzero()[:, 0]
        rows = rows[(row // 3) * size : (row // 3 + 1) * size] if time == 20.0 else rows
        w = torch.where(vis.mask[rows], vis.weight[rows], 0)
        mean = (w * vis.data[rows]).sum(0) / w.sum(0).clamp_min(1e-30)
        torch.testing.assert_close(found.data[row], mean)
        torch.testing.assert_close(found.weight[row], w.sum(0))
        share = w.sum((1, 2))
        torch.testing.assert_close(found.uvw[row], (share[:, None] * vis.uvw[rows]).sum(0) / share.sum())
        assert float(found.interval[row]) == 10.0 * int((share > 0).sum())


def test_average_over_frequency():
    vis = made()
    found = vis.average(frequency=2)
    assert found.channels == 2
    assert found.frequencies.tolist() == pytest.approx([1.05e9, 1.2e9])
    assert found.channel_width.tolist() == [2e8, 1e8]
    w = torch.where(vis.mask, vis.weight, 0)[:, :2]
    torch.testing.assert_close(found.data[:, 0], (w * vis.data[:, :2]).sum(1) / w.sum(1).clamp_min(1e-30))
    for wrong in ({"time": -1.0}, {"time": "day"}, {"frequency": 0}):
        with pytest.raises(ParameterError):
            vis.average(**wrong)


def test_the_noise_of_an_average_is_what_its_weight_says():
    vis = vla("D", antennas=6).observe(hour_angles=(-1.0, 1.0), interval=10.0, sigma=0.3)
    g = torch.Generator().manual_seed(0)
    image = torch.zeros(1, 8, 8)
    mean = simulate(vis, image, pixel=1e-4, generator=g).average(time=100.0)
    z = mean.data * mean.weight.sqrt()
    assert float(z.real.std()) == pytest.approx(1, abs=0.1) and float(z.imag.std()) == pytest.approx(
        1, abs=0.1
    )


def test_precision_of_positions_and_times_is_kept():
    vis = made().to(torch.float32)
    assert (
        vis.data.dtype == torch.complex64 and vis.weight.dtype == torch.float32 and vis.dtype == torch.float32
    )
    assert vis.time.dtype == vis.uvw.dtype == vis.frequencies.dtype == torch.float64
    with pytest.raises(ParameterError):
        vis.to(torch.float16)


def test_systematic_error():
    vis = made()
    worse = vis.with_systematic(0.1)
    variance = 1 / vis.weight + (0.1 * vis.data.abs()) ** 2
    torch.testing.assert_close(worse.weight[vis.mask], (1 / variance)[vis.mask])


def test_physics_masks_what_is_flagged(generator):
    """Against the direct transform; flagged data have no influence on the likelihood."""
    vis = eht().observe(
        frequencies=[230e9], phase_center=(3.0, 0.2), hour_angles=(-3.0, 3.0), interval=600.0, sigma=0.01
    )
    flag = torch.rand(vis.flag.shape, generator=generator) < 0.3
    vis = vis.replace(flag=flag).to(torch.float64)
    image = radio_galaxy(32, dtype=torch.float64)
    pixel = 5e-12
    seen = simulate(vis, image, pixel=pixel)
    expected = direct_transform(image, uvw=vis.uvw, frequencies=vis.frequencies, pixel=pixel)
    expected = torch.where(flag[..., 0], 0, expected)
    assert float((seen.values() - expected).norm() / expected.norm()) < 1e-6
    physics = vis.physics(shape=(32, 32), pixel=pixel, accuracy=1e-9)
    spoiled = seen.with_data(torch.where(flag, 1e6, seen.data))
    value = physics.likelihood().value(physics.operator(image), spoiled.values())
    assert float(value) < 1e-6
    assert float(physics.noise.sigma[~flag[..., 0]].max()) == pytest.approx(0.01)
    with pytest.raises(ParameterError, match="take .stokes"):
        made().physics(shape=(8, 8), pixel=1e-6)


def test_resolution():
    vis = made()
    distance = vis.uvw[:, :2].norm(dim=1)[:, None] * vis.frequencies / C
    assert vis.resolution() == pytest.approx(1 / float(torch.where(vis.mask.any(-1), distance, 0).max()))
    with pytest.raises(DataError):
        vis.replace(flag=torch.ones_like(vis.flag)).resolution()


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


def test_shapes_and_pixels_of_images(vis):
    for shape in (32, [32, 32]):
        with pytest.raises(ParameterError, match="shape"):
            vis.physics(shape=shape, pixel=1e-4)
    with pytest.raises(ParameterError, match="radians"):
        vis.physics(shape=(8, 8), pixel="small")
    assert isinstance(vis.physics(shape=(8, 8), pixel=np.float32(1e-4)).operator, Interferometer)
