"""BART files: round trips, headers in the wild, and files that lie."""

import numpy as np
import pytest
import torch

import invcore
import invcore_mri
from invcore import DataError, DtypeError, ParameterError, ShapeError
from invcore_mri import CflReader, read_cfl, read_cfl_header, simulate, write_cfl


def put(folder, header="# Dimensions\n2 3\n", count=6, name="scan"):
    if header is not None:
        (folder / f"{name}.hdr").write_bytes(header if isinstance(header, bytes) else header.encode())
    if count is not None:
        np.arange(2 * count, dtype="<f4").tofile(folder / f"{name}.cfl")
    return folder / name


def test_layout_is_that_of_bart(tmp_path):
    """Interleaved little-endian float pairs, first dimension fastest."""
    array = read_cfl(put(tmp_path))
    assert array.shape == (2, 3) and array.dtype == torch.complex64
    assert array[1, 0] == 2 + 3j and array[0, 1] == 4 + 5j


@pytest.mark.parametrize("shape", [(1, 6, 5, 3), (4,), (2, 3, 4, 1, 2), (1,) * 15 + (2,)])
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128, torch.float32, torch.int16])
def test_round_trip(shape, dtype, tmp_path, generator):
    array = (10 * torch.randn(shape, generator=generator)).to(dtype)
    write_cfl(tmp_path / "a.cfl", array)
    words = (tmp_path / "a.hdr").read_text().splitlines()[1].split()
    assert len(words) == 16
    back = read_cfl(tmp_path / "a.hdr")
    torch.testing.assert_close(back.reshape(shape), array.to(torch.complex64))


def test_views_are_written_as_they_look(tmp_path):
    array = torch.arange(24).reshape(2, 3, 4).to(torch.complex64) * (1 + 2j)
    write_cfl(tmp_path / "a", array.mT.conj())
    torch.testing.assert_close(read_cfl(tmp_path / "a"), array.mT.conj().resolve_conj())


@pytest.mark.parametrize("name", ["scan", "scan.v1", "scan.2024.01"])
def test_names_with_dots(name, tmp_path):
    write_cfl(tmp_path / name, torch.ones(2, 3))
    assert {f.name for f in tmp_path.iterdir()} == {f"{name}.cfl", f"{name}.hdr"}
    for ending in ("", ".cfl", ".hdr"):
        assert read_cfl(tmp_path / f"{name}{ending}").shape == (2, 3)


def test_headers_in_the_wild(tmp_path):
    text = (
        "# Creator\nBART v0.8\n# Dimensions\n2 3" + 14 * " 1" + " \n# Command\nphantom -x3\n# Files\n <a b\n"
    )
    assert read_cfl_header(put(tmp_path, text)) == (2, 3)
    assert read_cfl_header(put(tmp_path, text.replace("\n", "\r\n"))) == (2, 3)
    assert read_cfl_header(put(tmp_path, "# dimensions\n2 3")) == (2, 3)
    assert read_cfl_header(put(tmp_path, "# Dimensions\n1 1 1 1\n")) == (1,)


