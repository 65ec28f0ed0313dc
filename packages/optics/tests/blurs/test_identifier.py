"""The network that identifies blurs: on pictures that it has not seen, against the truth and a likelihood."""

from importlib.resources import files

import pytest
import torch

import invcore
from invcore import DtypeError, ParameterError, Physics, ShapeError
from invcore.models import GaussianRestorer, card
from invcore.noises import GaussianNoise, PoissonNoise
from invcore.operators import Convolution, Identity, gaussian_kernel
from invcore_optics import PSFIdentifier, unknown_boundary


@pytest.fixture(scope="module")
def identifier():
    return PSFIdentifier().eval()


def blurred(x, width, sigma=0.01, seed=0):
    """Data of one scene through isotropic blurs of some widths."""
    h = torch.stack([gaussian_kernel(float(w), size=33) for w in width])
    physics = Physics(unknown_boundary(h, (1, *(n - 32 for n in x.shape[-2:]))), GaussianNoise(sigma=sigma))
    return physics(x, generator=torch.Generator().manual_seed(seed)), physics


def leaves(count, seed):
    made = invcore.dataset("dead_leaves", length=count, size=(160, 160), seed=seed)
    return torch.stack([made[k] for k in range(count)])


@torch.no_grad()
def test_widths_are_found_in_their_order_and_size(identifier):
    """Of one scene each: Spearman's correlation, and the error of the width."""
    width = torch.logspace(-0.1, 0.5, 12)
    for x in leaves(2, seed=5):
        y, _ = blurred(x, width)
        C = identifier.covariance(y)
        found = C.det() ** 0.25
        ranks = found.argsort().argsort().double()
        assert torch.corrcoef(torch.stack([ranks, torch.arange(12.0, dtype=torch.float64)]))[0, 1] > 0.95
        assert ((found / width).log().square().mean().sqrt()) < 0.2


@torch.no_grad()
def test_direction_is_that_of_the_longer_axis(identifier):
    x = leaves(1, seed=6)[0]
    for C in ([[6.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 6.0]], [[3.5, 2.5], [2.5, 3.5]]):
        C = torch.tensor(C)
        near = torch.arange(33.0) - 16
        r = torch.stack(torch.meshgrid(near, near, indexing="ij"), -1)
        h = torch.exp(-torch.einsum("yxi,ij,yxj->yx", r, C.inverse(), r) / 2)
        y = Convolution((h / h.sum())[None], domain=(1, 160, 160), boundary="valid")(x)
        noisy = y + 0.01 * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
        longest = torch.linalg.eigh(identifier.covariance(noisy)).eigenvectors[:, -1]
        assert abs(float(longest @ torch.linalg.eigh(C).eigenvectors[:, -1])) > 0.97


@torch.no_grad()
def test_on_gaussian_textures_it_is_as_good_as_twice_the_spread_of_the_likelihood(identifier):
    """The marginal likelihood knows the spectrum of the texture; the network does not."""
    n, true, sigma = 128, 2.0, 0.02
    f = torch.fft.fftfreq(n, dtype=torch.float64)
    squared = f[:, None] ** 2 + f**2
    S = 1 / squared.clamp_min(1 / n**2)
    prior = GaussianRestorer(mean=torch.zeros(1, n, n, dtype=torch.float64), spectrum=(S / S.mean())[None])
    g = torch.Generator().manual_seed(1)
    x = prior.sample((16,), generator=g)
    kernel = gaussian_kernel(true, size=33).double()
    physics = Physics(Convolution(kernel, domain=(1, n, n)), GaussianNoise(sigma=sigma))
    y = physics(x, generator=g)
    widths = torch.linspace(1.5, 2.5, 41)
    logs = torch.stack(
        [
            prior.log_evidence(y, physics.bind(kernel=gaussian_kernel(float(w), size=33).double()))
            for w in widths
        ]
    )
    likely = widths[logs.argmax(0)].double()
    found = identifier.double().covariance(y).det() ** 0.25
    identifier.float()
    spread = (likely - true).square().mean().sqrt()
    assert spread < 0.1
    assert (found - true).square().mean().sqrt() < max(2 * spread, torch.tensor(0.2))


