"""From raw files to data and physics."""

import pytest
import torch

import invcore
from invcore import DataError, ParameterError, ShapeError
from invcore_mri import (
    CflReader,
    Espirit,
    FastMRIReader,
    MaskEquispaced,
    Sense,
    acquire,
    read_cfl,
    root_sum_of_squares,
    simulate,
    write_cfl,
    write_fastmri,
)


def solve(acquisition, steps=15, shift=0.01):
    """Regularized least squares by conjugate gradients, written out."""
    A, y = acquisition.physics.operator, acquisition.y
    residual = A.H(y)
    x, direction, square = torch.zeros_like(residual), residual, residual.abs().square().sum()
    first = square
    for _ in range(steps):
        if square < 1e-10 * first:
            break
        image = A.gram(direction) + shift * direction
        step = square / (direction.conj() * image).sum().real
        x, residual = x + step * direction, residual - step * image
        before, square = square, residual.abs().square().sum()
        direction = residual + square / before * direction
    return x


def coil_images(kspace):
    axes = (-2, -1)
    return torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(kspace, dim=axes), norm="ortho"), dim=axes)


def fitted_error(x, reference):
    x = x.abs().reshape(reference.shape)
    scale = (x * reference).sum() / x.square().sum()
    return float((scale * x - reference).norm() / reference.norm())


@pytest.fixture
def scan(generator):
    return simulate((96, 80), coils=6, sigma=0.02, generator=generator)


def test_whitened_data_and_their_physics(scan, generator):
    mixing = torch.randn(6, 6, dtype=torch.complex64, generator=generator) * 0.2 + torch.eye(6)
    raw = torch.tensordot(mixing, scan.kspace, dims=1)
    noise = 0.02 * torch.tensordot(
        mixing, torch.view_as_complex(torch.randn(6, 5000, 2, generator=generator)), dims=1
    )
    acquisition = acquire(raw, noise=noise)
    operator, facts = acquisition.physics.operator, acquisition.metadata
    assert isinstance(operator, Sense) and operator.domain.shape == (1, 96, 80)
    assert operator.mask.numel() == 1 and facts["acceleration"] == 1 and facts["whitened"]
    assert float(acquisition.physics.noise.sigma) == 1.0
    border = torch.view_as_real(acquisition.y[:, :, :6])
    assert border.std() == pytest.approx(1, rel=0.05)
    # the magnitude is the root sum of squares of the raw coils, in units of the noise
    reference = torch.linalg.vector_norm(coil_images(raw), dim=0) * facts["scale"]
    inside = scan.image[0].abs() > 0.3
    ratio = (solve(acquisition)[0].abs() / reference)[inside]
    assert ratio.median() == pytest.approx(1, abs=0.02) and ratio.std() < 0.05


@pytest.mark.parametrize("whiten", [None, True, False])
def test_brightness_does_not_depend_on_whitening(whiten, scan):
    acquisition = acquire(scan.kspace, whiten=whiten)
    assert acquisition.metadata["whitened"] == (whiten is not False)
    assert acquisition.metadata["sigma"] == pytest.approx(0.02, rel=0.1)
    ratio = solve(acquisition)[0].abs() / acquisition.metadata["scale"] / scan.image[0].abs()
    assert ratio[scan.image[0].abs() > 0.3].median() == pytest.approx(1, abs=0.03)


def test_noise_level_by_hand(scan):
    acquisition = acquire(scan.kspace, sigma=0.5)
    torch.testing.assert_close(acquisition.y, scan.kspace / 0.5)
    assert acquisition.metadata["scale"] == 2 and acquisition.metadata["noise"] == {"from": "given"}


def test_given_maps_explain_the_data(scan):
    for options in ({"whiten": True}, {"sigma": 0.02}):
        acquisition = acquire(scan.kspace, maps=scan.maps, **options)
        left = acquisition.y - acquisition.physics.operator(scan.image * acquisition.metadata["scale"])
        assert torch.view_as_real(left).std() == pytest.approx(1, rel=0.05)
    two = acquire(scan.kspace, maps=torch.stack([scan.maps, scan.maps]))
    assert two.physics.domain.shape == (2, 96, 80) and two.metadata["calibration"]["sets"] == 2


def test_masks_are_found_and_made_small(scan):
    lines = MaskEquispaced(shape=(96, 80), acceleration=2.0, calib=24)()
    found = acquire(lines * scan.kspace).physics.operator.mask
    torch.testing.assert_close(found, lines)
    given = acquire(scan.kspace, mask=lines)
    torch.testing.assert_close(given.physics.operator.mask, lines)
    assert given.metadata["acceleration"] == pytest.approx(2, rel=0.05)
    torch.testing.assert_close(given.y != 0, (lines != 0).expand(6, 96, 80))


def test_batch_of_slices(generator):
    kspace = torch.stack([simulate((64, 64), coils=4, generator=generator).kspace for _ in range(2)])
    acquisition = acquire(kspace, sigma=0.01, calibration=Espirit(calib=20, sets=1))
    assert acquisition.y.shape == (2, 4, 64, 64) and acquisition.physics.operator.maps.shape == (2, 4, 64, 64)
    assert acquisition.physics.operator.mask.numel() == 1


