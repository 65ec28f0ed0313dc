"""From raw files to data and physics."""

import pytest
import torch

import invcore
from invcore import DataError, ParameterError, ShapeError
from invcore_mri import Espirit, MaskEquispaced, Sense, acquire, read_cfl, root_sum_of_squares, simulate
from invcore_mri._sampling.fft import centered_fft


def test_whitened_data_and_their_physics(scan, generator, solve, coil_images):
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
def test_brightness_does_not_depend_on_whitening(whiten, scan, solve):
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
def test_measured_scan(name, bound, mri_data, solve, coil_images, fitted_error):
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


def test_the_summary_names_coils_and_acceleration():
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(32)
    mask[::2] = 1
    mask[8:24] = 1
    kspace = simulate((32, 32), coils=3, sigma=0.01, generator=generator).kspace * mask
    acquisition = acquire(kspace)
    words = acquisition.output.summary(acquisition)
    assert words.startswith("Sense, data (3, 32, 32), noise 0.0") and words.endswith(
        "3 coils, acceleration 1.33"
    )


def padded(kspace, first, last):
    """Zeros for ``first`` columns at the start and ``last`` at the end."""
    kept = kspace.clone()
    kept[..., :first] = 0
    kept[..., kspace.shape[-1] - last :] = 0
    return kept


def test_zero_padding_is_not_undersampling(scan, coil_images):
    full = padded(scan.kspace, 5, 4)
    assert acquire(full).metadata["acceleration"] == 1
    truth = torch.linalg.vector_norm(coil_images(full), dim=0)
    torch.testing.assert_close(root_sum_of_squares(full)[0], truth)
    rows = full.transpose(-1, -2).contiguous()
    assert acquire(rows).metadata["acceleration"] == 1
    every_second = torch.zeros(80)
    every_second[1::2] = 1
    every_second[28:52] = 1
    part = acquire(full * every_second).metadata["acceleration"]  # columns 5 to 75, 71 of them
    assert part == pytest.approx(71 / float(every_second[5:76].sum()), rel=0.03)


def test_cropped_corners_are_fully_sampled_and_a_hole_is_not(scan):
    y, x = torch.meshgrid(torch.arange(96) - 48, torch.arange(80) - 40, indexing="ij")
    shutter = ((y / 48) ** 2 + (x / 40) ** 2 < 1).float()
    assert acquire(scan.kspace * shutter).metadata["acceleration"] == 1
    shutter[60, 30] = 0
    with pytest.raises(DataError, match=r"1 positions between measured ones"):
        root_sum_of_squares(scan.kspace * shutter)


def test_partial_fourier_is_said(scan):
    notes = acquire(padded(scan.kspace, 30, 0)).metadata["notes"]
    assert any(
        "spatial axis 1 k-space reaches 10 samples to one side of its center and 40" in n for n in notes
    )
    assert not any("partial Fourier" in n for n in acquire(padded(scan.kspace, 3, 2)).metadata["notes"])


def test_a_center_elsewhere_is_said(scan):
    """Partial Fourier stored without its zeros (ismrmrd#131): DC is not in the middle of what is there."""
    notes = acquire(scan.kspace[..., 30:].contiguous(), sigma=0.02, maps=scan.maps[..., 30:]).metadata[
        "notes"
    ]
    assert any("spatial axis 1 is strongest at index 10, its center is taken to be 25" in n for n in notes)


def test_an_object_larger_than_the_field_of_view_gets_two_sets(scan, coil_images):
    """Two sets of maps explain the data up to the noise, one does not."""
    images = coil_images(scan.kspace)
    folded = torch.zeros(*images.shape[:-1], 56, dtype=images.dtype)
    for column in range(80):
        folded[..., (column - 12) % 56] += images[..., column]
    kspace = centered_fft(folded, 2)
    two, one = acquire(kspace), acquire(kspace, calibration=Espirit(crop=0.0, soft=0.0, sigma=1.0))
    assert two.metadata["calibration"]["sets"] == 2
    assert acquire(scan.kspace).metadata["calibration"]["sets"] == 1
    assert "2 sets of coil maps are used" in " ".join(two.metadata["notes"])
    assert "2 sets of coil maps are needed, 1 is used" in " ".join(one.metadata["notes"])

    def residual(acquisition):
        x = invcore.solver("cg", weight=1e-3, max_steps=20, rtol=0.0)(acquisition.y, acquisition.physics)
        return float((acquisition.physics.operator(x) - acquisition.y).abs().square().mean()) / 2

    assert residual(two) < 0.8  # 6 coils, 2 unknowns: 4 / 6 is left of the noise
    assert residual(one) > 1.4  # 5 / 6 if the model were right