@torch.no_grad()
def test_pictures_deconvolved_with_what_is_found_are_near_those_with_the_truth(identifier):
    x = leaves(1, seed=8)[0]
    y, physics = blurred(x, [1.0, 1.5, 2.0, 3.0])
    wrong = physics.bind(kernel=gaussian_kernel(0.5, size=33))
    assert torch.equal(identifier(y, wrong), identifier.wiener(y, identifier.identify(y, wrong)))
    off = [
        float((identifier.wiener(y, p) - x)[..., 32:-32, 32:-32].square().mean())
        for p in (physics, identifier.identify(y, wrong), wrong)
    ]
    assert off[1] < off[0] + 0.3 * (off[2] - off[0])


def test_the_filter_is_the_best_for_gaussian_images():
    """Against the exact conditional mean, where nothing is cut off."""
    h = gaussian_kernel(1.2, size=9).double()
    physics = Physics(Convolution(h, domain=(1, 40, 36)), GaussianNoise(sigma=0.2))
    y = torch.randn(2, 1, 40, 36, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = y - y.mean((1, 2, 3), keepdim=True)
    y = y / y.square().mean((1, 2, 3), keepdim=True).sqrt() + 3
    f = [torch.fft.fftfreq(n, dtype=torch.float64) for n in (40, 36)]
    power = 1 / (f[0][:, None] ** 2 + f[1] ** 2).clamp_min(1 / 80**2)
    exact = GaussianRestorer(mean=torch.zeros_like(y[0]), spectrum=(power / power.mean())[None])
    assert torch.allclose(PSFIdentifier.wiener(y, physics) - 3, exact(y - 3, physics), atol=1e-8)


@torch.no_grad()
def test_brightness_contrast_and_batch_do_not_matter(identifier):
    y, _ = blurred(leaves(1, seed=9)[0], [1.0, 2.0])
    C = identifier.covariance(y)
    assert torch.allclose(identifier.covariance(300 * y + 40), C, rtol=1e-2)
    assert torch.allclose(identifier.covariance(y.reshape(2, 1, 1, 128, 128))[:, 0], C, rtol=1e-4)
    assert torch.allclose(identifier.covariance(y[0]), C[0], rtol=1e-4)


def test_the_card_says_what_the_weights_know():
    path = files("invcore_optics") / "_blurs" / "psf_identifier.safetensors"
    assert path.stat().st_size < 500_000
    assert {"data", "license", "blurs", "noise"} <= card(path).keys()


def test_wrong_input_is_refused(identifier):
    y = torch.zeros(1, 70, 70)
    with pytest.raises(ShapeError, match="64 pixels"):
        identifier.covariance(torch.zeros(1, 63, 100))
    with pytest.raises(DtypeError, match="real floating-point"):
        identifier.covariance(torch.zeros(1, 64, 64, dtype=torch.int16))
    with pytest.raises(ParameterError, match="hidden=96"):
        PSFIdentifier(hidden=8)
    with pytest.raises(ParameterError, match="Convolution"):
        identifier(y, Physics(Identity((1, 70, 70))))
    A = Convolution(gaussian_kernel(1.0, size=9), domain=(1, 70, 70))
    with pytest.raises(ParameterError, match="use identify"):
        identifier(y, Physics(A, PoissonNoise()))


@torch.no_grad()
def test_a_blur_wider_than_any_it_was_trained_for_is_noticed(identifier, recwarn):
    for width in (1.0, 2.5):
        y, physics = blurred(leaves(1, seed=7)[0], [width])
        identifier.identify(y, physics)
    assert not recwarn
    y, physics = blurred(leaves(1, seed=7)[0], [8.0])
    with pytest.warns(UserWarning, match="at the end of what it was trained for"):
        identifier.identify(y, physics)
