"""PnP-Flow, D-Flow and flow priors, with Gaussian images: affine recursions and posterior modes."""

import pytest
import torch

import invcore
from invcore import Physics, Space
from invcore.denoisers import GaussianDenoiser
from invcore.models import GaussianRestorer
from invcore.noises import GaussianNoise, PoissonNoise
from invcore.operators import Identity
from invcore_diffusion import DFlow, FlowMap, FlowPrior, NoiseLength, PnPFlow, gaussian_flow
from invcore_testsupport import normal

MEAN = torch.tensor([[0.5, -0.2]], dtype=torch.float64)
C = torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=torch.float64)
D = GaussianDenoiser(mean=MEAN, covariance=C)
SPACE, SIGMA = Space((1, 2)), 0.4


class Mixing(invcore.LinearOperator):
    """A matrix on images of two pixels."""

    matrix: torch.Tensor
    domain: Space = SPACE
    params = ("matrix",)

    @property
    def range(self):
        return self.domain

    def forward(self, x):
        return x @ self.matrix.mT

    def adjoint(self, y):
        return y @ self.matrix


M = torch.tensor([[1.0, 0.3], [0.0, 0.5]], dtype=torch.float64)
PHYSICS = Physics(Mixing(M), GaussianNoise(sigma=SIGMA))
Y = torch.tensor([[1.2, -0.3]], dtype=torch.float64)
MODE = GaussianRestorer(mean=MEAN, covariance=C)(Y, PHYSICS)


def test_the_mean_of_pnp_flow_is_an_affine_recursion():
    steps, draws = 20, 3000
    found = PnPFlow(D, steps=steps, draws=draws)(Y, PHYSICS)
    L = float(PHYSICS.operator.norm()) ** 2
    x = torch.zeros(1, 2, dtype=torch.float64)
    eye = torch.eye(2, dtype=torch.float64)
    for k in range(steps):
        t = k / steps
        z = x - (1 - t) ** 0.5 / L * (x @ M.mT - Y) @ M
        s2 = ((1 - t) / t) ** 2 if k else torch.inf
        x = MEAN + (z - MEAN) @ (C @ torch.linalg.inv(C + s2 * eye)).mT if k else MEAN
    assert (found - x).abs().max() < 0.04
    spread = [PnPFlow(D, steps=steps, draws=1, seed=k)(Y, PHYSICS) for k in range(20)]
    assert torch.stack(spread).std(0).min() > 0.05  # an estimator with noise


def test_pnp_flow_says_what_it_needs():
    with pytest.raises(invcore.ParameterError, match="Lipschitz"):
        PnPFlow(D)(Y.abs(), Physics(Identity(SPACE), PoissonNoise(gain=1.0)))
    with pytest.raises(invcore.ParameterError, match="step_size"):
        PnPFlow(D, step_size=2.0)


@pytest.mark.parametrize("method", ["midpoint", "heun"])
def test_the_flow_map_has_an_inverse(method):
    z = normal(50, 1, 2)
    errors = []
    for steps in (20, 40):
        T = FlowMap(D, SPACE, steps=steps, method=method)
        errors.append((T.inverse(T(z)) - z).abs().max())
    assert errors[0] < 0.2
    assert errors[1] < 0.6 * errors[0]


def test_noise_of_the_flow_map_becomes_images():
    x = FlowMap(D, SPACE, steps=40)(normal(20_000, 1, 2))[:, 0]
    assert (x.mean(0) - MEAN[0]).abs().max() < 0.03
    assert (torch.cov(x.mT) - C).abs().max() < 0.05


@pytest.mark.parametrize("start", [None, torch.ones(1, 2, dtype=torch.float64)])
def test_d_flow_with_gaussian_images_tends_to_the_posterior_mode(start):
    errors = []
    for steps in (10, 20):
        solution = DFlow(D, flow_steps=steps, rtol=1e-8).solve(Y, PHYSICS, x0=start)
        assert solution.status.name == "CONVERGED"
        errors.append((solution.value - MODE).abs().max())
    assert errors[0] / errors[1] > 3.5
    assert errors[1] < 1e-3


def test_d_flow_solves_its_problem_exactly_whatever_the_steps():
    """T is affine, T(z) = b + B z: the best z is that of a linear least-squares problem."""
    flow = FlowMap(D, SPACE, steps=5)
    b = flow(torch.zeros(1, 2).double())
    B = (flow(torch.eye(2).double()[:, None])[:, 0] - b).mT
    K = M @ B
    z = torch.linalg.solve(K.mT @ K / SIGMA**2 + torch.eye(2), K.mT @ (Y - b @ M.mT)[0] / SIGMA**2)
    found = DFlow(D, flow_steps=5, rtol=1e-10)(Y, PHYSICS)
    assert (found - (b + z @ B.mT)).abs().max() < 1e-7


def test_noise_of_typical_length_is_kept():
    flat = GaussianDenoiser(mean=torch.zeros(1, 40).double(), covariance=torch.eye(40).double())
    physics = Physics(Identity(Space((1, 40))), GaussianNoise(sigma=100.0))  # hardly any data
    options = {"flow_steps": 5, "rtol": 1e-8}
    typical = DFlow(flat, prior=NoiseLength(), **options)(0 * normal(1, 40), physics)
    shortest = DFlow(flat, **options)(0 * normal(1, 40), physics)
    assert abs(float(typical.square().sum()) - 39) < 2
    assert float(shortest.square().sum()) < 1e-3


def test_flow_priors_with_several_inner_steps_find_the_posterior_mode():
    errors = []
    for inner in (1, 15):
        found = FlowPrior(D, steps=25, inner_steps=inner, step_size=0.03)(Y, PHYSICS)
        errors.append(float((found - MODE).abs().max()))
    assert errors[1] < 0.03
    assert errors[1] < errors[0]


def test_a_flow_prior_without_inner_steps_is_the_flow():
    solver = FlowPrior(D, steps=30, inner_steps=0)
    z = solver.init(solver.problem(Y, PHYSICS)).x
    from invcore_diffusion._flows.transport import evenly, transported

    flow = transported(gaussian_flow(mean=MEAN, covariance=C), z, evenly(30), "euler")
    torch.testing.assert_close(solver(Y, PHYSICS), flow)


@pytest.mark.parametrize("make", [PnPFlow, DFlow, FlowPrior])
def test_other_images_are_refused(make):
    physics = Physics(Identity((7,)), GaussianNoise(sigma=1.0))
    with pytest.raises(invcore.ParameterError, match="channel"):
        make(D)(torch.ones(7), physics)
