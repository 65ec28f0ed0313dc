"""Several wavelengths against one model for each."""

import pytest
import torch

from invcore import ParameterError, ShapeError
from invcore_lidar import TCSPC, ImpulseResponse, Multispectral

PULSES = (
    ImpulseResponse.gaussian(fwhm=400e-12),
    ImpulseResponse.exponential_gaussian(sigma=150e-12, decay=300e-12),
    ImpulseResponse.gaussian(fwhm=700e-12),
)
GATE = {"bins": 90, "bin_width": 100e-12, "shape": (3, 4), "start": 1e-9}


def parts(generator, *batch, surfaces=2):
    def uniform(a, b, *shape):
        return a + (b - a) * torch.rand(*batch, *shape, 3, 4, generator=generator, dtype=torch.float64)

    return uniform(0.3, 1.3, surfaces), uniform(1.0, 20.0, 3, surfaces), uniform(0.01, 0.2, 3, 1)


@pytest.mark.parametrize("each", [True, False])
@pytest.mark.parametrize("blur", [True, False])
@pytest.mark.parametrize("batch", [(), (2,), (90,)])
def test_each_wavelength_is_a_model_of_its_own(each, blur, batch, generator):
    psf = torch.rand(3, 2, generator=generator, dtype=torch.float64) if blur else None
    A = Multispectral(impulse=PULSES if each else PULSES[0], wavelengths=3, surfaces=2, psf=psf, **GATE)
    d, r, b = parts(generator, *batch)
    y = A(A.image(depth=d, reflectivity=r, background=b))
    assert y.shape == (*batch, 3, 90, 3, 4)
    for w in range(3):
        B = TCSPC(impulse=PULSES[w] if each else PULSES[0], surfaces=2, psf=psf, **GATE)
        alone = B(B.image(depth=d, reflectivity=r[..., w, :, :, :], background=b[..., w, :, :, :]))
        torch.testing.assert_close(y[..., w, :, :, :], alone, rtol=1e-12, atol=1e-13)


def test_parts_of_an_image_come_back(generator):
    A = Multispectral(impulse=PULSES[0], wavelengths=3, surfaces=2, **GATE)
    d, r, b = parts(generator, 5)
    for got, expected in zip(A.scene(A.image(depth=d, reflectivity=r, background=b)), (d, r, b)):
        assert torch.equal(got, expected)


def test_depths_gain_from_every_wavelength(generator):
    """The Fisher information of the depth is the sum of those of the wavelengths."""
    A = Multispectral(impulse=PULSES, wavelengths=3, **(GATE | {"shape": (1, 1)}))
    r = torch.tensor([5.0, 12.0, 30.0], dtype=torch.float64).reshape(3, 1, 1, 1)
    d = torch.full((1, 1, 1), 0.8, dtype=torch.float64)
    x = A.image(depth=d, reflectivity=r, background=0.2)
    step = torch.zeros_like(x)
    step[0] = 1.0
    together = (A.linearize(x)(step).square() / A(x)).sum()
    alone = 0.0
    for w, pulse in enumerate(PULSES):
        B = TCSPC(impulse=pulse, **(GATE | {"shape": (1, 1)}))
        z = B.image(depth=d, reflectivity=r[w], background=0.2)
        e = torch.zeros_like(z)
        e[0] = 1.0
        alone = alone + (B.linearize(z)(e).square() / B(z)).sum()
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=0)


def test_counts_are_poisson(generator):
    A = Multispectral(impulse=PULSES, wavelengths=3, **GATE)
    d, r, b = parts(generator, surfaces=1)
    x = A.image(depth=d, reflectivity=r, background=b)
    y = A.physics()(x.expand(400, *x.shape), generator=generator)
    assert ((y.mean(0) - A(x)).abs() < 6 * (A(x) / 400).sqrt()).all()


def test_errors_say_what_was_expected():
    with pytest.raises(ParameterError, match="3 wavelengths need that many impulse responses"):
        Multispectral(impulse=PULSES[:2], wavelengths=3, **GATE)
    A = Multispectral(impulse=PULSES[0], wavelengths=3, **GATE)
    with pytest.raises(ShapeError, match=r"reflectivity must be \(..., 3, 1, 3, 4\)"):
        A.image(depth=torch.zeros(1, 3, 4), reflectivity=torch.zeros(1, 3, 4))
