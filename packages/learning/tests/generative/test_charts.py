"""Reconstruction on manifolds that are known, and charts of one that no single decoder parametrizes."""

import math

import pytest
import torch

import invcore
from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.operators import Identity, Mask
from invcore_learning import VAE, Latent, VAEAtlas, intrinsic_dimension
from invcore_testsupport import error, normal, rng

F64 = torch.float64


def test_a_linear_decoder_is_a_linear_solve():
    vae = VAE((1, 6), latent=2, hidden=()).double()
    W, b = vae.decoder[0].weight.detach(), vae.decoder[0].bias.detach()
    kept = torch.tensor([[1.0, 0, 1, 1, 0, 1]], dtype=F64)
    y, weight = kept * normal(3, 1, 6), torch.tensor([0.5, 1.0, 2.0], dtype=F64)
    solver = Latent(vae, weight=weight, starts=2, rtol=1e-10)
    found = solver(y, Physics(Mask(kept, (1, 6)), GaussianNoise(sigma=0.3)))
    for x, data, w in zip(found, y, weight):
        A = kept[0][:, None] * W
        z = torch.linalg.solve(A.T @ A / 0.09 + w * torch.eye(2), A.T @ (data[0] - kept[0] * b) / 0.09)
        assert error(x[0], W @ z + b) < 1e-8


class Bump(torch.nn.Module):
    """A Gaussian bump of width 2 at 8 + 2 z in a plane of 16 × 16 pixels."""

    latent, shape = 2, (1, 16, 16)

    def decode(self, z):
        t = torch.arange(16, dtype=z.dtype)
        rows, columns = (torch.exp(-((t - 8 - 2 * z[..., i, None]) ** 2) / 8) for i in (0, 1))
        return (rows[..., :, None] * columns[..., None, :])[..., None, :, :]


def test_a_bump_behind_a_mask_is_found_as_exactly_as_can_be():
    bump, sigma = Bump(), 0.05
    z = normal(16, 2)
    mask = (torch.rand(1, 16, 16, generator=rng(1)) < 0.3).double()
    physics = Physics(Mask(mask, (1, 16, 16)), GaussianNoise(sigma=sigma))
    x = bump.decode(z)
    solution = Latent(bump, starts=5, max_steps=30).solve(physics(x, generator=rng(2)), physics)
    ratios = []
    for one, found in zip(z, solution.value):
        J = torch.func.jacfwd(bump.decode)(one).reshape(-1, 2)
        seen = mask.flatten()[:, None] * J
        spread = torch.linalg.inv(seen.T @ seen / sigma**2 + torch.eye(2))  # Cramér and Rao, with the prior
        expected = (J @ spread @ J.T).trace()
        ratios.append(float((found - bump.decode(one)).square().sum() / expected))
    assert max(ratios) < 9
    assert 0.5 < sum(ratios) / len(ratios) < 1.6


class Stereographic(torch.nn.Module):
    """The unit sphere but for one pole."""

    latent, shape = 2, (3,)

    def __init__(self, sign):
        super().__init__()
        self.sign = sign

    def decode(self, z):
        s = z.square().sum(-1, keepdim=True)
        return torch.cat([2 * z, self.sign * (1 - s)], -1) / (1 + s)


class Sphere(torch.nn.Module):
    def __init__(self, weights):
        super().__init__()
        self.charts = torch.nn.ModuleList([Stereographic(1.0), Stereographic(-1.0)])
        self.log_weights = torch.tensor(weights, dtype=F64).log()


def test_each_sample_takes_the_chart_that_fits():
    y = 1.3 * torch.nn.functional.normalize(normal(40, 3), dim=-1)
    y[0] = torch.tensor([1e-9, 0.0, -1.0])  # the pole that the first chart lacks
    physics = Physics(Identity((3,)), GaussianNoise(sigma=0.1))
    found = Latent(Sphere([0.5, 0.5]), weight=1e-7, rtol=1e-9)(y, physics)
    assert error(found, torch.nn.functional.normalize(y, dim=-1)) < 1e-5
    alone = Latent(Sphere([0.5, 0.5]).charts[0], weight=1.0)(y[:1], physics)
    assert error(alone, y[:1]) > 0.1
    equator = torch.tensor([[1.0, 0.0, 0.0]], dtype=F64)
    values = [Latent(Sphere(w)).solve(equator, physics).state.objective for w in ([0.5, 0.5], [0.9, 0.1])]
    assert math.isclose(float(values[0] - values[1]), math.log(0.9 / 0.5), rel_tol=1e-6)


