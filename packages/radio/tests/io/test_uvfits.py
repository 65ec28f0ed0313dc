"""UVFITS: written and read back, read by astropy alone, damaged, hostile."""

import dataclasses
import math

import numpy as np
import pytest
import torch

import invcore
from invcore import DataError, ParameterError
from invcore_radio import eht, read_uvfits, simulate, vla, write_uvfits
from invcore_radio._examples.io import uvfits as samples

fits = pytest.importorskip("astropy.io.fits")
C = 299792458.0


def observed(
    polarizations=("RR", "LL", "RL", "LR"), frequencies=(1.4e9, 1.41e9), dtype=torch.float32, **look
):
    vis = vla("D", antennas=6).observe(
        hour_angles=(-1.0, 1.0),
        interval=600.0,
        frequencies=frequencies,
        polarizations=polarizations,
        dtype=dtype,
        phase_center=(1.2, 0.5),
        source="A-1",
        **look,
    )
    g = torch.Generator().manual_seed(0)
    data = torch.randn(vis.data.shape, generator=g, dtype=vis.data.dtype)
    weight = 0.5 + torch.rand(vis.data.shape, generator=g, dtype=dtype)
    return vis.replace(data=data, weight=weight, flag=torch.rand(vis.flag.shape, generator=g) < 0.2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("polarizations", "frequencies"),
    [
        (("RR", "LL", "RL", "LR"), (1.4e9, 1.41e9, 1.42e9)),
        (("XX", "YY"), (1.4e9, 1.3e9)),
        (("I",), (1.4e9,)),
        (("LL",), (1.4e9, 1.5e9, 1.7e9)),
    ],
)
def test_back_as_written(tmp_path, polarizations, frequencies, dtype):
    vis = observed(polarizations, frequencies, dtype)
    write_uvfits(tmp_path / "a.uvfits", vis)
    found = read_uvfits(tmp_path / "a.uvfits")
    for name in ("data", "weight", "flag", "antenna1", "antenna2"):
        assert torch.equal(getattr(found, name), getattr(vis, name)), name
    single = dtype == torch.float32
    torch.testing.assert_close(found.uvw, vis.uvw, rtol=1e-7 if single else 1e-14, atol=0)
    torch.testing.assert_close(found.time, vis.time, rtol=0, atol=5e-3 if single else 2e-6)
    torch.testing.assert_close(found.interval, vis.interval)
    torch.testing.assert_close(found.frequencies, vis.frequencies, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.channel_width, vis.channel_width, rtol=1e-6, atol=0)
    torch.testing.assert_close(found.antenna_positions, vis.antenna_positions)
    for name in ("antenna_names", "polarizations", "source", "telescope"):
        assert getattr(found, name) == getattr(vis, name)
    assert found.phase_center == pytest.approx(vis.phase_center, abs=1e-13)


def test_correlations_are_put_in_the_order_of_their_codes(tmp_path):
    vis = observed(("XX", "XY", "YX", "YY"))
    write_uvfits(tmp_path / "a.uvfits", vis)
    found = read_uvfits(tmp_path / "a.uvfits")
    assert found.polarizations == ("XX", "YY", "XY", "YX")
    assert torch.equal(found.select(polarizations=vis.polarizations).data, vis.data)
    with pytest.raises(ParameterError, match="do not fit on one axis"):
        write_uvfits(tmp_path / "b.uvfits", vis.select(polarizations=["XX", "YY", "YX"]))
    assert not (tmp_path / "b.uvfits").exists()
    with pytest.raises(ParameterError, match="no visibilities"):
        write_uvfits(tmp_path / "b.uvfits", vis.rows([]))


