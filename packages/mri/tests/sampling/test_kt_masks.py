"""Masks of a series against what their names promise."""

import pytest
import torch

from invcore import ParameterError
from invcore_mri import MaskKTPoisson, MaskRandom, MaskShifted, partial_fourier_mask


@pytest.mark.parametrize(("R", "step"), [(4, 1), (5, 2), (8, 3)])
def test_any_r_successive_frames_have_every_line_once(R, step):
    mask = MaskShifted(shape=(6, 40), frames=3 * R, acceleration=R, calib=0)()[:, 0]
    for first in range(2 * R):
        assert torch.equal(mask[first : first + R].sum(0), torch.ones(40))
    line = mask.argmax(1)
    assert torch.equal((line.diff() - step) % R, torch.zeros(3 * R - 1, dtype=torch.long))


def test_the_folded_copies_of_a_shifted_lattice_do_not_touch():
    """The point spread function in x-f space has R peaks, at R different places and frequencies."""
    R = 5
    mask = MaskShifted(shape=(4, 40), frames=20, acceleration=R, calib=0)()[:, 0]
    psf = torch.fft.fft2(mask).abs()
    peaks = (psf > 0.5 * psf.max()).nonzero()
    assert len(peaks) == R
    assert len(set(peaks[:, 0].tolist())) == len(set(peaks[:, 1].tolist())) == R


def test_every_frame_has_its_center_and_as_many_lines(generator):
    generate = MaskKTPoisson(shape=(64, 8), frames=12, acceleration=5.0, calib=6, axis=-2)
    masks = generate(batch=(2,), generator=generator)
    assert masks.shape == (2, 12, 64, 1)
    assert torch.equal(masks.sum((-2, -1)), torch.full((2, 12), 13.0))
    assert masks[..., 29:35, 0].all()
    assert not torch.equal(masks[0], masks[1])
    density = masks.mean((0, 1, 3))
    assert float(density[20:44].mean()) > 2 * float(torch.cat([density[:8], density[-8:]]).mean())


def test_a_line_is_rarely_measured_twice_in_a_row(generator):
    shape = (8, 96)
    kt = MaskKTPoisson(shape=shape, frames=16, acceleration=4.0, calib=0)(generator=generator)[:, 0]
    random = MaskRandom(shape=shape, acceleration=4.0, calib=0)(batch=(16,), generator=generator)[:, 0]

    def repeated(mask):
        return float((mask[1:] * mask[:-1]).sum() / mask.sum())

    assert repeated(kt) < 0.2 * repeated(random)


def test_partial_fourier_keeps_a_little_more_than_half():
    mask = partial_fourier_mask((10, 16), 5 / 8, missing="start")
    assert mask.shape == (1, 16)
    assert mask.flatten().tolist() == [0.0] * 6 + [1.0] * 10
    assert partial_fourier_mask((10, 16), 0.6, axis=0).shape == (10, 1)


def test_what_cannot_be_is_refused():
    with pytest.raises(ParameterError, match="no divisor in common"):
        MaskShifted(shape=(8, 8), frames=4, acceleration=4, shift=2)
    with pytest.raises(ParameterError, match="whole number from 1 to 8"):
        MaskShifted(shape=(8, 8), frames=4, acceleration=2.5)
    with pytest.raises(ParameterError, match="is more than the 4 of a frame"):
        MaskKTPoisson(shape=(8, 16), frames=4, acceleration=4.0, calib=8)
    with pytest.raises(ParameterError, match="axis 2"):
        MaskKTPoisson(shape=(8, 16), frames=4, axis=2)
    with pytest.raises(ParameterError, match="above 1/2"):
        partial_fourier_mask((8, 8), 0.5)
    with pytest.raises(ParameterError, match="holds no mask"):
        MaskShifted(shape=(8, 8), frames=2)(batch=(0,))