def test_the_loss_of_an_atlas_is_that_of_a_mixture():
    atlas = VAEAtlas((4,), charts=3, latent=2, hidden=(5,), variance=0.3).double()
    atlas.logits.data = torch.tensor([0.3, -0.2, 1.0], dtype=F64)
    x, shares = normal(6, 4), torch.softmax(atlas.logits, 0)
    g = rng(1)
    losses = torch.stack([vae.loss(x, generator=g) for vae in atlas.charts], -1)
    expected = -(shares * torch.exp(-losses)).sum(-1).log()
    assert torch.allclose(atlas.loss(x, generator=rng(1)), expected)
    r = (shares * torch.exp(-losses)) / (shares * torch.exp(-losses)).sum(-1, keepdim=True)
    assert torch.allclose(atlas.responsibilities(x, generator=rng(1)), r)
    weight = atlas.charts[1].decoder[0].weight
    (slope,) = torch.autograd.grad(atlas.loss(x, generator=rng(1)).sum(), weight)
    (weighted,) = torch.autograd.grad((r[:, 1].detach() * losses[:, 1]).sum(), weight)
    assert torch.allclose(slope, weighted)
    part = torch.tensor([0, 1, 2, 0, 1, 2])
    assigned = (losses - shares.log()).gather(1, part[:, None])[:, 0]
    assert torch.allclose(atlas.loss(x, generator=rng(1), part=part), assigned)


def test_parts_are_clusters():
    atlas = VAEAtlas((1, 2), charts=3, latent=1)
    centers = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]], dtype=F64)
    which = torch.arange(60) % 3
    part = atlas.parts((centers[which] + 0.3 * normal(60, 2))[:, None], generator=rng(3))
    assert all(len(part[which == k].unique()) == 1 for k in range(3)) and len(part.unique()) == 3
    with pytest.raises(invcore.ShapeError, match="at least 3"):
        atlas.parts(normal(2, 1, 2), generator=rng())


@pytest.mark.slow
def test_charts_of_a_sphere_have_two_dimensions():
    """One decoder of the whole sphere moves in three directions; each chart in two."""
    g = rng(0)
    x = torch.nn.functional.normalize(torch.randn(500, 3, generator=g), dim=1)
    x = x @ torch.linalg.qr(torch.randn(8, 3, generator=g)).Q.T
    with torch.random.fork_rng():
        torch.manual_seed(0)
        atlas = VAEAtlas((8,), charts=6, latent=3, hidden=(32,), variance=1e-3)
    part, optimizer = atlas.parts(x, generator=g), torch.optim.Adam(atlas.parameters(), lr=4e-3)
    for k in range(800):
        optimizer.zero_grad()
        atlas.loss(x, generator=g, part=part if k < 400 else None).mean().backward()
        optimizer.step()
    own = atlas.responsibilities(x, generator=g).argmax(1)
    found = torch.cat(
        [
            intrinsic_dimension(chart.decode, chart.encode(x[own == k])[0]).dimension
            for k, chart in enumerate(atlas.charts)
        ]
    )
    assert (found == 2).double().mean() > 0.95


def test_what_does_not_fit_is_refused():
    vae, physics = VAE((1, 4), latent=2, hidden=(3,)).double(), Physics(Identity((1, 5)))
    with pytest.raises(invcore.ParameterError, match="those of the operator"):
        Latent(vae)(normal(1, 5), physics)
    with pytest.raises(invcore.ParameterError, match="starts from latent"):
        Latent(vae).solve(normal(1, 4), Physics(Identity((1, 4))), x0=normal(1, 4))
    with pytest.raises(invcore.ParameterError, match="starts >= 1"):
        Latent(vae, starts=0)
    with pytest.raises(invcore.ParameterError, match="decode"):
        Latent(torch.nn.Linear(2, 3))
    with pytest.raises(invcore.ParameterError):
        VAEAtlas((4,), charts=0, latent=1)