def test_what_astropy_reads(tmp_path):
    """The parameters of the groups and the tables, by astropy alone, as AIPS Memo 117 defines them."""
    vis = observed()
    write_uvfits(tmp_path / "a.uvfits", vis)
    with fits.open(tmp_path / "a.uvfits") as file:
        groups = file[0].data
        uvw = np.stack([groups.par(f"{k}---SIN") for k in ("UU", "VV", "WW")], 1)
        second = vis.antenna_positions[vis.antenna2] - vis.antenna_positions[vis.antenna1]
        np.testing.assert_allclose(np.linalg.norm(uvw, axis=1) * C, second.norm(dim=1).numpy(), rtol=1e-6)
        np.testing.assert_allclose(uvw * C, -vis.uvw.numpy(), rtol=1e-6)
        baseline = 256 * (vis.antenna1 + 1) + vis.antenna2 + 1
        np.testing.assert_array_equal(groups.par("BASELINE"), baseline.numpy())
        np.testing.assert_allclose(
            (groups.par("DATE") - 2400000.5) * 86400, vis.time.numpy(), rtol=0, atol=5e-3
        )
        np.testing.assert_array_equal(groups.par("INTTIM"), vis.interval.numpy())
        cube = np.asarray(groups.data)
        assert cube.shape == (len(vis), 1, 1, 1, 2, 4, 3)  # DEC, RA, IF, FREQ, STOKES, COMPLEX
        np.testing.assert_array_equal(cube[:, 0, 0, 0, :, :, 0], vis.data.real.numpy())
        signed = torch.where(vis.flag, -vis.weight, vis.weight)
        np.testing.assert_array_equal(cube[:, 0, 0, 0, :, :, 2], signed.numpy())
        header = file[0].header
        assert [header[f"CTYPE{k}"] for k in range(2, 8)] == ["COMPLEX", "STOKES", "FREQ", "IF", "RA", "DEC"]
        assert header["CRVAL6"] == pytest.approx(math.degrees(1.2))
        table = file["AIPS AN"]
        assert list(table.data["ANNAME"]) == list(vis.antenna_names)
        np.testing.assert_allclose(table.data["STABXYZ"], vis.antenna_positions.numpy())
        from astropy.time import Time

        begin = Time(header["DATE-OBS"], scale="ut1").sidereal_time("mean", "greenwich").deg
        assert table.header["GSTIA0"] == pytest.approx(begin)
        assert file["AIPS FQ"].data["CH WIDTH"].ravel()[0] == pytest.approx(1e7)


def by_hand(path, *, groups=4):
    """A file of another program: date in PZERO, scaled (u, v, w), a gap in antenna numbers, two windows."""
    g = np.random.default_rng(0)
    cube = g.standard_normal((groups, 1, 1, 2, 3, 1, 3)).astype(np.float32)
    cube[..., 2] = abs(cube[..., 2])
    names = ["UU", "VV", "WW", "DATE", "BASELINE"]
    uvw = g.integers(-1000, 1000, (3, groups))
    values = [
        *uvw,
        0.5 + np.arange(groups) / 64,
        np.array([256 * 3 + 7] * (groups - 1) + [256 * 7 + 7.0]),
    ]
    hdu = fits.GroupsHDU(fits.GroupData(cube, bitpix=-32, parnames=names, pardata=values))
    header = hdu.header
    for k, (kind, value, delta) in enumerate(
        [
            ("COMPLEX", 1, 1),
            ("STOKES", 1, 1),
            ("FREQ", 1e9, 1e6),
            ("IF", 1, 1),
            ("RA", 10, 1),
            ("DEC", 20, 1),
        ],
        2,
    ):
        header[f"CTYPE{k}"], header[f"CRVAL{k}"], header[f"CDELT{k}"], header[f"CRPIX{k}"] = (
            kind,
            value,
            delta,
            1,
        )
    antennas = fits.BinTableHDU.from_columns(
        [
            fits.Column("ANNAME", "8A", array=np.array(["X", "Y"])),
            fits.Column("STABXYZ", "3D", array=np.array([[1.0, 2, 3], [4, 5, 6]])),
            fits.Column("NOSTA", "1J", array=np.array([3, 7])),
        ],
        name="AIPS AN",
    )
    antennas.header["TIMESYS"] = "IAT"
    windows = fits.BinTableHDU.from_columns(
        [
            fits.Column("FRQSEL", "1J", array=np.array([1])),
            fits.Column("IF FREQ", "2D", array=np.array([[0.0, 1e8]])),
            fits.Column("CH WIDTH", "2E", array=np.array([[1e6, 2e6]])),
            fits.Column("SIDEBAND", "2J", array=np.array([[1, -1]])),
        ],
        name="AIPS FQ",
    )
    scales = {"PSCAL1": 1e-9, "PSCAL2": 1e-9, "PSCAL3": 1e-9, "PZERO4": 2457000.0}
    header.update(dict.fromkeys(scales, 0.0) | {"CRPIX4": 2})
    fits.HDUList([hdu, antennas, windows]).writeto(path)
    path.write_bytes(patched(path.read_bytes(), scales))
    return cube, uvw


