"""RAM: what it sees of the operator, units, channels, noises."""

import pytest
import torch

import invcore
from invcore import Physics, Space
from invcore.models import GaussianRestorer
from invcore.noises import (
    GaussianMapNoise,
    GaussianNoise,
    LaplaceNoise,
    NoNoise,
    PoissonGaussianNoise,
    PoissonNoise,
)
from invcore.operators import Convolution, FourierTransform, Identity, Mask, Matrix, stack
from invcore_learning import RAM, UNet
from invcore_learning._restoration.ram import Gram, enlarged
from invcore_testsupport import error, normal, rng


def model(**options):
    network = RAM(**({"features": (4, 6), "blocks": 1} | options)).double()
    for i, p in enumerate(network.parameters()):
        p.data = 0.7 * normal(*p.shape, seed=i) / max(p[0].numel(), 1) ** 0.5 if p.ndim > 1 else p.data + 0.3
    return network


KERNEL = normal(1, 3, 3, seed=8)
BLUR = Convolution(KERNEL, Space((1, 7, 10)), boundary="circular")


def test_data_noise_and_operator_have_no_unit():
    R, y = model(), normal(3, 1, 7, 10)
    out = R(y, Physics(BLUR, GaussianNoise(sigma=0.2)))
    assert out.norm() > 0.1 * y.norm()
    assert error(R(37 * y, Physics(BLUR, GaussianNoise(sigma=37 * 0.2))), 37 * out) < 1e-12
    assert error(R(37 * y, Physics(37 * BLUR, GaussianNoise(sigma=37 * 0.2))), out) < 1e-12
    counts = Physics(BLUR, PoissonGaussianNoise(gain=0.1, sigma=0.2))
    other = Physics(BLUR, PoissonGaussianNoise(gain=3.7, sigma=37 * 0.2))
    assert error(R(37 * y, other), 37 * R(y, counts)) < 1e-12


