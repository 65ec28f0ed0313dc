"""DDRM and DDNM+ against the recursions of mean and variance that their papers imply for Gaussian images."""

from itertools import pairwise

import pytest
import torch

from invcore import ParameterError, Physics, ShapeError
from invcore.denoisers import GaussianDenoiser
from invcore.noises import GaussianNoise, NoNoise, PoissonNoise
from invcore.operators import SVD, Convolution, LinearOperator, Mask, Operator, Space
from invcore_diffusion import DDRM, DDNMPlus, Karras
from invcore_testsupport import error, normal, rng

NOISE, STEPS, DRAWS = 0.4, 12, 4000
SCHEDULE = Karras(sigma_min=0.02, sigma_max=10.0)
S = (2.0, 0.5, 0.0)
VARIANCES = (1.0, 0.6, 0.3)
MEAN = torch.tensor([0.5, -0.2, 0.3], dtype=torch.float64)  # in the coordinates of V
U = torch.linalg.qr(normal(4, 4))[0][:, :3]
V = torch.linalg.qr(normal(3, 3, seed=1))[0]
Y = normal(4, seed=2)


class Columns(LinearOperator):
    """A matrix of columns, to images (1, n)."""

    matrix: torch.Tensor

    @property
    def domain(self):
        return Space((self.matrix.shape[1],))

    @property
    def range(self):
        return Space((1, self.matrix.shape[0]))

    def forward(self, x):
        return (x @ self.matrix.T).unsqueeze(-2)

    def adjoint(self, y):
        return y.squeeze(-2) @ self.matrix


def operator():
    return SVD(U=Columns(matrix=U), s=torch.tensor(S, dtype=torch.float64), V=Columns(matrix=V))


def denoiser():
    covariance = V @ torch.diag(torch.tensor(VARIANCES, dtype=torch.float64)) @ V.T
    return GaussianDenoiser(mean=(V @ MEAN)[None], covariance=covariance)


def ddrm_step(i, sigma, following, eta, eta_b, noise):
    """c' = a c + b + d n for one coordinate, and the same for the first level."""
    v, m, s = VARIANCES[i], float(MEAN[i]), S[i]
    slope, offset = v / (v + sigma**2), m * sigma**2 / (v + sigma**2)  # the denoised ĉ
    if s == 0:
        r = (1 - eta**2) ** 0.5 * following / sigma
        return slope + r * (1 - slope), offset - r * offset, eta * following
    data, level = float(Y @ U[:, i]) / s, noise / s
    if following < level:
        r = (1 - eta**2) ** 0.5 * following / level
        return slope * (1 - r), offset * (1 - r) + r * data, eta * following
    spread = (following**2 - eta_b**2 * level**2) ** 0.5
    return (1 - eta_b) * slope, (1 - eta_b) * offset + eta_b * data, spread


def ddnm_step(i, sigma, following, noise):
    v, m, s = VARIANCES[i], float(MEAN[i]), S[i]
    slope, offset = v / (v + sigma**2), m * sigma**2 / (v + sigma**2)
    a = 1 - following**2 / sigma**2
    tau = following * a**0.5
    if s == 0:
        return 1 - a + a * slope, a * offset, tau
    data, level = float(Y @ U[:, i]) / s, noise / s
    part = 1.0 if tau >= a * level else tau / (a * level)
    spread = max(tau**2 - (a * part * level) ** 2, 0.0) ** 0.5
    return 1 - a + a * (1 - part) * slope, a * ((1 - part) * offset + part * data), spread


def moments(step, first):
    """Mean and variance of each coordinate at the end."""
    levels = SCHEDULE.levels(STEPS).tolist()
    means, variances = [], []
    for i in range(3):
        mean, variance = first(i, levels[0])
        for sigma, following in pairwise(levels):
            a, b, d = step(i, sigma, following)
            mean, variance = a * mean + b, a**2 * variance + d**2
        means.append(mean)
        variances.append(variance)
    return torch.tensor(means, dtype=torch.float64), torch.tensor(variances, dtype=torch.float64)


def require_moments(sampler, physics, mean, variance):
    x = sampler(Y.expand(DRAWS, 1, 4), physics, generator=rng())
    c = x.squeeze(-2) @ V
    size = variance.sqrt().clamp(min=1e-12)
    assert ((c.mean(0) - mean) / size).abs().max() < 4 / DRAWS**0.5 + 1e-9
    covariance = torch.cov(c.T) / size / size[:, None]
    seen = variance > 1e-20
    assert (covariance - torch.eye(3))[seen][:, seen].abs().max() < 5 * (2 / DRAWS) ** 0.5
    assert c.var(0)[~seen].abs().max() < 1e-20 if (~seen).any() else True


