"""What all estimators share: measured responses, data of the operator, refused options."""

import pytest
import torch

from invcore import DataError, ParameterError
from invcore_lidar import (
    TCSPC,
    Histogram,
    ImpulseResponse,
    MatchedFilter,
    RegularizedDepth,
    Sketch,
    find_surfaces,
    matched_filter,
    sketch,
    unmixed,
)

H = ImpulseResponse.gaussian(fwhm=300e-12)


@pytest.mark.parametrize("shift", [0.0, 2e-9])
@pytest.mark.parametrize("width", [1, 50])
def test_a_measured_response_does_as_well_as_the_formula(width, shift, wall):
    t = torch.arange(-50, 51, dtype=torch.float64) * 10e-12
    measured = ImpulseResponse.measured(samples=H.density(t), spacing=10e-12, origin=shift - 500e-12)
    tags = wall(20.0, 2.0, size=24, impulse=measured)
    data = tags if width == 1 else tags.histogram(width)
    for make in (matched_filter, unmixed, RegularizedDepth(max_steps=8).estimate):
        estimate = make(data, measured)
        assert float((estimate.depth - 2.0).mean().abs()) < 0.002
        assert float(estimate.reflectivity.mean()) == pytest.approx(20.0, rel=0.05)
        assert 0.001 < float(estimate.std.mean()) < 0.01  # of one pixel: 19 mm / √20


def test_solvers_take_data_of_the_operator(scan):
    _, tags = scan(10.0, 1.0, size=16)
    data = tags.histogram(100)
    operator = TCSPC(impulse=H, bins=data.bins, bin_width=data.bin_width, shape=data.shape, start=data.start)
    physics = operator.physics()
    x = MatchedFilter()(data.counts.double(), physics)
    torch.testing.assert_close(x, matched_filter(data, H).image())
    both = RegularizedDepth(max_steps=3)(torch.stack([data.counts, data.counts.flip(-1)]), physics)
    one = RegularizedDepth(max_steps=3)(data.counts, physics)
    torch.testing.assert_close(both[0], one)


def test_wrong_options_say_so(wall):
    tags = wall(1.0, 1.0, size=4)
    with pytest.raises(ParameterError, match="kind"):
        matched_filter(tags, H, kind="sum")
    with pytest.raises(ParameterError, match="false_alarm"):
        unmixed(tags, H, false_alarm=2.0)
    with pytest.raises(ParameterError, match="surfaces"):
        find_surfaces(tags, H, surfaces=0)
    with pytest.raises(ParameterError, match="order"):
        sketch(tags, order=0)
    with pytest.raises(ParameterError, match="one surface"):
        physics = TCSPC(impulse=H, bins=20, bin_width=1e-10, shape=(2, 2), surfaces=2).physics()
        MatchedFilter()(torch.ones(20, 2, 2), physics)
    with pytest.raises(ParameterError, match="psf"):
        physics = TCSPC(impulse=H, bins=20, bin_width=1e-10, shape=(2, 2), psf=torch.ones(1, 1)).physics()
        RegularizedDepth()(torch.ones(20, 2, 2), physics)
    with pytest.raises(ParameterError, match="weight"):
        RegularizedDepth(weight=-1.0).estimate(tags, H)
    with pytest.raises(ParameterError, match="surfaces"):
        RegularizedDepth().estimate(tags, H, surfaces=0)
    with pytest.raises(ParameterError, match="ImpulseResponse.gaussian"):
        TCSPC(impulse=300e-12, bins=20, bin_width=1e-10, shape=(2, 2))
    with pytest.raises(ParameterError, match="ImpulseResponse.gaussian"):
        matched_filter(tags, 300e-12)
    with pytest.raises(DataError, match="1 counts that are NaN"):
        matched_filter(Histogram(counts=torch.full((1, 1, 1), torch.nan), bin_width=1e-10), H)
    assert isinstance(sketch(tags, order=2), Sketch)
