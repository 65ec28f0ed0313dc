"""Samplers that need no derivative of the operator."""

import pytest
import torch

from invcore import Physics, get
from invcore.noises import GaussianNoise
from invcore.operators import Identity, Operator, Space
from invcore.testing import KnownPrior
from invcore_diffusion import DPG, SCG, DiffusionSampler, EnKG, Karras, dpg
from invcore_testsupport import rng

F64 = torch.float64
GAUSSIAN = KnownPrior.gaussian()
KARRAS = Karras(sigma_min=0.05, sigma_max=10.0, rho=3.0)


class BlackBox(Operator):
    """Rounds to tenths, outside of torch: a simulator."""

    domain: Space
    range = property(lambda self: self.domain)

    def forward(self, x):
        if x.requires_grad:
            raise RuntimeError("a simulator has no derivative")
        return torch.from_numpy((10 * x.numpy()).round() / 10)


PHYSICS = Physics(BlackBox((1, 2)), GaussianNoise(sigma=0.1))


@pytest.mark.parametrize(
    "sampler",
    [
        SCG(GAUSSIAN.denoiser, candidates=32, schedule=KARRAS, steps=60),
        SCG(GAUSSIAN.denoiser, candidates=32, temperature=0.0, schedule=KARRAS, steps=60),
        EnKG(GAUSSIAN.denoiser, particles=32, schedule=KARRAS, steps=60),
        dpg(GAUSSIAN.denoiser, number=400, schedule=KARRAS, steps=60),
    ],
    ids=["scg", "greedy", "enkg", "dpg"],
)
def test_a_black_box_is_sampled(sampler):
    y = torch.tensor([[1.0, 0.3]], dtype=F64)
    x = sampler.chain(y, PHYSICS, draws=1, chains=64, generator=rng(0)).last
    assert float((PHYSICS.operator(x) - y).square().mean().sqrt()) < 0.3  # images of the prior: 1.2
    assert sampler.bias


def test_one_candidate_is_ancestral_sampling():
    y, physics = torch.zeros(1, 2, dtype=F64), Physics(Identity((1, 2)), GaussianNoise(sigma=0.1))
    given = SCG(GAUSSIAN.denoiser, candidates=1, schedule=KARRAS, steps=30)
    free = DiffusionSampler(GAUSSIAN.denoiser, schedule=KARRAS, steps=30)
    x, z = (
        s.chain(y, physics, draws=1, chains=4000, generator=rng(1)).last.flatten(1) for s in (given, free)
    )
    assert (x.mean(0) - z.mean(0)).abs().max() < 0.07
    assert (x.mT.cov() - z.mT.cov()).abs().max() < 0.08


def test_candidates_are_drawn_from_the_guided_transition():
    """Of one step from σ = 2 to 1: N(x'; m, τ²) exp(-f(A D(x', 1))), a product of Gaussians."""
    y, physics = torch.tensor([[1.0, 0.3]], dtype=F64), Physics(Identity((1, 2)), GaussianNoise(sigma=0.5))
    sampler = SCG(
        GAUSSIAN.denoiser, candidates=400, schedule=Karras(sigma_min=1.0, sigma_max=2.0, rho=1.0), steps=2
    )
    problem = sampler.problem(y.expand(4000, 1, 2), physics)
    start = sampler.init(problem, rng(2))
    one = start._replace(x=start.x[:1].expand_as(start.x), clean=start.clean[:1].expand_as(start.x))
    x = sampler.step(problem, one, rng(3)).x.flatten(1)
    C, m = GAUSSIAN.density.covariances[0], GAUSSIAN.density.means[0]
    J = C @ torch.linalg.inv(C + torch.eye(2, dtype=F64))
    mean, variance = 0.75 * one.clean[0, 0] + 0.25 * one.x[0, 0], 0.75
    precision = torch.eye(2, dtype=F64) / variance + J.mT @ J / 0.25
    expected = torch.linalg.solve(precision, mean / variance + J.mT @ (y[0] - m + J @ m) / 0.25)
    assert (x.mean(0) - expected).abs().max() < 0.05
    assert (x.mT.cov() - torch.linalg.inv(precision)).abs().max() < 0.05