@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize("kind", ["real", "complex"])
def test_the_gram_of_a_scale_is_the_dense_one(factor, kind):
    size, coarse = (7, 10), tuple(-(-n // factor) for n in (7, 10))
    space = Space((1, *size), kind)
    A = FourierTransform(space) if kind == "complex" else BLUR
    A = Mask((normal(1, *size, seed=3) > 0).double(), space) @ A
    count = 2 if kind == "complex" else 1
    n = count * coarse[0] * coarse[1]
    eye = torch.eye(n, dtype=torch.float64).reshape(n, count, *coarse)
    up = enlarged(eye, factor, size).flatten(1).mT / factor  # keeps norms of whole cells
    dense = A.dense()
    if kind == "complex":
        dense = torch.cat([torch.cat([dense.real, -dense.imag], 1), torch.cat([dense.imag, dense.real], 1)])
    unit = A.norm()
    found = Gram(A, unit, (n,), 2).krylov(eye, factor)[:, count:].flatten(1).mT
    assert error(found, up.mT @ dense.mT @ dense @ up / unit**2) < 1e-12


def test_the_operator_of_denoising_shows_nothing():
    """Where AᴴA = 1 the second of a Krylov pair is the first, on every scale."""
    A, u = Identity(Space((1, 8, 8))), normal(5, 2, 4, 4)
    pair = Gram(A, A.norm().double(), (5,), 2).krylov(u, 2)
    assert error(pair[:, 2:] * A.norm() ** 2, u) < 1e-14


def test_the_input_is_the_ridge_estimate_of_the_signal_to_noise_ratio():
    R, y, sigma = model(), normal(2, 1, 7, 10), torch.tensor([0.1, 0.7], dtype=torch.float64)
    A, unit = BLUR.dense(), BLUR.norm()
    back = BLUR.H(y) / unit**2
    found = R._estimate(BLUR, y, back, unit, sigma / unit)
    for i in range(2):
        weight = torch.exp(torch.tensor(0.3)).double() / (1e-4 + sigma[i] / y[i].abs().mean()) / unit**2
        matrix = weight * A.mT @ A + torch.eye(70, dtype=A.dtype)
        x = torch.linalg.solve(matrix, weight * A.mT @ y[i].flatten() + back[i].flatten())
        assert error(found[i].flatten(), x) < 1e-3
    assert R.log_balance == 0.3


@pytest.mark.parametrize(
    "noise",
    [NoNoise(), PoissonNoise(gain=0.1), GaussianMapNoise(sigma=0.1 + normal(1, 8, 8).abs())],
    ids=lambda n: type(n).__name__,
)
def test_noises_it_knows(noise):
    R, y = model(), normal(2, 1, 8, 8).abs()
    A = Identity(Space((1, 8, 8)))
    assert error(R(y, Physics(A, noise)), R(y, Physics(A, GaussianNoise(sigma=0.02)))) > 1e-6


def test_levels_and_operators_of_each_sample():
    R, y = model(), normal(3, 2, 8, 8)
    masks = (normal(3, 1, 8, 8, seed=4) > 0).double()
    sigma = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    space = Space((2, 8, 8))
    together = R(masks * y, Physics(Mask(masks, space), GaussianNoise(sigma=sigma)))
    for i in range(3):
        one = Physics(Mask(masks[i], space), GaussianNoise(sigma=float(sigma[i])))
        assert error(together[i], R(masks[i] * y[i], one)) < 1e-12


def test_data_of_several_blocks_and_three_dimensions():
    space = Space((1, 5, 6, 7))
    A = stack([Mask((normal(1, 5, 6, 7, seed=2) > 0).double(), space), 0.5 * Identity(space)])
    R, y = model(spatial_dims=3), A(normal(2, 1, 5, 6, 7))
    assert R(y, Physics(A, NoNoise())).shape == (2, 1, 5, 6, 7)


def test_what_it_is_not_made_for_is_refused():
    R, space = model(channels=(1,)), Space((1, 8, 8))
    y = torch.zeros(1, 8, 8, dtype=torch.float64)
    with pytest.raises(invcore.ParameterError, match="LaplaceNoise"):
        R(y, Physics(Identity(space), LaplaceNoise(scale=1.0)))
    with pytest.raises(invcore.ParameterError, match="images of A have 2"):
        R(y + 0j, Physics(Identity(Space((1, 8, 8), "complex")), NoNoise()))
    with pytest.raises(invcore.ShapeError, match="2 spatial"):
        R(torch.zeros(4), Physics(Matrix(torch.eye(4)), NoNoise()))
    assert R(y, Physics(Identity(space), NoNoise())).abs().max() == 0


def blur(width, space):
    """A circular Gaussian blur of a standard deviation in pixels."""
    t = torch.arange(-3, 4.0)
    line = torch.exp(-(t**2) / (2 * width**2))
    kernel = line[:, None] * line / line.sum() ** 2
    return Physics(Convolution(kernel[None], space, boundary="circular"), GaussianNoise(sigma=0.1))


@pytest.mark.slow
def test_trained_on_two_blurs_it_nears_the_wiener_filter_on_others_too():
    """Stationary Gaussian images, whose best estimate is known: a fraction of its error above it is left."""
    torch.manual_seed(0)
    space, g = Space((1, 16, 16)), rng(0)
    k = 16 * torch.fft.fftfreq(16)
    spectrum = 1 / (1 + (k[:, None] ** 2 + k**2) / 4) ** 2
    spectrum = (spectrum / spectrum.mean())[None]

    def images(count):
        white = torch.fft.fft2(torch.randn(count, 1, 16, 16, generator=g), norm="ortho")
        return torch.fft.ifft2(spectrum.sqrt() * white, norm="ortho").real

    R = RAM(channels=(1,), features=(8,), blocks=3)
    optimizer = torch.optim.Adam(R.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300)
    for i in range(300):
        physics, x = blur((0.7, 1.6)[i % 2], space), images(16)
        optimizer.zero_grad()
        (R(physics(x, generator=g), physics) - x).square().mean().backward()
        optimizer.step()
        schedule.step()
    best = GaussianRestorer(mean=torch.zeros(1, 16, 16), spectrum=spectrum)
    for width in (0.7, 1.6, 1.1, 2.2):
        physics, x = blur(width, space), images(400)
        y = physics(x, generator=g)
        with torch.no_grad():
            errors = [(estimate(y, physics) - x).square().mean() for estimate in (R, best)]
        assert 0.99 < errors[0] / errors[1] < 1.25


def test_it_starts_as_the_least_squares_estimate_and_as_a_denoiser():
    physics = Physics(Identity(Space((1, 9, 10))), GaussianNoise(sigma=0.2))
    R, y = RAM(channels=(1,), features=(4, 6), blocks=2), normal(2, 1, 9, 10).float()
    assert error(R(y, physics), y) < 1e-6
    D = UNet(features=(4, 6), bias=False, noise_level=True)
    for p in D.parameters():
        torch.nn.init.normal_(p, std=0.1)
    R.start_as(D)
    expected = D(y, torch.tensor(0.2))
    assert 0 < error(R(y, physics), expected) < 0.2
    for name, p in R.named_parameters():
        if ".encode." in name:
            torch.nn.init.zeros_(p)
    assert error(R(y, physics), expected) < 1e-5
    with pytest.raises(invcore.ParameterError, match="it starts as a U-Net"):
        R.start_as(UNet(features=(4, 6)))


@pytest.mark.parametrize("low", [False, True])
def test_a_geometry_in_double_precision_and_autocast(low):
    tomography = pytest.importorskip("invcore_tomography")
    A = tomography.XRay(tomography.parallel(6, columns=12, grid=(8, 8)))
    physics = Physics(A, GaussianNoise(sigma=0.1))
    model = RAM(channels=(1,), features=(4, 8), blocks=1)
    y = A(torch.rand(2, 1, 8, 8))
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        x = model(y, physics)
    x.float().sum().backward()
    assert x.shape == (2, 1, 8, 8) and (low or x.dtype == torch.float32)