def patched(raw, cards):
    """The file with other values in its first header, whatever they do to it."""
    for key, value in cards.items():
        places = {raw[i : i + 8].decode("latin1").strip(): i for i in range(2880 * 3, -1, -80)}
        at = places.get(key, places["CRPIX7"])
        raw = raw[:at] + str(fits.Card(key, value)).encode().ljust(80) + raw[at + 80 :]
    return raw


def test_file_of_another_program(tmp_path):
    cube, uvw = by_hand(tmp_path / "a.uvfits")
    vis = read_uvfits(tmp_path / "a.uvfits")
    assert len(vis) == 3  # the autocorrelation is left out
    np.testing.assert_allclose(vis.uvw.numpy(), -C * 1e-9 * uvw.T[:3], rtol=1e-6)
    np.testing.assert_array_equal(vis.data.real.numpy()[..., 0], cube[:3, 0, 0, :, :, 0, 0].reshape(3, 6))
    expected = [1e9 - 1e6, 1e9, 1e9 + 1e6, 1.1e9 + 2e6, 1.1e9, 1.1e9 - 2e6]
    assert vis.frequencies.tolist() == pytest.approx(expected, abs=1)
    seconds = (2457000.5 - 2400000.5) * 86400 + np.arange(3) * 86400 / 64
    np.testing.assert_allclose(vis.time.numpy(), seconds - 35.0, atol=1e-3)  # IAT was 35 s before UTC
    assert vis.antenna_names == ("X", "Y") and set(vis.antenna2.tolist()) == {1}
    assert vis.antenna_positions.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert vis.phase_center == pytest.approx((math.radians(10), math.radians(20)))
    assert vis.interval.tolist() == pytest.approx([1350.0] * 3)


@pytest.mark.parametrize(
    ("cards", "message"),
    [
        ({"CTYPE3": "STROKES"}, "no axis STOKES"),
        ({"CRVAL3": 17}, "STOKES axis has codes"),
        ({"CRVAL4": -1e12}, "not positive"),
        ({"PTYPE1": "UU---NCP"}, "NCP"),
        ({"PTYPE4": "DATES"}, "no parameter DATE"),
        ({"PTYPE5": "BASE"}, "neither BASELINE nor"),
        ({"EPOCH": 1950.0}, "equinox 1950"),
        ({"CTYPE5": "PLANET"}, "more than one pixel"),
        ({"GCOUNT": 10**12}, "truncated|damaged"),
        ({"NAXIS2": 10**9}, "truncated|damaged"),
        ({"PCOUNT": 10**6}, "truncated|damaged"),
        ({"BITPIX": -64}, "truncated|damaged|BASELINE"),
    ],
)
def test_headers_that_lie(tmp_path, cards, message):
    path = tmp_path / "liar.uvfits"
    by_hand(path)
    path.write_bytes(patched(path.read_bytes(), cards))
    with pytest.raises(DataError, match=message) as caught:
        read_uvfits(path)
    assert "liar.uvfits" in str(caught.value)


