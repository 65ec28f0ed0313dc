"""ISMRMRD files, written by the package of the format: what becomes of every kind of readout."""

import h5py
import numpy as np
import pytest
import torch

import invcore
from invcore import DataError, ParameterError
from invcore_mri import NUFFTSense, radial, root_sum_of_squares, simulate

ismrmrd = pytest.importorskip("ismrmrd", reason="the package ismrmrd writes these files")

HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>{nx}</x><y>{ny}</y><z>{nz}</z></matrixSize>
<fieldOfView_mm><x>{fx}</x><y>200</y><z>{fz}</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{rx}</x><y>{ny}</y><z>{nz}</z></matrixSize>
<fieldOfView_mm><x>{fr}</x><y>200</y><z>{fz}</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum><center>{center}</center>
</kspace_encoding_step_1></encodingLimits><trajectory>{kind}</trajectory></encoding></ismrmrdHeader>"""


def header(**facts):
    known = {"nx": 48, "rx": 48, "fx": 240, "fr": 240, "ny": 40, "nz": 1, "fz": 5, "last": 39, "center": 20}
    return HEADER.format(**{**known, "kind": "cartesian", **facts})


def readout(samples, *, flags=(), center=None, k=None, dwell=5.0, **index):
    samples = np.ascontiguousarray(samples, np.complex64)
    found = ismrmrd.Acquisition()
    found.resize(samples.shape[1], samples.shape[0], 0 if k is None else k.shape[1])
    found.data[:] = samples
    if k is not None:
        found.traj[:] = k
    found.center_sample = samples.shape[1] // 2 if center is None else center
    found.sample_time_us = dwell
    for flag in flags:
        found.setFlag(flag)
    for name, value in index.items():
        setattr(found.idx, name, value)
    return found


def write(path, text, readouts):
    with ismrmrd.Dataset(str(path), "dataset", create_if_needed=True) as file:
        file.write_xml_header(text.encode())
        for one in readouts:
            file.append_acquisition(one)
    return path


def lines(kspace, **more):
    """Readouts of k-space (coil, x, y)."""
    return [readout(kspace[:, :, j], kspace_encode_step_1=j, **more) for j in range(kspace.shape[2])]


@pytest.fixture(scope="module")
def brain():
    return simulate((48, 40), coils=4, sigma=0.02, generator=torch.Generator().manual_seed(0)).kspace


def ifft(x, axis):
    return np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(x, axis), axis=axis, norm="ortho"), axis)


def fft(x, axis):
    return np.fft.fftshift(np.fft.fft(np.fft.ifftshift(x, axis), axis=axis, norm="ortho"), axis)


def test_lines_oversampled_twice_with_a_noise_scan(brain, tmp_path):
    wide = fft(np.pad(ifft(brain.numpy(), 1), ((0, 0), (24, 24), (0, 0))), 1)
    noise = 0.02 * np.random.default_rng(0).standard_normal((4, 4000, 2)) @ [1, 1j]
    noise[1] += 0.5 * noise[0]
    scan = readout(noise, flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT], dwell=10.0)
    path = write(tmp_path / "a.h5", header(nx=96, fx=480), [scan, *lines(wide)])
    acq = invcore.read(path)
    assert acq.metadata["format"] == "mri.ismrmrd" and acq.metadata["shape"] == [48, 40]
    assert acq.voxel_size == pytest.approx((0.24 / 48, 0.2 / 40))
    assert acq.metadata["noise"] == {"from": "noise scan", "samples": 4000} and acq.metadata["whitened"]
    expected = (
        0.02 * np.sqrt(2) * np.sqrt(np.mean([1, 1.25, 1, 1]))
    )  # half the dwell time, twice the variance
    assert acq.metadata["sigma"] == pytest.approx(expected, rel=0.05)
    kept = invcore.read(path, oversampling=True)
    assert kept.y.shape[-2:] == (96, 40)
    plain = invcore.read(path, sigma=0.02)
    torch.testing.assert_close(0.02 * plain.y, brain, rtol=1e-4, atol=1e-4 * float(brain.abs().max()))


def test_averages_and_what_is_chosen(brain, tmp_path):
    many = [one for f in (0.5, 1.5) for one in lines(f * brain.numpy(), average=int(f))]
    many += lines(3 * brain.numpy(), slice=1) + lines(5 * brain.numpy(), slice=2, contrast=1)
    path = write(tmp_path / "a.h5", header(), many)
    acq = invcore.read(path, slice=0, sigma=0.02)
    torch.testing.assert_close(0.02 * acq.y, brain, rtol=1e-4, atol=1e-4)
    assert acq.metadata["averages"] == 2 and "slice 0 of 3 used; slice= chooses" in acq.left_out[0]
    middle = invcore.read(path, sigma=0.02)
    torch.testing.assert_close(0.02 * middle.y, 3 * brain, rtol=1e-4, atol=1e-4)
    with pytest.raises(ParameterError, match=r"contrast= is one of 0, or all; got 1"):
        invcore.read(path, slice=1, contrast=1)
    batch = invcore.read(path, slice="all", contrast=0, sigma=0.02)
    assert batch.y.shape == (2, 4, 48, 40)


def test_partial_echo_and_partial_fourier_stay_where_they_were(brain, tmp_path):
    part = brain.numpy()[:, 14:, 12:]
    readouts = [readout(part[:, :, j], center=10, kspace_encode_step_1=j) for j in range(28)]
    acq = invcore.read(write(tmp_path / "p.h5", header(last=27, center=8), readouts), sigma=0.02)
    expected = torch.zeros_like(brain)
    expected[:, 14:, 12:] = brain[:, 14:, 12:]
    torch.testing.assert_close(0.02 * acq.y, expected, rtol=1e-4, atol=1e-4)
    assert sum("partial Fourier" in note for note in acq.metadata["notes"]) == 2


def test_epi_ghosts_are_removed_by_reference_lines(brain, tmp_path):
    x = np.arange(48) - 24
    ramp = np.exp(1j * (0.7 + 0.05 * x))[None, :, None]
    off = fft(ifft(brain.numpy(), 1) * ramp, 1)  # what a delay of reversed readouts does
    readouts, shown = [], brain.numpy()[:, :, 20]
    for back in (0, 1, 0):
        data = off[:, ::-1, 20] if back else shown
        flags = [ismrmrd.ACQ_IS_PHASECORR_DATA] + back * [ismrmrd.ACQ_IS_REVERSE]
        readouts.append(readout(data, flags=flags, center=23 if back else 24))
    for j in range(40):
        data = off[:, ::-1, j] if j % 2 else brain.numpy()[:, :, j]
        flags = (j % 2) * [ismrmrd.ACQ_IS_REVERSE]
        readouts.append(readout(data, flags=flags, center=23 if j % 2 else 24, kspace_encode_step_1=j))
    acq = invcore.read(write(tmp_path / "e.h5", header(kind="epi"), readouts), sigma=0.02)
    error = (0.02 * acq.y - brain).norm() / brain.norm()
    assert error < 0.01 and "0.7" in acq.metadata["notes"][0]
    bare = invcore.read(write(tmp_path / "b.h5", header(kind="epi"), readouts[3:]), sigma=0.02)
    assert (0.02 * bare.y - brain).norm() / brain.norm() > 0.3 and "ghosts" in bare.metadata["notes"][0]
    assert "evenly spaced" in bare.metadata["notes"][1]


def test_separate_calibration_lines_give_the_maps(brain, tmp_path):
    flag = [ismrmrd.ACQ_IS_PARALLEL_CALIBRATION]
    center = [readout(brain[:, :, j], flags=flag, kspace_encode_step_1=j) for j in range(8, 32)]
    coarse = lines(brain.numpy())[::2]
    path = write(tmp_path / "c.h5", header(), center + coarse)
    acq = invcore.read(path, sigma=0.02)
    assert "separate calibration" in acq.metadata["calibration"]["method"]
    assert acq.metadata["acceleration"] == pytest.approx(2, rel=0.05)
    maps = acq.physics.operator.maps
    image = root_sum_of_squares(brain)[0]
    inside = image > 0.3 * image.max()
    full = invcore.read(write(tmp_path / "f.h5", header(), lines(brain.numpy())), sigma=0.02, sets=1)
    alike = (maps.conj() * full.physics.operator.maps).sum(0).abs()
    assert alike[inside].median() > 0.99


def test_spokes(tmp_path, solve, fitted_error):
    scan, k = simulate((32, 32), coils=4, generator=torch.Generator().manual_seed(0)), radial(48, 32, 32)
    y = NUFFTSense(scan.maps, k.reshape(-1, 2), method="direct")(scan.image).reshape(4, 48, 32).numpy()
    y = y + 1e-3 * np.random.default_rng(0).standard_normal((*y.shape, 2)) @ [1, 1j]
    shots = [readout(y[:, j], k=k[j].numpy() / 32, kspace_encode_step_1=j) for j in range(48)]
    acq = invcore.read(write(tmp_path / "r.mrd", header(nx=32, rx=32, ny=32, kind="radial"), shots))
    torch.testing.assert_close(acq.physics.operator.trajectory, k.reshape(-1, 2))
    inside = (scan.maps.abs().square().sum(0).sqrt() * scan.image[0]).abs()
    assert fitted_error(solve(acq), inside) < 0.08
    with pytest.raises(DataError, match="readouts have none"):
        invcore.read(write(tmp_path / "n.mrd", header(kind="spiral"), lines(y.transpose(0, 2, 1))))


def test_a_volume(tmp_path):
    kspace = simulate((16, 14, 12), coils=3, sigma=0.02, generator=torch.Generator().manual_seed(0)).kspace
    text = header(nx=16, rx=16, ny=14, nz=12, fz=60, last=13, center=7)
    readouts = [
        readout(kspace[:, :, i, j], kspace_encode_step_1=i, kspace_encode_step_2=j)
        for i in range(14)
        for j in range(12)
    ]
    acq = invcore.read(write(tmp_path / "v.h5", text, readouts), sigma=0.02)
    torch.testing.assert_close(0.02 * acq.y, kspace, rtol=1e-4, atol=1e-4)


def test_where_the_image_lies(brain, tmp_path):
    """A coronal slice: NIfTI and DICOM of the command have the position and directions of the heads."""
    nibabel, pydicom = pytest.importorskip("nibabel"), pytest.importorskip("pydicom")
    readouts = lines(brain.numpy())
    for one in readouts:
        one.position[:] = (10.0, -20.0, 30.0)
        one.read_dir[:], one.phase_dir[:], one.slice_dir[:] = (0, 0, -1), (1, 0, 0), (0, -1, 0)
    path = write(tmp_path / "c.h5", header(), readouts)
    out = tmp_path / "out"
    invcore.reconstruct(path, solver="cg", max_steps=2, output=out, options={"sigma": 0.02}, dicom=True)
    affine = nibabel.load(out / "magnitude.nii.gz").affine
    np.testing.assert_allclose(affine @ [20, 24, 0, 1], [-10, 20, 30, 1], atol=1e-3)
    np.testing.assert_allclose(affine[:3, :3], [[-5, 0, 0], [0, 0, 5], [0, -5, 0]], atol=1e-5)
    data = pydicom.dcmread(out / "magnitude.dcm")
    np.testing.assert_allclose(data.ImageOrientationPatient, [1, 0, 0, 0, 0, -1])
    np.testing.assert_allclose(data.ImagePositionPatient, [10 - 20 * 5, -20, 30 + 24 * 5], atol=1e-3)
    record = invcore.read(path, sigma=0.02).metadata["placement"]
    assert record["thickness_m"] == pytest.approx(0.005)


def test_files_that_lie(brain, tmp_path):
    path = write(tmp_path / "a.h5", header(), lines(brain.numpy()))
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>' + header()[21:]
    with pytest.raises(DataError, match="entities"):
        invcore.read(write(tmp_path / "b.h5", bomb, lines(brain.numpy())))
    with h5py.File(path, "r+") as file:
        record = file["dataset/data"][3]
        record["head"]["number_of_samples"] = 60000
        file["dataset/data"][3] = record
    with pytest.raises(DataError, match=r"readout 3 has 60000 samples of 4 coils by its head"):
        invcore.read(path)
    far = [
        *lines(brain.numpy()),
        readout(brain[:, :, 0], kspace_encode_step_1=60000, kspace_encode_step_2=60000),
    ]
    with pytest.raises(DataError, match="hardly anything was measured"):
        invcore.read(write(tmp_path / "f.h5", header(), far))
