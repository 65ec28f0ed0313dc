"""Learning the conditional mean of images that were never measured completely."""

import pytest
import torch

import invcore
from invcore import Physics, Space
from invcore.operators import Mask, RandomMask
from invcore_learning import Splitting, partial_measurements
from invcore_testsupport import normal, rng

F64 = torch.float64
N = 3
COVARIANCE = torch.tensor([[1.0, 0.8, 0.3], [0.8, 1.5, 0.6], [0.3, 0.6, 0.7]], dtype=F64)


class Estimator(torch.nn.Module):
    """E[x | the entries that the mask lets through] of Gaussian signals, and more of these entries."""

    def __init__(self, more):
        super().__init__()
        self.more = torch.nn.Parameter(more)

    def forward(self, z, physics):
        m = physics.operator.mask.expand(z.shape)
        seen = m[..., :, None] * COVARIANCE * m[..., None, :] + torch.diag_embed(1 - m)
        mean = (COVARIANCE @ torch.linalg.solve(seen, z[..., None])).squeeze(-1)
        return mean + z @ self.more.T


def slopes(loss, more, groups=60, size=500):
    """The derivative of the mean loss in each entry of ``more``, for independent sets of signals."""
    root, found = torch.linalg.cholesky(COVARIANCE), []
    for i in range(groups):
        x = normal(size, N, seed=i) @ root.T
        S = (torch.rand(size, N, generator=rng(1000 + i)) < 0.7).to(F64)
        physics = Physics(Mask(S, Space((N,))))
        own = loss.at(i)
        model = own.wrap(Estimator(more))
        value = own(model(S * x, physics), None, S * x, physics, model).mean()
        found.append(torch.autograd.grad(value, model.model.more)[0])
    return torch.stack(found)


def z_scores(found):
    return found.mean(0) / (found.std(0).clamp_min(1e-12) / len(found) ** 0.5)


def test_the_conditional_mean_of_complete_signals_is_the_minimizer():
    loss = partial_measurements(RandomMask((N,), keep=0.6))
    assert z_scores(slopes(loss, torch.zeros(N, N, dtype=F64))).abs().max() < 3.5
    away = torch.zeros(N, N, dtype=F64)
    away[0, 1] = away[2, 2] = 0.2
    assert (z_scores(slopes(loss, away))[[0, 2], [1, 2]] > 20).all()


def test_entries_that_the_model_has_seen_are_compared_too():
    x = normal(4, N)
    S = torch.tensor([1.0, 1.0, 0.0], dtype=F64)
    physics = Physics(Mask(S, Space((N,))))
    masks = lambda batch, generator: torch.tensor([1.0, 0.0, 1.0]).expand(*batch, 1, N)
    for against, entries in (("measured", [0, 1]), ("held_out", [1])):
        loss = Splitting(masks=masks, against=against)
        model = loss.wrap(Estimator(torch.zeros(N, N, dtype=F64)))
        x_hat = x + 1.0
        expected = (x_hat - S * x)[:, entries].square().mean(-1)
        assert torch.allclose(loss(x_hat, None, S * x, physics, model), expected)
    with pytest.raises(invcore.ParameterError, match="against"):
        Splitting(against="all")


def test_all_that_was_measured_is_used_afterwards():
    loss = partial_measurements(keep=0.5)
    inner = Estimator(torch.zeros(N, N, dtype=F64))
    physics = Physics(Mask(torch.tensor([1.0, 1.0, 0.0], dtype=F64), Space((N,))))
    y = torch.tensor([[1.0, 2.0, 0.0]], dtype=F64)
    assert torch.equal(loss.wrap(inner).eval()(y, physics), inner(y, physics))
