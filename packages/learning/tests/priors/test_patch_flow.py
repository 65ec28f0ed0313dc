"""The flow on patches: inverse, determinant, density, training."""

import math

import pytest
import torch

import invcore
from invcore import Space
from invcore_learning import PatchFlow, patchnr
from invcore_testsupport import error, normal, rng


def flow(**options):
    f = PatchFlow(**({"patch": 3, "layers": 4, "hidden": 16} | options)).double()
    for i, p in enumerate(f.parameters()):
        p.data = normal(*p.shape, seed=i) / max(p[0].numel(), 1) ** 0.5
    return f


@pytest.mark.parametrize("options", [{}, {"patch": 2, "spatial_dims": 3}, {"patch": 2, "layers": 1}])
def test_inverse_and_determinant(options):
    f = flow(**options)
    d = f.patch**f.spatial_dims
    v = normal(20, d)
    z, logs = f(v)
    assert error(f.inverse(z), v) < 1e-10
    assert error(f(f.inverse(v))[0], v) < 1e-10
    for i in range(5):
        J = torch.autograd.functional.jacobian(lambda u: f(u[None])[0][0], v[i])
        assert abs(torch.linalg.slogdet(J)[1] - logs[i]) < 1e-10
    assert logs.std() > 0.1


def test_the_density_integrates_to_one():
    f = flow(patch=2, spatial_dims=1, layers=2, clamp=0.5)
    t = torch.linspace(-15, 15, 601, dtype=torch.float64)
    v = torch.cartesian_prod(t, t)
    with torch.no_grad():
        total = sum(f.log_prob(part).exp().sum() for part in v.split(200_000)) * float(t[1] - t[0]) ** 2
    assert abs(total - 1) < 1e-3


def test_draws_have_the_density():
    """Mapped back they are normal, and the mean of log p is that of log |det| less the entropy of N(0, 1)."""
    f = flow()
    v = f.sample(4000, generator=rng(3))
    z, logs = f(v)
    assert abs(z.mean()) < 0.02 and abs(z.std() - 1) < 0.02
    entropy = 4.5 * (1 + math.log(2 * math.pi))
    assert abs(f.log_prob(v).mean() - logs.mean() + entropy) < 0.15
    assert torch.equal(v, f.sample(4000, generator=rng(3)))


def test_maximum_likelihood_learns_a_normal_density():
    """The cross-entropy of the truth, which no density beats, is reached to 0.05 nats."""
    C = torch.tensor([[1.0, 0.8], [0.8, 1.0]]).double()
    v = normal(2000, 2) @ torch.linalg.cholesky(C).mT
    truth = torch.distributions.MultivariateNormal(torch.zeros(2).double(), C).log_prob(v).mean()
    f = flow(patch=2, spatial_dims=1, layers=2, hidden=8)
    optimizer = torch.optim.Adam(f.parameters(), lr=1e-2)
    for _ in range(250):
        optimizer.zero_grad()
        loss = -f.log_prob(v).mean()
        loss.backward()
        optimizer.step()
    assert abs(float(f.log_prob(v).mean().detach() - truth)) < 0.05


def test_the_prior_sums_over_patches():
    f, x = flow(), normal(2, 1, 6, 5)
    patches = torch.nn.functional.unfold(x, 3).movedim(1, 2).reshape(-1, 9)
    expected = -f.log_prob(patches).reshape(2, -1).sum(1) / 9
    assert error(patchnr(f).value(x, Space((1, 6, 5))), expected) < 1e-13


def test_weights_of_another_width_and_other_networks_are_refused(tmp_path):
    with pytest.raises(invcore.ParameterError, match="PatchFlow"):
        patchnr(torch.nn.Identity())
    for options in ({"patch": 1}, {"clamp": 0.0}, {"layers": 0}):
        with pytest.raises(invcore.ParameterError):
            PatchFlow(**options)
    solver = invcore.solver("lbfgs", prior=patchnr(flow()), weight=0.1)
    other = invcore.model(invcore.models.save(solver, tmp_path / "m.safetensors")).to(torch.float64)
    x = normal(1, 6, 6)
    assert error(other.prior.value(x), solver.prior.value(x)) < 1e-6  # weights are read in float32