def test_cut_anywhere(tmp_path):
    path = tmp_path / "cut.uvfits"
    write_uvfits(path, observed())
    whole, complete = path.read_bytes(), read_uvfits(path)
    for keep in [0, 100, *range(2880, len(whole), 2880), len(whole) - 1]:
        path.write_bytes(whole[:keep])
        if (
            keep == len(whole) - 2 * 2880
        ):  # the table of frequencies, which repeats the header, is what is missing
            found = read_uvfits(path)
            assert torch.equal(found.frequencies, complete.frequencies)
            assert torch.equal(found.data, complete.data)
            continue
        with pytest.raises(DataError, match=r"cut\.uvfits"):
            read_uvfits(path)


def test_bytes_changed(tmp_path):
    """Whatever is done to the headers and tables, a reader gives data or a DataError."""
    path = tmp_path / "changed.uvfits"
    write_uvfits(path, observed(("RR",), (1.4e9,)))
    whole = bytearray(path.read_bytes())
    g = np.random.default_rng(1)
    seen = 0
    for _ in range(60):
        copy = bytearray(whole)
        for at in g.integers(80, 2880 * 3, 4):
            copy[at] = g.integers(32, 127)
        path.write_bytes(copy)
        try:
            read_uvfits(path)
        except (DataError, ParameterError):
            seen += 1
    assert seen > 0


def test_values_that_are_not_finite_are_flagged(tmp_path):
    vis = observed(("RR", "LL"), (1.4e9,))
    path = tmp_path / "a.uvfits"
    write_uvfits(path, vis)
    with fits.open(path, mode="update") as file:
        file[0].data.data[0, ..., 0, 2] = np.inf
        file[0].data.data[1, ..., 1, 0] = np.nan
    found = read_uvfits(path)
    assert bool(found.flag[0, 0, 0]) and bool(found.flag[1, 0, 1])
    assert float(found.weight[0, 0, 0]) == 0 and found.data[1, 0, 1] == 0


def test_unknown_antenna_and_repeated_number(tmp_path):
    path = tmp_path / "a.uvfits"
    write_uvfits(path, observed(("RR",), (1.4e9,)))
    with fits.open(path, mode="update") as file:
        file["AIPS AN"].data["NOSTA"][5] = 9
    with pytest.raises(DataError, match=r"antennas \[6\]"):
        read_uvfits(path)
    with fits.open(path, mode="update") as file:
        file["AIPS AN"].data["NOSTA"][5] = 1
    with pytest.raises(DataError, match="repeats"):
        read_uvfits(path)


def test_options_of_the_reader(tmp_path):
    path = tmp_path / "a.uvfits"
    vis = observed(("RR", "LL"), (1.4e9,))
    write_uvfits(path, vis)
    found = invcore.read(path, size=32, pixel=20.0)
    assert found.metadata["format"] == "radio.uvfits" and found.metadata["pixel_arcsec"] == 20.0
    stokes = vis.stokes("I").unflagged()
    assert torch.equal(found.y, stokes.values())
    sigma = found.physics.noise.sigma[stokes.mask[..., 0]]
    torch.testing.assert_close(sigma, stokes.sigma[stokes.mask].reshape(sigma.shape))
    assert found.physics.domain.shape == (1, 32, 32)
    assert len(invcore.read(path, average=1e5).y) == 15
    for wrong in ({"pixel": -1.0}, {"size": 2}, {"source": "B"}, {"frequency_setup": 4}, {"stokes": "Q"}):
        with pytest.raises(ParameterError):
            invcore.read(path, **wrong)
    write_uvfits(path, vis.replace(flag=torch.ones_like(vis.flag)))
    with pytest.raises(DataError, match="Stokes I are flagged"):
        invcore.read(path)


