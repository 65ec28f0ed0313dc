"""Default images of connected arrays, from file to restored.fits: peak and flux of known sources."""

import dataclasses
import math

import pytest
import torch

import invcore
from invcore_radio import RestoringBeam, read_fits_image, vla, write_uvfits
from invcore_radio._examples.io import write_sample_set

fits = pytest.importorskip("astropy.io.fits")
SPEED_OF_LIGHT = 299792458.0


def observed(parts, *, antennas=9, frequency=1.4e9, configuration="C", sigma=0.02, hours=3.0, seed=0):
    """Visibilities of parts (kind, Jy, east, north, size), lengths in units of the resolution."""
    empty = vla(configuration, antennas=antennas).observe(
        hour_angles=(-hours / 2, hours / 2), interval=300.0, frequencies=[frequency], sigma=sigma
    )
    u, v, w = (empty.uvw * frequency / SPEED_OF_LIGHT).T
    resolution, total = empty.resolution(), torch.zeros(len(u), dtype=torch.complex128)
    for kind, flux, east, north, size in parts:
        l, m, r = east * resolution, north * resolution, size * resolution * torch.hypot(u, v)
        phase = -2 * math.pi * (u * l + v * m + w * (math.sqrt(1 - l * l - m * m) - 1))
        bessel = torch.special.bessel_j1(2 * math.pi * r.clamp_min(1e-9)) / (math.pi * r.clamp_min(1e-9))
        shape = {"point": torch.ones_like(r), "gaussian": (-2 * (math.pi * r) ** 2).exp(), "disk": bessel}[
            kind
        ]
        total += flux * shape * torch.polar(torch.ones_like(phase), phase)
    noise = torch.randn(2, *empty.data.shape, generator=torch.Generator().manual_seed(seed))
    return empty.replace(
        data=total.reshape(empty.data.shape).to(torch.complex64) + sigma * torch.complex(*noise)
    )


