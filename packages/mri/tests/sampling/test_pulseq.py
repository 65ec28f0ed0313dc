"""Trajectories of Pulseq sequences, which pypulseq itself writes."""

import math

import numpy as np
import pytest
import torch

import invcore
from invcore import DataError
from invcore_mri import NUFFTSense, read_pulseq, simulate

pp = pytest.importorskip("pypulseq", reason="the package pypulseq writes these files")
FOV, N, SPOKES = 0.24, 32, 48


def written(path, fov=FOV):
    """Spokes through the center: prewinder, readout of N samples at steps of 1 / FOV."""
    system = pp.Opts(max_grad=30, grad_unit="mT/m", max_slew=150, slew_unit="T/m/s")
    sequence = pp.Sequence(system)
    pulse = pp.make_block_pulse(flip_angle=0.1, duration=1e-4, delay=1e-4, system=system, use="excitation")
    for j in range(SPOKES):
        x, y = math.cos(math.pi * j / SPOKES), math.sin(math.pi * j / SPOKES)
        sequence.add_block(pulse)
        reads = [
            pp.make_trapezoid(channel=c, flat_area=a * N / fov, flat_time=6.4e-4, system=system)
            for c, a in (("x", x), ("y", y))
            if abs(a) > 1e-9
        ]
        sequence.add_block(
            *(
                pp.make_trapezoid(
                    channel=g.channel, area=-g.area / 2 - g.amplitude * 1e-5, duration=1e-3, system=system
                )
                for g in reads
            )
        )
        adc = pp.make_adc(num_samples=N, dwell=2e-5, delay=reads[0].rise_time, system=system)
        rise = max(g.rise_time for g in reads)
        for g in reads:
            g.delay = rise - g.rise_time
        adc.delay = rise
        sequence.add_block(*reads, adc)
    sequence.set_definition("FOV", [fov, fov, 0.005])
    sequence.write(str(path), create_signature=False)
    return path


def test_spokes(tmp_path):
    k = read_pulseq(written(tmp_path / "a.seq"))
    assert k.shape == (SPOKES, N, 3)
    angles = torch.arange(SPOKES) * math.pi / SPOKES
    radii = (
        torch.arange(N) - N / 2 + 0.5 - 0.5
    )  # samples in the middle of their dwell time, moved by half a step
    expected = radii[None, :, None] * torch.stack([angles.cos(), angles.sin(), 0 * angles], -1)[:, None]
    assert float((k - expected).abs().amax()) < 0.02
    torch.testing.assert_close(read_pulseq(tmp_path / "a.seq", fov=2 * FOV), 2 * k)


def test_a_siemens_scan_along_it(tmp_path):
    from invcore_mri._examples import twix

    path = twix()["VD"](tmp_path)
    with pytest.raises(DataError, match="48 readouts of 32 samples.*28 readouts"):
        invcore.read(path, sequence=str(written(tmp_path / "a.seq")))


def test_an_ismrmrd_scan_along_it(tmp_path):
    from invcore_mri._examples.ismrmrd import _HEADER, _record, _write

    k = read_pulseq(written(tmp_path / "a.seq"))[..., :2]
    scan = simulate((N, N), coils=4, generator=torch.Generator().manual_seed(0))
    y = NUFFTSense(scan.maps, k.reshape(-1, 2), method="direct")(scan.image).reshape(4, SPOKES, N)
    facts = {"nx": N, "rx": N, "fx": 240, "ny": N, "last": 31, "center": 16, "kind": "other"}
    path = _write(tmp_path / "s.h5", _HEADER.format(**facts), [_record(y[:, j]) for j in range(SPOKES)])
    acq = invcore.read(path, sequence=str(tmp_path / "a.seq"), sigma=1e-3)
    torch.testing.assert_close(acq.physics.operator.trajectory, k.reshape(-1, 2))
    torch.testing.assert_close(1e-3 * acq.y, y.flatten(1), rtol=1e-4, atol=1e-5)
    assert acq.voxel_size == pytest.approx((FOV / N, FOV / N))


def test_what_is_no_sequence(tmp_path):
    (tmp_path / "a.seq").write_text("hello")
    with pytest.raises(DataError, match="no Pulseq sequence"):
        read_pulseq(tmp_path / "a.seq")
    text = written(tmp_path / "b.seq").read_text()
    (tmp_path / "c.seq").write_text(text + "\n[SHAPES]\n\nshape_id 9\nnum_samples 99999999999\n1\n")
    with pytest.raises(DataError, match="99999999999 samples"):
        read_pulseq(tmp_path / "c.seq")
    assert np.isfinite(read_pulseq(tmp_path / "b.seq").numpy()).all()
