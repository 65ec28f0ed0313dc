"""fastMRI files: round trips, the header, and files that lie."""

import h5py
import numpy as np
import pytest
import torch

import invcore
from invcore import DataError, ParameterError
from invcore_mri import (
    FastMRIReader,
    MaskEquispaced,
    parse_header,
    read_fastmri,
    simulate,
    write_cfl,
    write_fastmri,
)
from invcore_mri._io.fastmri import header_geometry

HEADER = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <acquisitionSystemInformation><systemVendor>ACME &amp; Co</systemVendor></acquisitionSystemInformation>
 <encoding>
  <encodedSpace><matrixSize><x>640</x><y>368</y><z>1</z></matrixSize>
   <fieldOfView_mm><x>280</x><y>161</y><z>4.5</z></fieldOfView_mm></encodedSpace>
  <reconSpace><matrixSize><x>320</x><y>320</y><z>1</z></matrixSize>
   <fieldOfView_mm><x>140</x><y>140</y><z>4.5</z></fieldOfView_mm></reconSpace>
  <trajectory>cartesian</trajectory>
 </encoding>
 <sequenceParameters><TR>2200</TR><TE>27</TE></sequenceParameters>
</ismrmrdHeader>"""


@pytest.fixture
def kspace(generator):
    return torch.randn(5, 3, 12, 10, dtype=torch.complex64, generator=generator)


def raw(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            file[name] = value
    return path


def test_round_trip(kspace, tmp_path):
    reference, mask = torch.rand(5, 8, 8), torch.arange(10) % 3
    path = tmp_path / "scan.h5"
    write_fastmri(path, kspace, reference=reference, mask=mask, header=HEADER)
    data = read_fastmri(path)
    assert data.slices == (2,) and data.count == 5
    torch.testing.assert_close(data.kspace, kspace[2])
    torch.testing.assert_close(data.reference, reference[2])
    torch.testing.assert_close(data.mask, (mask != 0).float()[None])
    assert data.header["acquisitionSystemInformation/systemVendor"] == "ACME & Co"
    whole = read_fastmri(path, slice="all")
    torch.testing.assert_close(whole.kspace, kspace)
    assert whole.slices == (0, 1, 2, 3, 4) and whole.reference.shape == (5, 8, 8)
    assert read_fastmri(path, slice=-1).slices == (4,)
    assert read_fastmri(path, slice="3").slices == (3,)
    with pytest.raises(ParameterError, match="no slice 5: the file has 5"):
        read_fastmri(path, slice=5)
    with pytest.raises(ParameterError, match="number or 'all'"):
        read_fastmri(path, slice="middle")


def test_single_coil_and_packed(kspace, tmp_path):
    data = read_fastmri(raw(tmp_path / "single.h5", kspace=kspace[:, 0].numpy()), slice=1)
    torch.testing.assert_close(data.kspace, kspace[1, :1])
    with h5py.File(tmp_path / "packed.h5", "w") as file:
        file.create_dataset("kspace", data=kspace.numpy(), compression="gzip", chunks=(1, 3, 12, 10))
    torch.testing.assert_close(read_fastmri(tmp_path / "packed.h5", slice="all").kspace, kspace)


def test_geometry_of_the_header():
    facts = header_geometry(parse_header(HEADER.encode()))
    assert facts["encoded_matrix_zyx"] == [1, 368, 640]
    assert facts["recon_fov_mm_zyx"] == [4.5, 140.0, 140.0]
    assert facts["voxel_size_mm"] == [4.5, 0.4375, 0.4375]
    assert facts["readout_oversampling"] == 2
    assert facts["TR_ms"] == "2200" and facts["vendor"] == "ACME & Co"
    assert header_geometry({"encoding/encodedSpace/matrixSize/x": "nan"}) == {}


def test_the_voxel_is_that_of_the_stored_samples(tmp_path):
    """Samples of k-space are 1/(field of view) apart, so that padding makes voxels smaller."""
    kspace = simulate((48, 40), coils=4, generator=torch.Generator().manual_seed(0)).kspace
    write_fastmri(tmp_path / "a.h5", kspace[None], header=HEADER)
    voxel = invcore.read(tmp_path / "a.h5").voxel_size
    assert voxel == pytest.approx((0.280 / 48, 0.161 / 40))


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbbbbbbbb">'
    + b"".join(b'<!ENTITY %c "%s">' % (c, b"&%c;" % (c - 1) * 10) for c in range(ord("c"), ord("k")))
    + b"]><a>&j;</a>"
)


@pytest.mark.parametrize(
    "text, message",
    [
        (BOMB, "document type"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "document type"),
        (b"<a><b></a>", "not well-formed"),
        (b"", "not well-formed"),
        (b"\x00\xff", "not well-formed"),
        (b"<a>&b;</a>", "not well-formed"),
        (b"<a>" * 40 + b"</a>" * 40, "nested"),
        (b"<a>" + b"x" * (5 * 2**20) + b"</a>", "bytes, more than"),
    ],
)
def test_hostile_headers(text, message, tmp_path):
    with pytest.raises(DataError, match=message):
        parse_header(text)


def test_other_trajectories_are_refused(kspace, tmp_path):
    write_fastmri(tmp_path / "a.h5", kspace, header=HEADER.replace("cartesian", "radial"))
    with pytest.raises(DataError, match="trajectory is 'radial'"):
        read_fastmri(tmp_path / "a.h5")


def test_files_that_are_not_fastmri(kspace, tmp_path):
    ones = np.ones((2, 3, 4, 5), np.complex64)
    cases = {
        "no array 'kspace'": {"image": ones.real},
        "must be complex, or have real and imaginary part": {"kspace": ones.real},
        r"must have shape \(slice, coil, y, x\)": {"kspace": ones[0, 0]},
        "without empty axes": {"kspace": ones[:0]},
        "'mask' must hold one number for each of the 5 columns": {"kspace": ones, "mask": np.ones(4)},
        "'reconstruction_rss' must be real": {"kspace": ones, "reconstruction_rss": np.ones((3, 4, 4))},
        "one XML text": {"kspace": ones, "ismrmrd_header": np.ones(3)},
    }
    for number, (message, datasets) in enumerate(cases.items()):
        path = raw(tmp_path / f"{number}.h5", **datasets)
        with pytest.raises(DataError, match=message):
            read_fastmri(path)
    with h5py.File(tmp_path / "group.h5", "w") as file:
        file.create_group("kspace")
    with pytest.raises(DataError, match="no array 'kspace'"):
        read_fastmri(tmp_path / "group.h5")
    with pytest.raises(DataError, match="no file"):
        read_fastmri(tmp_path / "absent.h5")
    (tmp_path / "empty.h5").touch()
    with pytest.raises(DataError, match="is empty"):
        read_fastmri(tmp_path / "empty.h5")
    (tmp_path / "text.h5").write_text("not HDF5 at all")
    with pytest.raises(DataError, match="not an HDF5 file"):
        read_fastmri(tmp_path / "text.h5")


def test_cut_file(kspace, tmp_path):
    write_fastmri(tmp_path / "a.h5", kspace)
    content = (tmp_path / "a.h5").read_bytes()
    for length in (16, 600, len(content) // 2, len(content) - 100):
        (tmp_path / "cut.h5").write_bytes(content[:length])
        with pytest.raises(DataError, match=r"damaged or truncated|not an HDF5 file"):
            read_fastmri(tmp_path / "cut.h5")


def test_declared_but_not_stored(tmp_path):
    """A tiny file that would allocate terabytes."""
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("kspace", shape=(1000, 1000, 1000, 1000), dtype="c8")
    with h5py.File(tmp_path / "packed.h5", "w") as file:
        file.create_dataset(
            "kspace", shape=(1000, 100, 1000, 1000), dtype="c8", chunks=(1, 1, 100, 100), compression="gzip"
        )
        file["kspace"][0, 0, :100, :100] = 1
    for name in ("huge.h5", "packed.h5"):
        with pytest.raises(DataError, match="it is incomplete"):
            read_fastmri(tmp_path / name)


def test_data_of_other_files_are_not_read(kspace, tmp_path):
    write_fastmri(tmp_path / "a.h5", kspace)
    with h5py.File(tmp_path / "external.h5", "w") as file:
        file["kspace"] = h5py.ExternalLink(str(tmp_path / "a.h5"), "kspace")
    with h5py.File(tmp_path / "soft.h5", "w") as file:
        file["kspace"] = h5py.SoftLink("/other")
    layout = h5py.VirtualLayout(shape=(5, 3, 12, 10), dtype="c8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "a.h5"), "kspace", shape=(5, 3, 12, 10))
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file.create_virtual_dataset("kspace", layout)
    said = {"external": "not followed", "soft": "there is nothing", "virtual": "not followed"}
    for name, message in said.items():
        with pytest.raises(DataError, match=message):
            read_fastmri(tmp_path / f"{name}.h5")


def test_failed_write_leaves_nothing(kspace, tmp_path):
    with pytest.raises(DataError, match="expected complex k-space"):
        write_fastmri(tmp_path / "a.h5", kspace[0, 0])
    with pytest.raises(ValueError):
        write_fastmri(tmp_path / "a.h5", kspace, header="a\x00b")
    assert list(tmp_path.iterdir()) == []


def test_fastmri_reader(tmp_path, generator, solve, coil_images, fitted_error):
    kspace = torch.stack(
        [simulate((64, 48), coils=4, sigma=0.02, generator=generator).kspace for _ in range(3)]
    )
    mask = MaskEquispaced(shape=(64, 48), acceleration=2.0, calib=16)()
    reference = torch.linalg.vector_norm(coil_images(kspace), dim=1)[:, 8:-8]
    write_fastmri(tmp_path / "train.h5", kspace, reference=reference)
    write_fastmri(tmp_path / "test.h5", kspace * mask, mask=mask)
    assert FastMRIReader().sniff(tmp_path / "train.h5") and not FastMRIReader().sniff(tmp_path)
    acquisition = invcore.read(tmp_path / "train.h5")
    assert acquisition.y.shape == (4, 64, 48) and acquisition.metadata["slices"] == [1]
    assert (
        acquisition.metadata["crop"] == [48, 48] and acquisition.metadata["reference"] == "reconstruction_rss"
    )
    assert fitted_error(solve(acquisition)[0, 8:-8], reference[1]) < 0.1
    noise = torch.randn(1, 40, 50, 4, dtype=torch.complex64, generator=generator)
    write_cfl(tmp_path / "noise", 0.02 * 2**0.5 * noise)
    facts = invcore.read(tmp_path / "train.h5", noise=tmp_path / "noise").metadata
    assert facts["whitened"] and facts["sigma"] == pytest.approx(0.02, rel=0.05)
    whole = invcore.read(tmp_path / "test.h5", slice="all")
    assert whole.y.shape == (3, 4, 64, 48)
    torch.testing.assert_close(whole.physics.operator.mask, mask)


def test_hdf5_without_kspace_through_read(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["reconstruction_rss"] = torch.ones(2, 3, 3).numpy()
    with pytest.raises(DataError, match=r"no array 'kspace'.*it holds reconstruction_rss"):
        invcore.read(tmp_path / "a.h5")


def test_complex_numbers_as_records_or_pairs_and_masks_of_other_shapes(kspace, tmp_path):
    """MATLAB 7.3 stores records of two reals, other tools pairs; masks come as (1, 1, x, 1) or (y, x)."""
    numbers = kspace.numpy()
    record = np.empty(numbers.shape, [("real", "<f4"), ("imag", "<f4")])
    record["real"], record["imag"] = numbers.real, numbers.imag
    pairs = np.stack([numbers.real, numbers.imag], -1)
    columns = np.arange(numbers.shape[-1]) % 3 > 0
    plane = np.broadcast_to(columns, numbers.shape[-2:])
    for number, (samples, mask) in enumerate(
        [(record, columns[None, None, :, None]), (pairs, plane), (numbers, columns)]
    ):
        found = read_fastmri(raw(tmp_path / f"{number}.h5", kspace=samples, mask=mask), slice=0)
        assert torch.equal(found.kspace, kspace[0])
        assert torch.equal(found.mask.bool().expand(numbers.shape[-2:]), torch.from_numpy(plane.copy()))


def test_slices_that_are_left_out_are_said(kspace, tmp_path):
    path = raw(tmp_path / "scan.h5", kspace=kspace.numpy())
    said = invcore.read(path, sigma=0.01, slice=0).left_out
    assert said == (f"1 of {len(kspace)} slices used; slice= chooses, slice=all takes all of them",)


def test_a_header_that_names_another_encoding():
    """Texts in HDF5 are UTF-8 whatever their XML says of itself."""
    text = b'<?xml version="1.0" encoding="utg-8"?><ismrmrdHeader><a><b>\xc3\xa9</b></a></ismrmrdHeader>'
    assert parse_header(text, "scan.h5")["a/b"] == "\u00e9"