def test_half_a_field_of_view_of_a_measured_brain(mri_data, fitted_error):
    """Every second line is kept, so the brain lies folded; a scan of that is accelerated twice more.

    The truth is the root sum of squares of the fully sampled, folded coil images.
    """
    folded = read_cfl(mri_data / "brain8_full")[0].permute(2, 0, 1)[:, ::2].contiguous()
    truth = root_sum_of_squares(folded)
    mask = MaskEquispaced(shape=(115, 180), acceleration=2.0, calib=24, axes=(-2,))()
    error = {}
    for sets in (None, 1):
        acquisition = acquire(folded * mask, sets=sets)
        x = invcore.solver("cg", weight=0.03, max_steps=30, rtol=0.0)(acquisition.y, acquisition.physics)
        shown = next(iter(acquisition.output.pictures(x).values()))
        error[acquisition.metadata["calibration"]["sets"]] = fitted_error(shown, truth)
    assert error[2] < 0.065  # 0.059
    assert error[1] > 0.13  # 0.139: a ghost in the middle
    assert acquire(folded[..., ::2].contiguous(), sets="auto").y.shape == (8, 115, 90)


def test_sets_and_maps_exclude_each_other(scan):
    with pytest.raises(ParameterError, match="not both"):
        acquire(scan.kspace, maps=scan.maps, sets=2)
    with pytest.raises(ParameterError, match="whole number or 'auto'"):
        acquire(scan.kspace, sets="two")
    assert acquire(scan.kspace, sets=2).physics.domain.shape == (2, 96, 80)


def test_silent_coils_are_left_out(scan):
    silent = scan.kspace.clone()
    silent[1] = 0
    acquisition = acquire(silent, maps=scan.maps)
    assert acquisition.y.shape[0] == 5 and acquisition.physics.operator.maps.shape[0] == 5
    assert acquisition.left_out == ("5 of 6 coils used; [1] (from 0) have only zeros",)


def test_a_noise_level_above_the_signal_is_named(scan):
    with pytest.raises(DataError, match=r"no signal .* exceeds the noise.*sigma=50 in the units of k-space"):
        acquire(scan.kspace, sigma=50.0)


def test_conjugated_views_are_read(scan):
    conjugated = acquire(scan.kspace.conj(), sigma=0.02, maps=scan.maps.conj())
    torch.testing.assert_close(conjugated.y, acquire(scan.kspace, sigma=0.02).y.conj().resolve_conj())


@pytest.mark.parametrize("calibration", ["nlinv", "walsh"])
def test_other_calibrations_by_name(calibration, scan, solve, coil_images):
    acquisition = acquire(scan.kspace, calibration=calibration)
    assert acquisition.metadata["calibration"]["method"] == calibration
    reference = torch.linalg.vector_norm(coil_images(scan.kspace), dim=0) * acquisition.metadata["scale"]
    ratio = (solve(acquisition)[0].abs() / reference)[scan.image[0].abs() > 0.3]
    assert ratio.median() == pytest.approx(1, abs=0.03)


def test_compressed_coils(generator, solve):
    """The image of 8 virtual coils is that of 20, in its brightness too, with correlated noise."""
    scan = simulate((64, 56), coils=20, sigma=0.0, generator=generator)
    mixing = torch.randn(20, 20, dtype=torch.complex64, generator=generator) * 0.2 + torch.eye(20)
    noise = torch.view_as_complex(torch.randn(20, 64, 56, 2, generator=generator))
    raw = torch.tensordot(mixing, scan.kspace + 0.01 * noise, dims=1)
    whole, few = acquire(raw), acquire(raw, compress=8)
    assert few.y.shape == (8, 64, 56) and few.physics.operator.maps.shape == (8, 64, 56)
    assert few.metadata["coils"] == 20 and 0 < few.metadata["compressed"]["lost"] < 0.05
    assert any("20 coils compressed to 8" in note for note in few.metadata["notes"])
    a, b = solve(few).abs(), solve(whole).abs()
    assert (a - b).norm() < 0.05 * b.norm()
    assert acquire(raw[None].expand(2, -1, -1, -1), compress="auto").y.shape[1] < 18
    with pytest.raises(ParameterError, match="number of virtual coils or 'auto'"):
        acquire(raw, compress="many")
    with pytest.raises(ParameterError, match="knows one set"):
        acquire(raw, calibration="walsh", sets=2)
