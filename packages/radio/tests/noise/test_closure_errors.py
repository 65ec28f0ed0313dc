"""Errors and biases of phases and log amplitudes against simulated noise."""

import math

import torch

from invcore_radio import (
    debias_amplitude,
    log_amplitude_bias,
    log_amplitude_error,
    phase_error,
)


def test_phase_and_amplitude_errors_match_simulation(generator):
    for rho in (1.0, 2.0, 4.0, 8.9, 9.1, 30.0):
        n = 400_000
        V = rho + math.sqrt(2) * torch.randn(n, generator=generator, dtype=torch.complex128)
        snr = torch.tensor(rho, dtype=torch.float64)
        spread = (-2 * V.angle().cos().mean().log()).sqrt()
        assert abs(phase_error(snr) / spread - 1) < 0.01
        logs = V.abs().log()
        assert abs(log_amplitude_error(snr) / logs.std() - 1) < 0.01
        assert abs(log_amplitude_bias(snr) - (logs.mean() - math.log(rho))) < 6 * logs.std() / n**0.5
        power = debias_amplitude(V, torch.ones(n)).square().mean()
        assert rho < 3 or abs(power / rho**2 - 1) < 0.02
    steps = torch.linspace(8.5, 9.5, 101, dtype=torch.float64)  # both formulas, without a jump between them
    assert log_amplitude_error(steps).diff().diff().abs().max() < 1e-5
    assert phase_error(torch.tensor([49.99, 50.01], dtype=torch.float64)).diff().abs() < 1e-5