@pytest.mark.parametrize(("eta", "eta_b"), [(0.85, 1.0), (1.0, 0.5), (0.0, 1.0)])
@pytest.mark.parametrize("noise", [NOISE, None])
def test_ddrm_draws_what_its_transitions_say(eta, eta_b, noise):
    level = noise or 0.0
    physics = Physics(operator(), GaussianNoise(sigma=noise) if noise else NoNoise())

    def first(i, sigma):
        if S[i] and level / S[i] <= sigma:
            return float(Y @ U[:, i]) / S[i], sigma**2 - (level / S[i]) ** 2
        return 0.0, sigma**2

    step = lambda i, sigma, following: ddrm_step(i, sigma, following, eta, eta_b, level)
    sampler = DDRM(denoiser(), eta=eta, eta_b=eta_b, schedule=SCHEDULE, steps=STEPS)
    require_moments(sampler, physics, *moments(step, first))


@pytest.mark.parametrize("noise", [NOISE, None])
def test_ddnm_plus_draws_what_its_transitions_say(noise):
    physics = Physics(operator(), GaussianNoise(sigma=noise) if noise else NoNoise())
    step = lambda i, sigma, following: ddnm_step(i, sigma, following, noise or 0.0)
    sampler = DDNMPlus(denoiser(), schedule=SCHEDULE, steps=STEPS)
    require_moments(sampler, physics, *moments(step, lambda i, sigma: (0.0, sigma**2)))


@pytest.mark.parametrize("make", [DDRM, DDNMPlus])
def test_without_noise_the_draws_fit_the_data(make):
    A = operator()
    y = A(normal(5, 1, 3, seed=4))
    x = make(denoiser(), steps=10)(y, Physics(A, NoNoise()), generator=rng())
    assert error(A(x), y) < 1e-10


@pytest.mark.parametrize("make", [DDRM, DDNMPlus])
def test_each_sample_has_its_own_noise_level(make):
    A, y = operator(), Y.expand(2, 1, 4)
    levels = torch.tensor([0.1, 0.9], dtype=torch.float64)
    sampler = make(denoiser(), steps=5)
    both = sampler(y, Physics(A, GaussianNoise(sigma=levels)), generator=rng())
    for i, level in enumerate(levels.tolist()):
        one = sampler(y, Physics(A, GaussianNoise(sigma=level)), generator=rng())
        assert error(both[i], one[i]) < 1e-12


@pytest.mark.parametrize("make", [DDRM, DDNMPlus])
def test_masks_and_blurs_have_a_decomposition(make):
    D = GaussianDenoiser(mean=torch.zeros(1, 16, 16), spectrum=torch.ones(1, 1, 1))
    kernel = torch.tensor([[0.2, 0.6, 0.2]])
    for A in (
        Mask((normal(1, 16, 16) > 0).float(), domain=(1, 16, 16)),
        Convolution(kernel[None], (1, 16, 16)),
    ):
        x = D.sample((), generator=rng())
        y = A(x)
        found = make(D, steps=20)(y, Physics(A, GaussianNoise(sigma=0.01)), generator=rng())
        assert (A(found) - y).square().mean().sqrt() < 0.03


class Squares(Operator):
    domain = range = Space((1, 3))

    def forward(self, x):
        return x.square()


def test_other_operators_and_noise_are_refused():
    sampler, y = DDRM(denoiser()), torch.ones(1, 3, dtype=torch.float64)
    with pytest.raises(ParameterError, match="linear operator"):
        sampler(y, Physics(Squares(), GaussianNoise(sigma=0.1)), generator=rng())
    with pytest.raises(ParameterError, match="Gaussian noise"):
        sampler(Y[None].abs(), Physics(operator(), PoissonNoise(gain=0.1)), generator=rng())
    shape = (1, 64, 64)
    large = LinearOperator.from_function(lambda x: x.cumsum(-1), shape)
    with pytest.raises(ShapeError, match=r"invcore\.operators\.SVD"):
        sampler(torch.zeros(shape), Physics(large, GaussianNoise(sigma=0.1)), generator=rng())
    with pytest.raises(ParameterError, match="eta_b"):
        DDRM(denoiser(), eta_b=1.5)