def expected(parts, resolution, sky):
    """The parts seen with the restoring beam of ``sky``, in Jy/beam: sums of points between pixels."""
    n, beam = sky.image.shape[-1], RestoringBeam(major=sky.beam[0], minor=sky.beam[1], angle=sky.beam[2])
    at = (n // 2 - torch.arange(n, dtype=torch.float64)) * sky.pixel
    image = torch.zeros(n, n, dtype=torch.float64)
    for kind, flux, east, north, size in parts:
        grid = torch.linspace(-4, 4, 65, dtype=torch.float64) if kind != "point" else torch.zeros(1).double()
        x, y = torch.meshgrid(grid, grid, indexing="ij")
        r = torch.hypot(x, y)
        share = {"point": r == 0, "gaussian": (-(r**2) / 2).exp(), "disk": torch.sigmoid((1 - r) * 100)}[kind]
        for dx, dy, f in zip(x.ravel(), y.ravel(), (share / share.sum()).ravel()):
            if f < 1e-5:
                continue
            e, s = at - (east + size * dx) * resolution, at[:, None] - (north + size * dy) * resolution
            along = s * math.cos(beam.angle) + e * math.sin(beam.angle)
            across = e * math.cos(beam.angle) - s * math.sin(beam.angle)
            power = (along / beam.major) ** 2 + (across / beam.minor) ** 2
            image += flux * f * torch.exp(-4 * math.log(2) * power)
    return image


POINT = [("point", 2.0, 0, 0, 0)]
ASIDE = [("point", 2.0, 3.2, -4.6, 0)]
BETWEEN = [("point", 2.0, -3.3, 4.1, 0)]
UNEQUAL = [("point", 2.0, 1.0, 3.0, 0), ("point", 0.4, -3.4, -1.2, 0)]
CASES = {
    "point": (POINT, {}),
    "point aside, mJy": ([("point", 2e-3, 3.2, -4.6, 0)], {"sigma": 2e-5}),
    "point between pixels": (BETWEEN, {}),
    "point, 27 antennas": (ASIDE, {"antennas": 27, "hours": 1.0}),
    "point, low S/N": (ASIDE, {"sigma": 1.0, "antennas": 27, "hours": 1.0}),
    "points, 9 antennas": (UNEQUAL, {}),
    "points, another band": (UNEQUAL, {"frequency": 8.4e9, "configuration": "D", "antennas": 12}),
    "gaussian, 9 antennas": ([("gaussian", 3.0, 2.0, 0, 0.5)], {}),
    "gaussian, 27 antennas": ([("gaussian", 3.0, 2.0, 0, 1.0)], {"antennas": 27, "hours": 1.0}),
    "disk, 27 antennas": ([("disk", 5.0, -1.0, 2.0, 1.5)], {"antennas": 27, "hours": 1.0}),
}


@pytest.mark.parametrize("name", CASES)
def test_peak_and_flux_of_the_default_image(tmp_path, name):
    parts, how = CASES[name]
    vis = observed(parts, **how)
    write_uvfits(tmp_path / "a.uvfits", vis)
    _check(tmp_path, tmp_path / "a.uvfits", parts, vis)


def test_the_command_gives_the_same(tmp_path):
    """`reconstruct` adds nothing to reader, solver and output that the other tests call."""
    vis = observed(ASIDE)
    write_uvfits(tmp_path / "a.uvfits", vis)
    done = invcore.reconstruct(
        tmp_path / "a.uvfits", output=tmp_path / "out", options={"size": 80}, nifti=False
    )
    assert done.remarks == ()
    _check_files(done.files, ASIDE, vis)


def test_negative_flux_and_an_empty_model_are_said(tmp_path):
    """A wavelet prior on sparse baselines makes Stokes I of negative pixels; noise alone gives no model."""
    write_uvfits(tmp_path / "a.uvfits", observed(POINT))
    how = {"options": {"size": 48}, "max_steps": 3, "nifti": False}
    done = invcore.reconstruct(tmp_path / "a.uvfits", output=tmp_path / "a", prior="wavelet", **how)
    assert done.problem["solver"]["name"] == "fista", "a prior needs a solver that takes one"
    assert "negative" in done.remarks[0] and done.provenance["data"]["remarks"] == list(done.remarks)
    noise = observed([("point", 0.0, 0, 0, 0)])
    write_uvfits(tmp_path / "b.uvfits", noise.replace(weight=noise.weight / 3))
    acquisition = invcore.read(tmp_path / "b.uvfits", size=48)
    assert "empty" in acquisition.output.remarks(_solved(acquisition))[0]


def test_weights_of_one_for_data_of_mJy(tmp_path):
    """Weights that state 1 Jy of noise (ratt-ru/CubiCal#85): the noise is seen in the data, and said."""
    parts = CASES["point aside, mJy"][0]
    vis = observed(parts, sigma=2e-5)
    write_uvfits(tmp_path / "a.uvfits", vis.replace(weight=torch.ones_like(vis.weight)))
    _check(tmp_path, tmp_path / "a.uvfits", parts, vis)
    assert "times the noise" in invcore.read(tmp_path / "a.uvfits", size=80).metadata["notes"][0]


def test_the_default_image_of_a_measurement_set(tmp_path):
    pytest.importorskip("casacore.tables", reason="python-casacore is not installed")
    vis = observed(UNEQUAL)
    write_sample_set(tmp_path / "a.ms", vis)
    _check(tmp_path, tmp_path / "a.ms", UNEQUAL, vis)


@pytest.mark.parametrize("w_term", [True, False])
def test_a_grid_beyond_the_horizon_is_cut(tmp_path, w_term):
    """A compact array at 30 MHz: 256 pixels of a fifth of its resolution would span more than the sky."""
    vis = observed(POINT)
    write_uvfits(tmp_path / "a.uvfits", dataclasses.replace(vis, uvw=vis.uvw / 5000))
    for options in ({}, {"size": 512}):
        acquisition = invcore.read(tmp_path / "a.uvfits", w_term=w_term, **options)
        n = acquisition.physics.operator.shape[0]
        corner = n / math.sqrt(2) * math.radians(acquisition.metadata["pixel_arcsec"] / 3600)
        assert 0.95 < corner < 1 and str(n) in acquisition.metadata["notes"][0]


def _check(tmp_path, file, parts, vis):
    acquisition = invcore.read(file, size=80)
    _check_files(acquisition.output.write(tmp_path, _solved(acquisition), {}), parts, vis)


def _solved(acquisition):
    table = dict(acquisition.solver)
    return invcore.solver(table.pop("name"), **table)(acquisition.y, acquisition.physics)


def _check_files(files, parts, vis):
    sky, model = (read_fits_image(files[f"{n}.fits"]) for n in ("restored", "image"))
    right = expected(parts, vis.resolution(), sky)
    at = right > 0.05 * right.max()
    image, flux = sky.image[0].double(), sum(part[1] for part in parts)
    assert float(model.image.sum()) == pytest.approx(flux, rel=0.03)
    assert float(image.max() / right.max()) == pytest.approx(1, abs=0.03)
    assert float(image[at].sum() / right[at].sum()) == pytest.approx(1, abs=0.03)
