"""Corrections of raw counts against closed forms."""

import math

import pytest
import torch

from invcore import DataError, DtypeError, ParameterError, ShapeError
from invcore.noises import LogPoissonNoise
from invcore_tomography import (
    BeamHardening,
    FlatField,
    Hounsfield,
    MinusLog,
    PadTruncated,
    RemoveZingers,
    fit_beam_hardening,
    mean_frame,
    median_filter,
)


def test_counts_give_back_the_line_integrals(generator):
    p = 3 * torch.rand(5, 4, 6, dtype=torch.float64, generator=generator)
    gain = 0.5 + torch.rand(4, 6, dtype=torch.float64, generator=generator)
    counts = 100 + 1e4 * gain * torch.exp(-p)
    field = FlatField(flat=100 + 1e4 * gain, dark=torch.full((4, 6), 100.0, dtype=torch.float64))
    assert torch.allclose(MinusLog(floor=None)(field(counts)), p, atol=1e-12)


def test_dead_pixels_are_known_and_filled_from_the_living():
    field = FlatField(
        flat=torch.tensor([5.0, 100.0, 5.0, 4.0, 100.0]), dark=torch.tensor([5.0, 0.0, 5.0, 5.0, 0.0])
    )
    assert field.dead.tolist() == [True, False, True, True, False]
    assert field(torch.tensor([7.0, 50.0, 0.0, 9.0, 80.0])).tolist() == pytest.approx(
        [0.5, 0.5, 0.6, 0.7, 0.8]
    )


def test_zero_counts_are_handled_as_stated():
    t = torch.tensor([0.5, 0.0, -0.1])
    assert torch.allclose(
        MinusLog(floor=0.01)(t), torch.tensor([-math.log(0.5), -math.log(0.01), -math.log(0.01)])
    )
    with pytest.raises(DataError, match="2 of 3"):
        MinusLog(floor=None)(t)


def test_the_logarithm_is_that_of_the_noise_model(generator):
    noise = LogPoissonNoise(photons=50.0, zero_count=0.5)
    clean = torch.full((20000,), 4.0)
    y = noise(clean, generator=generator)
    ours = MinusLog(floor=0.5 / 50)(
        torch.poisson(50 * torch.exp(-clean), generator=torch.Generator().manual_seed(1)) / 50
    )
    assert torch.allclose(y.mean(), ours.mean(), atol=0.02)
    assert torch.isclose(y.max(), ours.max())


def test_beam_hardening_of_two_energies_is_undone():
    t = torch.linspace(0, 3, 100, dtype=torch.float64)
    measured = -torch.log(0.5 * torch.exp(-t) + 0.5 * torch.exp(-2 * t))  # mean attenuation 1.5
    corrected = fit_beam_hardening(measured, t, degree=4)(measured)
    assert (measured / 1.5 - t).abs().max() > 0.5
    assert (corrected / 1.5 - t).abs().max() < 0.02
    assert BeamHardening(coefficients=(1.0,))(measured).equal(measured)


def test_hounsfield_has_an_inverse():
    scale = Hounsfield(water=20.6, air=0.02)
    mu = torch.tensor([0.02, 20.6, 50.0], dtype=torch.float64)
    assert torch.allclose(scale(mu)[:2], torch.tensor([-1000.0, 0.0], dtype=torch.float64), atol=1e-12)
    assert torch.allclose(scale.inverse(scale(mu)), mu)


def test_padding():
    p = torch.rand(2, 3, 10)
    for mode in ("edge", "cosine"):
        pad = PadTruncated(width=4, mode=mode)
        assert pad(p).shape == (2, 3, 18)
        assert pad.crop(pad(p)).equal(p)
    wide = PadTruncated(width=4)(p)
    assert (wide[..., 0] < 0.15 * p[..., 0]).all() and (wide[..., :4].diff(dim=-1) > 0).all()


def test_zingers_go_and_noise_stays(generator):
    clean = 1000 + 5 * torch.randn(6, 200, generator=generator) + torch.linspace(0, 300, 200)
    hit = clean.clone()
    hit[2, 50], hit[4, 120] = 9000.0, 60000.0
    out = RemoveZingers()(hit)
    assert (out - clean).abs().max() < 40
    untouched = torch.ones_like(clean, dtype=torch.bool)
    untouched[2, 50] = untouched[4, 120] = False
    assert (out == clean)[untouched].float().mean() > 0.999
    dark = clean.clone()
    dark[1, 30] = 0.0
    assert RemoveZingers()(dark)[1, 30] == 0
    assert RemoveZingers(both=True)(dark)[1, 30] > 900


def test_frames_are_averaged_without_their_zingers():
    frames = torch.full((10, 3), 7.0)
    frames[4, 1] = 1e6
    assert mean_frame(frames).tolist() == [7.0, 7.0, 7.0]
    assert mean_frame(frames, robust=False)[1] > 1e5
    assert mean_frame(torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]])).item() == 3.5


def test_median_filter_equals_scipy(generator):
    ndimage = pytest.importorskip("scipy.ndimage")
    x = torch.rand(3, 25, generator=generator)
    expected = ndimage.median_filter(x.numpy(), (1, 5), mode="nearest")
    assert torch.equal(median_filter(x, 5), torch.from_numpy(expected))


def test_what_is_refused():
    with pytest.raises(DataError, match="swapped"):
        FlatField(flat=torch.ones(3), dark=2.0)
    with pytest.raises(ShapeError, match="flat field"):
        FlatField(flat=torch.ones(3))(torch.ones(4))
    with pytest.raises(DtypeError):
        MinusLog(floor=0.1)(torch.ones(2, dtype=torch.complex64))
    with pytest.raises(ParameterError, match="floor"):
        MinusLog(floor=2.0)
