"""Optical interferometry: models against closed forms and images, fits of simulated data, OIFITS files."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from astropy.io import fits
from scipy import special

import invcore
from invcore import DataError, ParameterError
from invcore.operators import Space
from invcore_radio import (
    MAS,
    Amplitudes,
    Bispectra,
    ClosurePhases,
    SourceModel,
    SquaredVisibilities,
    closure_triangles,
    direct_transform,
    fit_source,
    read_oifits,
)
from invcore_radio._examples.optical import oifits

BASELINES = torch.tensor([[10.0, 0.0], [-40.0, 25.0], [60.0, 80.0], [130.0, -90.0]], dtype=torch.float64)
WAVELENGTHS = torch.tensor([1.6e-6, 2.2e-6], dtype=torch.float64)


def model(parts, free, **fixed):
    named = tuple((n.replace("_", ".", 1), v) for n, v in fixed.items())
    return SourceModel(parts=parts, free=free, fixed=named, baselines=BASELINES, wavelengths=WAVELENGTHS)


def args(diameter):
    return (math.pi * diameter * MAS * BASELINES.norm(dim=1)[:, None] / WAVELENGTHS).numpy()


def test_round_sources_against_bessel_functions():
    x = args(3.0)
    c = 0.4
    disk, sphere = 2 * special.j1(x) / x, 3 * (np.sin(x) - x * np.cos(x)) / x**3
    expected = {
        "disk": disk,
        "ring": special.j0(x),
        "limb_darkened": ((1 - c) / 2 * disk + c / 3 * sphere) / ((1 - c) / 2 + c / 3),
    }
    for part, values in expected.items():
        fixed = {"0_coefficient": c} if part == "limb_darkened" else {}
        V = model((part,), ("0.diameter",), **fixed)(torch.tensor([3.0], dtype=torch.float64))
        np.testing.assert_allclose(V.numpy(), values, atol=1e-13)
    V = model(("gaussian",), ("0.fwhm",))(torch.tensor([3.0], dtype=torch.float64))
    np.testing.assert_allclose(V.numpy(), np.exp(-(x**2) / (4 * math.log(2))), atol=1e-14)


def test_elliptic_and_displaced_parts_against_an_image():
    """An image of the source, transformed directly: position angle from north to east, offsets to east and north."""
    n, pixel = 801, 0.02
    offset = (n // 2 - torch.arange(n, dtype=torch.float64)) * pixel
    north, east = torch.meshgrid(offset, offset, indexing="ij")
    turn = math.radians(30.0)
    major = (east - 1) * math.sin(turn) + (north + 2) * math.cos(turn)
    minor = ((east - 1) * math.cos(turn) - (north + 2) * math.sin(turn)) / 0.6
    s = 3.0 / math.sqrt(8 * math.log(2))
    image = torch.exp(-(major**2 + minor**2) / (2 * s**2))
    image = 0.7 * image / image.sum()
    image[n // 2 - round(3 / pixel), n // 2 - round(4 / pixel)] += 0.3
    uvw = torch.cat([BASELINES, torch.zeros(4, 1)], 1)
    V = direct_transform(
        image[None], uvw=uvw, frequencies=299792458.0 / WAVELENGTHS, pixel=pixel * MAS, w_term=False
    )
    free = ("0.flux", "0.fwhm", "0.ratio", "0.angle", "0.east", "0.north", "1.flux", "1.east", "1.north")
    x = torch.tensor([0.7, 3.0, 0.6, 30.0, 1.0, -2.0, 0.3, 4.0, 3.0], dtype=torch.float64)
    assert (model(("gaussian", "point"), free)(x) - V).abs().max() < 1e-6


def test_a_disk_against_an_image():
    n, pixel = 1001, 0.005
    offset = (n // 2 - torch.arange(n, dtype=torch.float64)) * pixel
    image = ((offset[:, None] ** 2 + offset**2).sqrt() < 2.0).double()
    uvw = torch.cat([BASELINES, torch.zeros(4, 1)], 1)
    V = direct_transform(
        image[None] / image.sum(),
        uvw=uvw,
        frequencies=299792458.0 / WAVELENGTHS,
        pixel=pixel * MAS,
        w_term=False,
    )
    assert (model(("disk",), ("0.diameter",))(torch.tensor([4.0]).double()) - V).abs().max() < 1e-3


def test_background_and_color():
    A = model(("point", "background"), ("1.flux", "1.slope"))
    V = A(torch.tensor([0.25, 2.0], dtype=torch.float64))
    color = 0.25 * (WAVELENGTHS / 1.9e-6) ** 2
    assert (V - 1 / (1 + color)).abs().max() < 1e-14
    with pytest.raises(ParameterError, match=r"0\.size"):
        model(("disk",), ("0.size",))
    with pytest.raises(ParameterError, match="twice"):
        model(("disk",), ("0.diameter",), **{"0_diameter": 2.0})
    with pytest.raises(ParameterError, match="gaussian"):
        model(("blob",), ())


def test_quantities_against_their_definitions(generator):
    V = torch.randn(6, 3, generator=generator, dtype=torch.complex128)
    domain = Space((6, 3), "complex")
    assert torch.equal(Amplitudes(domain=domain)(V), V.abs())
    some = torch.tensor([2, 17])
    assert (
        SquaredVisibilities(domain=domain, index=some)(V) - V.flatten()[some].abs() ** 2
    ).abs().max() < 1e-14
    a, b = torch.triu_indices(4, 4, 1)
    closures = closure_triangles(b, a, torch.zeros(6), good=torch.ones(6, 3, dtype=torch.bool))
    triple = Bispectra(closures=closures)(V)
    assert (triple.angle() - ClosurePhases(closures=closures)(V)).abs().max() < 1e-12
    assert (triple.abs() - V.flatten()[closures.index].abs().prod(-1)).abs().max() < 1e-12


def sample(tmp_path):
    return oifits()["binary star"](tmp_path)


def test_reads_what_was_written(tmp_path):
    data = read_oifits(sample(tmp_path))
    assert (data.target, data.instrument) == ("STAR", "SPECTRO")
    assert data.stations[0] == ("A", "B") and data.triangle_stations[-1] == ("B", "C", "D")
    assert data.direction == pytest.approx((math.radians(80), math.radians(10)))
    assert data.time[0] == 58000.25 * 86400
    assert float(data.phase_sigma[0, 0]) == pytest.approx(math.radians(0.5))
    x = torch.tensor([2.0, 0.1, 3.0, -4.0], dtype=torch.float64)
    A = data.quantities() @ data.model(("disk", "point"), ("0.diameter", "1.flux", "1.east", "1.north"))
    for got, expected in zip(A(x), data.y):
        assert (got - expected).abs().max() < 1e-12
    narrow = data.select(wavelengths=(2.05e-6, 2.35e-6))
    assert narrow.vis2.shape == (6, 3) and narrow.phase.shape == (4, 3)


def test_flags_and_bad_errors_leave_data_out(tmp_path):
    path = sample(tmp_path)
    with fits.open(path, mode="update") as file:
        file["OI_VIS2"].data["FLAG"][1, 2] = True
        file["OI_VIS2"].data["VIS2ERR"][0, 0] = -1.0
        file["OI_T3"].data["T3PHI"][3, 4] = np.nan
    data = read_oifits(path)
    assert [len(part) for part in data.y] == [28, 19]
    assert [s.shape for s in data.quantities().range] == [(28,), (19,)]


def test_image_physics_is_that_of_the_model(tmp_path):
    """A binary on pixels gives the data of the file."""
    data = read_oifits(sample(tmp_path))
    pixel, n = 0.25, 64
    physics = data.physics(shape=(n, n), pixel=pixel * MAS)
    image = torch.zeros(1, n, n, dtype=torch.float64)
    image[0, n // 2, n // 2] = 1 / 1.1
    image[0, n // 2 + 16, n // 2 - 12] = 0.1 / 1.1  # 4 mas south, 3 mas east
    vis2, phase = physics.operator(image)
    expected = data.quantities() @ data.model(("point", "point"), ("1.flux", "1.east", "1.north"))
    for got, wanted in zip((vis2, phase), expected(torch.tensor([0.1, 3.0, -4.0], dtype=torch.float64))):
        assert (got - wanted).abs().max() < 1e-5


def test_a_binary_is_found_with_errors_that_tell_its_scatter(tmp_path, generator):
    data = read_oifits(sample(tmp_path))
    truth = torch.tensor([2.0, 0.1, 3.0, -4.0], dtype=torch.float64)
    noise, A = data.noise(), data.quantities()
    pulls, chi2 = [], []
    grid = [-6.0, -4.5, -3.0, -1.5, 0.0, 1.5, 3.0, 4.5, 6.0]
    for k in range(12):
        y = noise(data.y, space=A.range, generator=generator)
        measured = dataclasses.replace(
            data, vis2=y[0].reshape(data.vis2.shape), phase=y[1].reshape(data.phase.shape)
        )
        axes = (grid, grid) if k == 0 else (3.1, -3.9)
        fit = fit_source(
            measured,
            ["disk", "point"],
            {"0.diameter": 1.9, "1.flux": 0.08, "1.east": axes[0], "1.north": axes[1]},
        )
        pulls.append((fit.x - truth) / fit.covariance.diagonal().sqrt())
        chi2.append(fit.chi2)
        assert fit.count == 50 and fit.dof == 46
    pulls = torch.stack(pulls)
    assert pulls.abs().max() < 4.5
    assert (pulls.mean(0).abs() < 4 / 12**0.5).all() and ((pulls.std(0) > 0.6) & (pulls.std(0) < 1.5)).all()
    assert np.mean(chi2) == pytest.approx(46, abs=4 * (2 * 46 / 12) ** 0.5)
    assert "1.flux = 0.1" in repr(fit) or "1.flux = 0.09" in repr(fit)


def test_what_the_data_cannot_tell_is_an_error(tmp_path):
    data = read_oifits(sample(tmp_path))
    with pytest.raises(ParameterError, match="do not determine"):
        fit_source(data, ["point", "point"], {"0.flux": 1.0, "1.flux": 0.1}, fixed={"1.east": 3.0})
    with pytest.raises(ParameterError, match="no parameter"):
        fit_source(data, ["disk"], {})


def test_files_that_do_not_fit(tmp_path):
    path = sample(tmp_path)
    with pytest.raises(ParameterError, match="SPECTRO"):
        read_oifits(path, instrument="OTHER")
    with pytest.raises(ParameterError, match="STAR"):
        read_oifits(path, target="MOON")
    with fits.open(path) as file:
        for name in ("OI_WAVELENGTH", "OI_TARGET", "OI_VIS2"):
            kept = fits.HDUList([hdu for hdu in file if hdu.name != name])
            kept.writeto(tmp_path / "less.oifits", overwrite=True)
            with pytest.raises(DataError, match=name):
                read_oifits(tmp_path / "less.oifits")
        kept = fits.HDUList([hdu for hdu in file if hdu.name != "OI_T3"])
        kept.writeto(tmp_path / "less.oifits", overwrite=True)
    data = read_oifits(tmp_path / "less.oifits")
    assert data.phase.shape == (0, 5)
    assert fit_source(data, ["disk"], {"0.diameter": 2.0}).count == 30


@pytest.mark.parametrize("index", [None, torch.tensor([0, 2, 3])])
def test_amplitudes_follow_their_likelihood(index, generator):
    V = 3 * torch.exp(1j * torch.rand(4, 1, generator=generator, dtype=torch.float64))
    sigma = torch.tensor([[0.1], [0.2], [0.3], [0.15]], dtype=torch.float64)
    A = Amplitudes(domain=Space((4, 1), "complex"), index=index)
    data = V + sigma * math.sqrt(2) * torch.randn(20_000, 4, 1, generator=generator, dtype=torch.complex128)
    y = A.measured(data, sigma)
    chi2 = 2 * A.noise(V, sigma).likelihood().value(A(V).expand_as(y), y, A.range)
    n = A.range.size
    assert float(chi2.mean()) == pytest.approx(n, rel=0.03) and float(chi2.var()) == pytest.approx(
        2 * n, rel=0.1
    )
    wide = A.noise(V, sigma, fraction=0.1, systematic=0.4).sigma
    assert (wide**2 - A.noise(V, sigma).sigma ** 2 - 0.3**2 - 0.4**2).abs().max() < 1e-12


def test_options_and_defaults_of_the_reader(tmp_path):
    path = sample(tmp_path)
    found = invcore.read(path, size=16, pixel=0.5, systematic=1.0)
    assert found.physics.domain.shape == (1, 16, 16)
    assert found.metadata["format"] == "radio.oifits" and found.metadata["file"] == path.name
    assert found.solver["name"] == "radio.rml" and found.solver["weight"] > 0
    for wrong in ({"size": 2}, {"pixel": 0.0}, {"systematic": -1.0}, {"target": "B"}):
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            invcore.read(path, **wrong)