def test_a_step_of_the_ensemble_is_preconditioned_by_its_covariance():
    """For ψ = D: C Jᵀ∇f with the covariance C of the particles and the Jacobian J of D."""
    sampler = EnKG(GAUSSIAN.denoiser, particles=12, weight=torch.inf, flow_steps=1)
    physics = Physics(Identity((1, 2)), GaussianNoise(sigma=torch.tensor([0.5, 3.0], dtype=F64)))
    y = torch.tensor([[[1.0, 0.3]], [[0.0, 2.0]]], dtype=F64)
    problem = sampler.problem(y, physics)
    x = 2 * torch.randn(12, 2, 1, 2, generator=rng(4), dtype=F64)
    moved = (sampler._updated(problem, x, 1.0, 0.5, rng(0)) - x)[:, :, 0]
    prior = GAUSSIAN.density.covariances[0]
    J = prior @ torch.linalg.inv(prior + torch.eye(2, dtype=F64))
    u = GAUSSIAN.denoiser(x, 1.0)[:, :, 0]
    for item, sigma in enumerate((0.5, 3.0)):
        C = x[:, item, 0].mT.cov(correction=0)
        t = 0.5 / float(C.diagonal().mean())
        h = t / (1 + t * torch.linalg.eigvalsh(J @ C @ J.mT)[-1] / sigma**2)
        slope = (u[:, item] - y[item, 0]) / sigma**2
        assert torch.allclose(moved[:, item], -h * slope @ J @ C)


def test_a_step_of_the_ensemble_is_no_longer_than_its_weight():
    sampler = EnKG(GAUSSIAN.denoiser, particles=12, weight=1e-3, flow_steps=1)
    problem = sampler.problem(torch.tensor([[1.0, 0.3]], dtype=F64), PHYSICS)
    x = 2 * torch.randn(12, 1, 2, generator=rng(4), dtype=F64)
    moved = sampler._updated(problem, x, 1.0, 0.5, rng(0)) - x
    largest = torch.linalg.matrix_norm((x - x.mean(0))[:, 0], 2)
    assert 0 < moved.norm() <= 1e-3 * largest


def test_policy_gradient_tends_to_the_gradient_of_the_gaussian_integral():
    """D + σ² Jᵀ (σ_y² + r²)⁻¹ (y - D); the error falls as the root of the number of images."""
    physics, y = Physics(Identity((1, 2)), GaussianNoise(sigma=0.5)), torch.tensor([[1.0, 0.3]], dtype=F64)
    problem = DiffusionSampler(GAUSSIAN.denoiser).problem(y.expand(200, 1, 2), physics)
    x, sigma = torch.tensor([[0.5, -0.2]], dtype=F64).expand(200, 1, 2), 0.8
    C = GAUSSIAN.density.covariances[0]
    J = C @ torch.linalg.inv(C + sigma**2 * torch.eye(2, dtype=F64))
    clean = GAUSSIAN.denoiser(x, sigma)
    r2 = sigma**2 * 0.49 / (sigma**2 + 0.49)
    exact = clean + sigma**2 / (0.25 + r2) * (y - clean) @ J
    errors = []
    for number in (100, 1600):
        found = DPG(number=number, variance=0.49).estimate(problem, GAUSSIAN.denoiser, x, sigma, rng(5))
        errors.append(float((found - exact).square().mean().sqrt()))
        assert (found.mean(0) - exact[0]).abs().max() < 0.05
    assert 3 < errors[0] / errors[1] < 5.5 and errors[1] < 0.05


def test_the_methods_of_inversebench_are_found_by_name():
    """H. Zheng et al., InverseBench, ICLR 2025: the comparison names fourteen."""
    linear = ["ddrm", "ddnm", "pigdm", "fps", "mcgdiff"]
    general = ["dps", "lgd", "diffpir", "pnp_dm", "red_diff", "daps"]
    black_box = ["scg", "dpg", "enkg"]
    found = [get("sampler", f"diffusion.{name}") for name in linear + general + black_box]
    assert len({id(target) for target in found}) == 14
