"""OIFITS: read back as written, damaged, incomplete."""

import math

import numpy as np
import pytest
import torch
from astropy.io import fits

import invcore
from invcore import DataError, ParameterError
from invcore_radio import (
    MAS,
    fit_source,
    read_oifits,
)


def test_reads_what_was_written(sample):
    data = read_oifits(sample)
    assert (data.target, data.instrument) == ("STAR", "SPECTRO")
    assert data.stations[0] == ("A", "B") and data.triangle_stations[-1] == ("B", "C", "D")
    assert data.direction == pytest.approx((math.radians(80), math.radians(10)))
    assert data.time[0] == 58000.25 * 86400
    assert float(data.phase_sigma[0, 0]) == pytest.approx(math.radians(0.5))
    x = torch.tensor([2.0, 0.1, 3.0, -4.0], dtype=torch.float64)
    A = data.quantities() @ data.model(("disk", "point"), ("0.diameter", "1.flux", "1.east", "1.north"))
    for got, expected in zip(A(x), data.y):
        assert (got - expected).abs().max() < 1e-12
    narrow = data.select(wavelengths=(2.05e-6, 2.35e-6))
    assert narrow.vis2.shape == (6, 3) and narrow.phase.shape == (4, 3)


def test_flags_and_bad_errors_leave_data_out(sample):
    path = sample
    with fits.open(path, mode="update") as file:
        file["OI_VIS2"].data["FLAG"][1, 2] = True
        file["OI_VIS2"].data["VIS2ERR"][0, 0] = -1.0
        file["OI_T3"].data["T3PHI"][3, 4] = np.nan
    data = read_oifits(path)
    assert [len(part) for part in data.y] == [28, 19]
    assert [s.shape for s in data.quantities().range] == [(28,), (19,)]


def test_image_physics_is_that_of_the_model(sample):
    """A binary on pixels gives the data of the file."""
    data = read_oifits(sample)
    pixel, n = 0.25, 64
    physics = data.physics(shape=(n, n), pixel=pixel * MAS)
    image = torch.zeros(1, n, n, dtype=torch.float64)
    image[0, n // 2, n // 2] = 1 / 1.1
    image[0, n // 2 + 16, n // 2 - 12] = 0.1 / 1.1  # 4 mas south, 3 mas east
    vis2, phase = physics.operator(image)
    expected = data.quantities() @ data.model(("point", "point"), ("1.flux", "1.east", "1.north"))
    for got, wanted in zip((vis2, phase), expected(torch.tensor([0.1, 3.0, -4.0], dtype=torch.float64))):
        assert (got - wanted).abs().max() < 1e-5


def test_files_that_do_not_fit(sample, tmp_path):
    path = sample
    with pytest.raises(ParameterError, match="SPECTRO"):
        read_oifits(path, instrument="OTHER")
    with pytest.raises(ParameterError, match="STAR"):
        read_oifits(path, target="MOON")
    with fits.open(path) as file:
        for name in ("OI_WAVELENGTH", "OI_TARGET", "OI_VIS2"):
            kept = fits.HDUList([hdu for hdu in file if hdu.name != name])
            kept.writeto(tmp_path / "less.oifits", overwrite=True)
            with pytest.raises(DataError, match=name):
                read_oifits(tmp_path / "less.oifits")
        kept = fits.HDUList([hdu for hdu in file if hdu.name != "OI_T3"])
        kept.writeto(tmp_path / "less.oifits", overwrite=True)
    data = read_oifits(tmp_path / "less.oifits")
    assert data.phase.shape == (0, 5)
    assert fit_source(data, ["disk"], {"0.diameter": 2.0}).count == 30


def test_options_and_defaults_of_the_reader(sample):
    path = sample
    found = invcore.read(path, size=16, pixel=0.5, systematic=1.0)
    assert found.physics.domain.shape == (1, 16, 16)
    assert found.metadata["format"] == "radio.oifits" and found.metadata["file"] == path.name
    assert found.solver["name"] == "radio.rml" and found.solver["weight"] > 0
    for wrong in ({"size": 2}, {"pixel": 0.0}, {"systematic": -1.0}, {"target": "B"}):
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            invcore.read(path, **wrong)