def test_volume_and_several_sets(generator):
    kspace = simulate((16, 24, 20), coils=4, sigma=0.02, generator=generator).kspace
    calibration = Espirit(calib=12, kernel=4, sets=2, spatial_dims=3)
    acquisition = acquire(kspace, spatial_dims=3, calibration=calibration)
    assert acquisition.physics.domain.shape == (2, 16, 24, 20)
    assert acquisition.physics.range.shape == (4, 16, 24, 20)


def test_single_coil(generator):
    acquisition = acquire(simulate((64, 64), coils=1, sigma=0.02, generator=generator).kspace)
    torch.testing.assert_close(
        acquisition.physics.operator.maps.abs(), torch.ones(1, 64, 64), rtol=1e-4, atol=0
    )


def test_signal_at_the_border_is_noted(generator):
    acquisition = acquire(simulate((64, 64), coils=4, sigma=1e-4, generator=generator).kspace)
    assert not acquisition.metadata["whitened"]
    assert "do not look like noise" in acquisition.metadata["notes"][0]


@pytest.mark.parametrize("name, bound", [("brain8_full", 0.06), ("brain8_und2x2", 0.077)])
def test_measured_scan(name, bound, mri_data):
    reference = torch.linalg.vector_norm(
        coil_images(read_cfl(mri_data / "brain8_full")[0].permute(2, 0, 1)), dim=0
    )
    acquisition = invcore.read(mri_data / f"{name}.cfl")
    assert acquisition.metadata["format"] == "mri.cfl" and acquisition.metadata["coils"] == 8
    assert fitted_error(solve(acquisition), reference) < bound


def test_what_is_wrong_with_the_data_is_said(scan, tmp_path):
    kspace = scan.kspace
    bad = kspace.clone()
    bad[2, 3, 4] = float("nan")
    with pytest.raises(DataError, match=r"1 NaN or infinite samples, the first at index \[2, 3, 4\]"):
        acquire(bad)
    huge = torch.full_like(kspace, 1e38)  # finite, though its sum is not
    with pytest.raises(DataError, match="some coils are copies"):
        acquire(huge)
    with pytest.raises(DataError, match="only zeros"):
        acquire(torch.zeros_like(kspace))
    silent = kspace.clone()
    silent[1] = 0
    with pytest.raises(DataError, match=r"coils \[1\] of 6 have only zeros"):
        acquire(silent)
    with pytest.raises(DataError, match=r"coil maps have shape \(5, 96, 80\).*must have 6 coils"):
        acquire(kspace, maps=scan.maps[:5])
    with pytest.raises(DataError, match="must be complex"):
        acquire(kspace, maps=scan.maps.abs())
    with pytest.raises(DataError, match="noise scan has 4 coils on its first axis, k-space 6"):
        acquire(kspace, noise=kspace[:4, :9])
    with pytest.raises(DataError, match="do not fit"):
        acquire(kspace, mask=torch.ones(7, 7))
    with pytest.raises(DataError, match="no sample is left"):
        acquire(kspace, mask=torch.zeros(96, 80))
    with pytest.raises(DataError, match="no voxel reaches"):
        acquire(kspace, calibration=Espirit(crop=0.9999, soft=0.0, threshold=0.5))
    with pytest.raises(ShapeError, match="slice, coil"):
        acquire(kspace[None, None])
    with pytest.raises(ParameterError, match="not both"):
        acquire(kspace, sigma=1.0, whiten=True)
    with pytest.raises(ParameterError, match="positive"):
        acquire(kspace, sigma=0.0)
    with pytest.raises(ParameterError, match=r"pass Espirit\(spatial_dims=2"):
        acquire(kspace, calibration=Espirit(spatial_dims=3))


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


def test_fastmri_reader(tmp_path, generator):
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
    whole = invcore.read(tmp_path / "test.h5", slice="all")
    assert whole.y.shape == (3, 4, 64, 48)
    torch.testing.assert_close(whole.physics.operator.mask, mask)


def test_hdf5_without_kspace_through_read(tmp_path):
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["reconstruction_rss"] = torch.ones(2, 3, 3).numpy()
    with pytest.raises(DataError, match=r"no dataset 'kspace'.*it holds reconstruction_rss"):
        invcore.read(tmp_path / "a.h5")


def test_noise_does_not_enter_the_maps():
    """A low signal-to-noise volume: singular values of noise lie above the relative threshold."""
    from invcore.metrics import NRMSE
    from invcore.solvers import ConjugateGradient

    def seed():
        return torch.Generator().manual_seed(0)

    noisy = simulate((24, 24, 24), coils=8, sigma=0.02, generator=seed())
    clean = root_sum_of_squares(
        simulate((24, 24, 24), coils=8, sigma=0.0, generator=seed()).kspace, spatial_dims=3
    )
    metric = NRMSE(spatial_dims=3, fit="scalar")
    errors = []
    for sigma in (1.0, 0.0):
        calibration = Espirit(spatial_dims=3, kernel=4, crop=0.0, soft=0.0, sigma=sigma)
        acq = acquire(noisy.kspace, spatial_dims=3, calibration=calibration)
        errors.append(float(metric(ConjugateGradient()(acq.y, acq.physics).abs(), clean)))
    assert errors[0] < 0.12
    assert errors[1] > 2 * errors[0]  # what happens without the noise level
