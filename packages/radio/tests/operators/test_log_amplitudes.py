"""Log amplitudes with marginalized gains against closure amplitudes."""

import pytest
import torch

from invcore_radio import (
    LogAmplitudes,
    log_closure_amplitudes,
)


def test_marginalized_amplitudes_become_log_closure_amplitudes_where_gains_are_unknown(observed):
    """With a large gain error χ² equals that of a complete set of closure amplitudes with its covariance."""
    vis = observed("ring")
    first = vis.rows(vis.time == vis.time[len(vis) // 2])
    ratios = log_closure_amplitudes(first)
    y, sigma = first.values(), first.sigma[..., 0]
    A = LogAmplitudes(index=torch.arange(len(first)), shape=(len(first), 1))
    covariance = A.covariance(
        y,
        sigma,
        antenna1=first.antenna1,
        antenna2=first.antenna2,
        group=torch.zeros(len(first), dtype=torch.int64),
        gain_error=torch.full((len(first.antenna_names),), 1e3, dtype=torch.float64),
    )
    likelihood = ratios.noise(y, sigma, correlated=True).likelihood()
    for seed in (1, 2):
        noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        model = y * (1 + 0.2 * noise)
        r = A(model) - A(y)
        chi = float(r @ covariance.solve(r))
        assert chi == pytest.approx(2 * float(likelihood.value(ratios(model), ratios(y))), rel=1e-4)
