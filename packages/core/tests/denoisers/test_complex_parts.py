"""Denoisers of real images for complex ones, and proximal operators as denoisers."""

import pytest
import torch

from invcore import ParameterError
from invcore.denoisers import BM3D, ComplexParts, Denoiser, Median, ProximalDenoiser, WaveletDenoiser
from invcore.operators import Space
from invcore.priors import L1, TV, NonNegative, Tikhonov, WaveletL1
from invcore_testsupport import error, normal, rng

HAAR = WaveletDenoiser(wavelet="haar", levels=2)


def test_both_parts_are_denoised_each():
    z, levels = (
        normal(3, 1, 16, 16, dtype=torch.complex128),
        torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64),
    )
    found = ComplexParts(HAAR)(z, levels)
    assert torch.equal(found, torch.complex(HAAR(z.real, levels), HAAR(z.imag, levels)))
    assert torch.equal(ComplexParts(HAAR)(z.real, levels), HAAR(z.real, levels))


def test_the_magnitude_keeps_its_phase():
    z = normal(1, 9, 9, dtype=torch.complex128)
    z[0, 0, 0] = 0
    found = ComplexParts(Median(), parts="magnitude")(z, 1.0)
    assert torch.allclose(found.abs(), Median()(z.abs(), 1.0))
    assert torch.allclose(found.angle()[0, 1:], z.angle()[0, 1:])


def test_bm3d_takes_complex_images():
    clean = torch.zeros(1, 32, 32, dtype=torch.complex64)
    clean[:, 8:24, 8:24] = 1 + 0.5j
    noise = torch.complex(*torch.randn(2, 1, 32, 32, generator=rng()))
    found = ComplexParts(BM3D(window=9))(clean + 0.1 * noise, 0.1)
    assert float((found - clean).abs().square().mean()) < 0.2 * float((0.1 * noise).abs().square().mean())


def test_the_proximal_operator_of_any_prior():
    x, levels = normal(2, 1, 8, 8), torch.tensor([0.3, 1.0], dtype=torch.float64)
    space = Space((1, 8, 8))
    assert torch.equal(ProximalDenoiser(L1(), strength=2.0)(x, levels), L1().prox(x, 2 * levels, space))
    assert torch.equal(ProximalDenoiser(Tikhonov())(x, levels), Tikhonov().prox(x, 1.0, space))
    assert torch.equal(ProximalDenoiser(NonNegative())(x, 0.5), x.clamp_min(0))
    assert error(ProximalDenoiser(TV(rtol=1e-8))(x, levels), TV(rtol=1e-8).prox(x, levels, space)) < 1e-12


def test_two_wavelet_bases_together():
    """The minimizer of a sum: no bit of noise on it lowers t (g + h) + ‖z - x‖²/2."""
    bases = [WaveletL1(wavelet=w, levels=2, undecimated=True) for w in ("haar", "db2")]
    both, x = bases[0] + bases[1], normal(1, 16, 16)
    z = ProximalDenoiser(both, strength=0.5)(x, 0.4)

    def objective(v):
        return 0.2 * float(sum(g.value(v) for g in bases)) + 0.5 * float((v - x).square().sum())

    best = objective(z)
    tries = [z + s * normal(1, 16, 16, seed=k) for k in range(1, 40) for s in (1e-3, 1e-2)]
    assert min(map(objective, tries)) > best - 1e-4 * best
    assert best < min(objective(bases[i].prox(x, 0.2)) for i in (0, 1))


def test_wrong_parts_are_refused():
    with pytest.raises(ParameterError, match="'magnitude'"):
        ComplexParts(HAAR, parts="phase")


class Photographs(Denoiser):
    """Clips to [0, 1], as a network that has seen nothing else may."""

    channels, value_range, sigma_range, spatial_dims = None, (0.0, 1.0), (0.0, 0.2), 2

    def denoise(self, x, sigma):
        return Median()(x.clamp(0, 1), 0.1)


def test_parts_of_either_sign_are_brought_into_the_range_of_the_denoiser():
    z = torch.complex(normal(1, 8, 8).clamp(-1, 1), normal(1, 8, 8, seed=1).clamp(-1, 1))
    found = ComplexParts(Photographs())(z, 0.2)
    assert torch.allclose(found.real, Median()(z.real, 0.2)) and torch.allclose(
        found.imag, Median()(z.imag, 0.2)
    )
    batch = ComplexParts(Photographs())(torch.stack([z, 0.5 * z]), torch.tensor([0.2, 0.1]))
    assert torch.equal(batch[0], found)
    assert torch.equal(ComplexParts(Photographs())(-z.real, 0.2), Photographs()(-z.real, 0.2))