def test_data_from_a_file_agree_with_the_operator(tmp_path):
    """Off-center source, simulated, written, read: the image of the source explains the data."""
    image = torch.zeros(1, 32, 32)
    image[0, 7, 21] = 3.0
    vis = eht().observe(frequencies=[230e9], phase_center=(3.0, 0.2), interval=600.0, sigma=0.01)
    vis = simulate(vis, image, pixel=5e-12)
    write_uvfits(tmp_path / "a.uvfits", vis)
    found = read_uvfits(tmp_path / "a.uvfits")
    predicted = found.physics(shape=(32, 32), pixel=5e-12).operator(image)
    assert float((predicted - found.values()).norm() / found.values().norm()) < 1e-4


def test_samples_have_the_sizes_they_say(tmp_path):
    for write in samples().values():
        assert len(read_uvfits(write(tmp_path))) == 90


def test_many_antennas(tmp_path):
    """More than 255 need other parameters than BASELINE."""
    n = 300
    vis = observed(("I",), (1.4e9,)).rows([0, 1])
    vis = dataclasses.replace(
        vis,
        antenna_names=tuple(f"A{k}" for k in range(n)),
        antenna_positions=torch.rand(n, 3, dtype=torch.float64),
        antenna1=torch.tensor([0, 280]),
        antenna2=torch.tensor([299, 281]),
    )
    write_uvfits(tmp_path / "a.uvfits", vis)
    found = read_uvfits(tmp_path / "a.uvfits")
    assert found.antenna1.tolist() == [0, 280] and found.antenna2.tolist() == [299, 281]


def several(path):
    """Two sources and two frequency setups, each group with the numbers of both."""
    g = np.random.default_rng(2)
    cube = np.abs(g.standard_normal((8, 1, 1, 1, 1, 1, 3))).astype(np.float32)
    names = ["UU---SIN", "VV---SIN", "WW---SIN", "DATE", "DATE", "ANTENNA1", "ANTENNA2", "SOURCE", "FREQSEL"]
    sources, setups = np.array([1.0, 1, 1, 1, 5, 5, 5, 5]), np.array([1.0, 2, 1, 2, 1, 1, 1, 1])
    values = [*(1e-6 * g.standard_normal((3, 8))), np.full(8, 2457000.5), np.arange(8) / 64]
    values += [np.ones(8), np.full(8, 2.0), sources, setups]
    hdu = fits.GroupsHDU(fits.GroupData(cube, bitpix=-32, parnames=names, pardata=values))
    axes = [("COMPLEX", 1), ("STOKES", -1), ("FREQ", 1e9), ("IF", 1), ("RA", 0), ("DEC", 0)]
    for k, (kind, value) in enumerate(axes, 2):
        hdu.header[f"CTYPE{k}"], hdu.header[f"CRVAL{k}"] = kind, value
        hdu.header[f"CDELT{k}"], hdu.header[f"CRPIX{k}"] = 1e6, 1
    antennas = fits.BinTableHDU.from_columns(
        [
            fits.Column("ANNAME", "8A", array=np.array(["X", "X"])),
            fits.Column("STABXYZ", "3D", array=np.array([[10.0, 20, 30], [-5, 0, 1]])),
            fits.Column("NOSTA", "1J", array=np.array([1, 2])),
        ],
        name="AIPS AN",
    )
    angle = 2.0
    center = (5e6 * math.cos(angle), 5e6 * math.sin(angle), 3e6)
    for axis, value in zip("XYZ", center):
        antennas.header[f"ARRAY{axis}"] = value
    antennas.header["XYZHAND"] = "LEFT"
    bands = fits.BinTableHDU.from_columns(
        [
            fits.Column("FRQSEL", "1J", array=np.array([1, 2])),
            fits.Column("IF FREQ", "1D", array=np.array([0.0, 5e8])),
            fits.Column("CH WIDTH", "1E", array=np.array([1e6, 2e6])),
            fits.Column("SIDEBAND", "1J", array=np.array([1, 1])),
        ],
        name="AIPS FQ",
    )
    objects = fits.BinTableHDU.from_columns(
        [
            fits.Column("ID. NO.", "1J", array=np.array([1, 5])),
            fits.Column("SOURCE", "16A", array=np.array(["3C48", "3C286"])),
            fits.Column("RAEPO", "1D", array=np.array([24.4, 202.8])),
            fits.Column("DECEPO", "1D", array=np.array([33.2, 30.5])),
            fits.Column("EPOCH", "1D", array=np.array([2000.0, 2000.0])),
        ],
        name="AIPS SU",
    )
    fits.HDUList([hdu, antennas, bands, objects]).writeto(path)
    return cube[:, 0, 0, 0, 0, 0, 0], angle, center