HOSTILE = {
    "absurd size": ("# Dimensions\n1000000 1000000 1000000\n", "truncated"),
    "overflow": ("# Dimensions\n" + "4294967296 " * 4 + "\n", "truncated"),
    "beyond 64 bits": ("# Dimensions\n" + "9" * 39 + " 2\n", "truncated"),
    "too many digits": ("# Dimensions\n" + "9" * 5000 + "\n", "whole numbers"),
    "negative": ("# Dimensions\n-2 -3\n", "positive"),
    "zero": ("# Dimensions\n2 0\n", "positive"),
    "words": ("# Dimensions\ntwo three\n", "whole numbers"),
    "floats": ("# Dimensions\n2.0 3\n", "whole numbers"),
    "empty line": ("# Dimensions\n\n", "whole numbers"),
    "nothing after": ("# Dimensions", "whole numbers"),
    "no dimensions": ("2 3\n", "not a BART header"),
    "empty": ("", "not a BART header"),
    "binary": (bytes(range(256)) * 8, "not a BART header"),
    "huge": (b"# x\n" * 400_000, "larger than a BART header"),
    "too many": ("# Dimensions\n" + "1 " * 16 + "2\n", "at most 16"),
    "too small": ("# Dimensions\n1 3\n", "longer than that"),
    "too large": ("# Dimensions\n4 3\n", "truncated"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_headers_that_lie(case, tmp_path):
    header, message = HOSTILE[case]
    with pytest.raises(DataError, match=message):
        read_cfl(put(tmp_path, header))


def test_missing_and_cut_files(tmp_path):
    with pytest.raises(DataError, match=r"a \.cfl file needs its \.hdr; lone\.cfl is there"):
        read_cfl(put(tmp_path, header=None, name="lone"))
    with pytest.raises(DataError, match="only its header is there"):
        read_cfl(put(tmp_path, count=None, name="head"))
    with pytest.raises(DataError, match="is empty"):
        read_cfl(put(tmp_path, count=0, name="empty"))
    with pytest.raises(DataError, match=r"holds 40 bytes but cut\.hdr states \(2, 3\), which takes 48"):
        read_cfl(put(tmp_path, count=5, name="cut"))
    with pytest.raises(DataError, match="no BART header"):
        read_cfl(tmp_path)


def test_failed_write_leaves_nothing(tmp_path, monkeypatch):
    write_cfl(tmp_path / "a", torch.ones(3))
    before = {f.name: f.read_bytes() for f in tmp_path.iterdir()}

    def interrupted(values, dtype):
        raise KeyboardInterrupt

    monkeypatch.setattr("invcore_mri._io.cfl.np.asarray", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_cfl(tmp_path / "a", torch.zeros(3))
    with pytest.raises(KeyboardInterrupt):
        write_cfl(tmp_path / "b", torch.zeros(3))
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == before


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(DataError, match="cannot write"):
        write_cfl(tmp_path / "no" / "such" / "folder", torch.ones(2))
    with pytest.raises(ShapeError, match="at most 16"):
        write_cfl(tmp_path / "a", torch.ones((1,) * 17))
    with pytest.raises(ShapeError, match="no empty one"):
        write_cfl(tmp_path / "a", torch.ones(2, 0))
    with pytest.raises(DtypeError, match="booleans"):
        write_cfl(tmp_path / "a", torch.ones(2) > 0)


def test_measured_file(mri_data):
    assert read_cfl_header(mri_data / "brain8_full.cfl") == (1, 230, 180, 8)
    kspace = read_cfl(mri_data / "brain8_full")
    peak = divmod(int(kspace.abs().sum((0, 3)).argmax()), 180)
    assert abs(peak[0] - 115) <= 1 and abs(peak[1] - 90) <= 1  # DC at n // 2


def bart(kspace):
    """(coil, y, x) to BART's order."""
    return kspace.movedim(0, -1)[None]


def test_cfl_reader(scan, tmp_path):
    write_cfl(tmp_path / "scan", bart(scan.kspace))
    write_cfl(tmp_path / "maps", bart(scan.maps))
    write_cfl(tmp_path / "two", torch.stack([bart(scan.maps), bart(scan.maps)], -1))
    write_cfl(tmp_path / "noise", bart(torch.randn(6, 40, 50, dtype=torch.complex64)))
    reader = CflReader()
    for ending in ("", ".cfl", ".hdr"):
        assert reader.sniff(tmp_path / f"scan{ending}")
    assert not reader.sniff(tmp_path) and not reader.sniff(tmp_path / "other.cfl")
    (tmp_path / "envi.hdr").write_text("ENVI\nsamples = 4\n")
    assert not reader.sniff(tmp_path / "envi.hdr")
    acquisition = invcore.read(tmp_path / "scan.cfl", maps=tmp_path / "maps", noise=tmp_path / "noise")
    assert acquisition.y.shape == (6, 96, 80)
    assert acquisition.metadata["axes"] == ["phase 1", "phase 2"]
    assert acquisition.metadata["source"] == "scan.cfl"
    assert invcore.read(tmp_path / "scan.hdr", maps=tmp_path / "two").physics.domain.shape == (2, 96, 80)
    write_cfl(tmp_path / "few", bart(scan.maps[:3]))
    write_cfl(tmp_path / "five", bart(torch.randn(5, 40, 50, dtype=torch.complex64)))
    write_cfl(tmp_path / "flat", torch.randn(40, 50, dtype=torch.complex64))
    with pytest.raises(DataError, match="must have 6 coils"):
        invcore.read(tmp_path / "scan.cfl", maps=tmp_path / "few")
    with pytest.raises(DataError, match="noise scan has 5 coils"):
        invcore.read(tmp_path / "scan.cfl", noise=tmp_path / "five")
    with pytest.raises(DataError, match="no coils on dimension 3"):
        invcore.read(tmp_path / "scan.cfl", noise=tmp_path / "flat")


def test_further_dimensions_need_an_index(scan, tmp_path):
    frames = torch.stack([bart(scan.kspace), 2 * bart(scan.kspace)], -1).reshape(1, 96, 80, 6, *(1,) * 6, 2)
    write_cfl(tmp_path / "frames", frames)
    path = tmp_path / "frames.cfl"
    with pytest.raises(DataError, match=r"2 entries along dimension 10 \(time\).*index=\{10: 0\}"):
        invcore.read(path)
    first, second = (invcore.read(path, index=index, sigma=1.0).y for index in ("10=0", {10: 1}))
    torch.testing.assert_close(second, 2 * first)
    for index, message in (
        ({10: 2}, "has 2 entries"),
        ({1: 0}, "dimensions 4 to 15"),
        ("time", "must look like"),
    ):
        with pytest.raises(ParameterError, match=message):
            invcore.read(path, index=index)
    write_cfl(tmp_path / "line", torch.ones(1, 96, 1, 6))
    with pytest.raises(DataError, match="at least two of the first three"):
        invcore.read(tmp_path / "line.cfl")


def test_damaged_cfl_through_read(scan, tmp_path):
    write_cfl(tmp_path / "scan", bart(scan.kspace))
    content = (tmp_path / "scan.cfl").read_bytes()
    (tmp_path / "scan.cfl").write_bytes(content[:-8])
    with pytest.raises(DataError, match="truncated"):
        invcore.read(tmp_path / "scan.cfl")
    (tmp_path / "scan.hdr").unlink()
    with pytest.raises(DataError, match=r"needs its \.hdr"):
        invcore.read(tmp_path / "scan.cfl")


def test_the_common_name_of_the_two_files_is_enough(tmp_path, generator):
    kspace = simulate((48, 40), coils=4, sigma=0.02, generator=generator).kspace
    write_cfl(tmp_path / "scan", kspace.movedim(0, -1)[None])
    assert torch.equal(invcore.read(tmp_path / "scan").y, invcore.read(tmp_path / "scan.cfl").y)
    with pytest.raises(FileNotFoundError, match=r"Did you mean scan\.cfl"):
        invcore.read(tmp_path / "scan.clf")


def test_dimensions_in_another_order_are_noticed(tmp_path, generator):
    kspace = simulate((48, 40), coils=12, sigma=0.02, generator=generator).kspace
    write_cfl(tmp_path / "right", kspace.movedim(0, -1)[None])
    write_cfl(tmp_path / "first", kspace)  # coil, y, x taken for a volume of one coil
    write_cfl(tmp_path / "columns", kspace.permute(1, 0, 2)[None])  # columns taken for coils
    assert invcore.read(tmp_path / "right.cfl").metadata["notes"] == []
    (note,) = invcore.read(tmp_path / "first.cfl").metadata["notes"]
    assert "spatial axis 0 of 12 entries has no peak in the middle" in note
    notes = invcore.read(tmp_path / "columns.cfl", sigma=0.02, maps=torch.ones(40, 48, 12) + 0j).metadata[
        "notes"
    ]
    assert any("the 40 coils are strong in the middle" in note for note in notes)


def test_a_trajectory_of_its_own_file(tmp_path, generator):
    """BART's layout: 3 x samples x readouts, and 1 x samples x readouts x coils."""
    scan, k = invcore_mri.simulate((32, 32), coils=4, generator=generator), invcore_mri.radial(48, 32, 32)
    operator = invcore_mri.NUFFTSense(scan.maps, k.reshape(-1, 2), method="direct")
    y = operator(scan.image).reshape(4, 48, 32)
    invcore_mri.write_cfl(tmp_path / "data", y.permute(2, 1, 0)[None])
    three = torch.nn.functional.pad(k, (0, 1)).permute(2, 1, 0)
    invcore_mri.write_cfl(tmp_path / "traj", three)
    acq = invcore.read(tmp_path / "data.cfl", trajectory=str(tmp_path / "traj.cfl"), sigma=1e-3)
    torch.testing.assert_close(acq.physics.operator.trajectory, k.reshape(-1, 2))
    torch.testing.assert_close(1e-3 * acq.y, y.flatten(1), rtol=1e-4, atol=1e-5)
    assert acq.physics.operator.shape == (32, 32)
    invcore_mri.write_cfl(tmp_path / "short", three[:, :20])
    with pytest.raises(invcore.DataError, match="samples x readouts"):
        invcore.read(tmp_path / "data.cfl", trajectory=str(tmp_path / "short.cfl"))
