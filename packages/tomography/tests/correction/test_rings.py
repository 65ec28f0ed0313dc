"""Stripes of sinograms known exactly."""

import pytest
import torch

from invcore import ParameterError
from invcore_tomography import RemoveRings, ellipses


@pytest.fixture
def blob(sinogram):
    smooth = ellipses(
        center=[(15.0, 10.0), (-20.0, 5.0)],
        axes=[(25.0, 30.0), (12.0, 9.0)],
        density=[1.0, 0.7],
        profile="gaussian",
        dtype=torch.float64,
    )
    return lambda **options: sinogram(100.0, phantom=smooth, **options)[0]


@pytest.mark.parametrize("method", ["sorting", "wavelet"])
def test_stripes_go_and_the_sinogram_stays(blob, method, generator):
    clean = blob()
    gain = torch.zeros(201, dtype=torch.float64)
    where = torch.randperm(201, generator=generator)[:25]
    gain[where] = 0.05 * clean.max() * torch.randn(25, generator=generator, dtype=torch.float64)
    remove = RemoveRings(method=method)
    error = (remove(clean + gain) - clean).norm() / gain.expand_as(clean).norm()
    harm = (remove(clean) - clean).norm() / clean.norm()
    assert error < 0.35
    assert harm < (0.01 if method == "sorting" else 0.02)


@pytest.mark.parametrize("method", ["sorting", "wavelet"])
def test_batches_and_odd_sizes(blob, method):
    p = blob(views=91)[..., :-1]
    remove = RemoveRings(method=method)
    both = remove(torch.stack([p, 2 * p]))
    assert both.shape == (2, 91, 200)
    assert torch.allclose(both[0], remove(p)) and torch.allclose(both[1], 2 * both[0])


def test_options_are_checked():
    with pytest.raises(ParameterError, match="odd"):
        RemoveRings(size=4)
    with pytest.raises(ParameterError, match="method"):
        RemoveRings(method="magic")
    with pytest.raises(ParameterError, match="wavelet"):
        RemoveRings(wavelet="db99")