def test_sources_and_setups_are_chosen(tmp_path):
    path = tmp_path / "several.uvfits"
    real, angle, center = several(path)
    with pytest.raises(DataError, match="sources 3C48, 3C286: choose one with source="):
        read_uvfits(path, frequency_setup=1)
    with pytest.raises(ParameterError, match="no source '3C1'"):
        read_uvfits(path, source="3C1", frequency_setup=1)
    vis = read_uvfits(path, source="3C48", frequency_setup=2)
    assert (
        vis.source == "3C48" and vis.frequencies.tolist() == [1.5e9] and vis.channel_width.tolist() == [2e6]
    )
    np.testing.assert_array_equal(vis.data.real.flatten().numpy(), real[[1, 3]])
    other = read_uvfits(path, source="3C286", frequency_setup=1)
    assert other.phase_center == pytest.approx((math.radians(202.8), math.radians(30.5))) and len(other) == 4
    both = read_uvfits(path, source="3C48")  # the setups at different times
    assert both.frequencies.tolist() == [1e9, 1.5e9] and both.channel_width.tolist() == [1e6, 2e6]
    np.testing.assert_array_equal(
        both.data.real[..., 0].numpy(), real[:4, None] * np.array([[1, 0], [0, 1]] * 2)
    )
    assert both.flag[..., 0].tolist() == [[False, True], [True, False]] * 2
    notes = invcore.read(path, source="3C48", single_hand=True).metadata["notes"]
    assert any("frequency_setup=" in note for note in notes)
    # repeated names become different; a left-handed local system, x in the meridian of the array
    assert vis.antenna_names == ("X:1", "X:2")
    x, y, z = 10.0, -20.0, 30.0
    expected = (
        center[0] + x * math.cos(angle) - y * math.sin(angle),
        center[1] + x * math.sin(angle) + y * math.cos(angle),
        center[2] + z,
    )
    assert vis.antenna_positions[0].tolist() == pytest.approx(expected, rel=1e-12)


def test_subarrays_are_refused(tmp_path):
    path = tmp_path / "a.uvfits"
    write_uvfits(path, observed(("RR",), (1.4e9,)))
    with fits.open(path, mode="update") as file:
        file[0].data.field("BASELINE")[3] += 0.01
    with pytest.raises(DataError, match="several subarrays"):
        read_uvfits(path)


@pytest.mark.parametrize(("unit", "scale"), [("mJy", 1e-3), ("JY", 1.0), ("UNCALIB", 1.0)])
def test_the_unit_of_visibilities(tmp_path, vis, unit, scale):
    """mJy are read as such; what is no flux density is said. The flagged visibilities are counted."""
    path = tmp_path / "a.uvfits"
    flag = vis.flag.clone()
    flag[3] = True
    write_uvfits(path, vis.replace(flag=flag))
    before = read_uvfits(path)
    with fits.open(path, mode="update") as file:
        file[0].header["BUNIT"] = unit
    after = read_uvfits(path)
    torch.testing.assert_close(after.data, scale * before.data)
    torch.testing.assert_close(after.sigma[after.mask], scale * before.sigma[before.mask])
    acquisition = invcore.read(path, size=16)
    assert any("UNCALIB" in note for note in acquisition.metadata.get("notes", ())) == (unit == "UNCALIB")
    assert acquisition.left_out[0].startswith(f"{len(vis) - 1} of {len(vis)} visibilities")
