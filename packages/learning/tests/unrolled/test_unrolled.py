"""`Unrolled`: the steps of a solver as a module."""

import copy

import pytest
import torch

import invcore
from invcore import Physics, Solver
from invcore.noises import GaussianNoise
from invcore.operators import Mask, Matrix
from invcore.priors import L1, PnP
from invcore.solvers import ADMM, FISTA, ProximalGradient
from invcore_learning import NetworkDenoiser, UNet, Unrolled

F = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def lasso():
    """A problem of 6 data and 8 unknowns, for 3 samples."""
    A = Matrix(torch.randn(6, 8, generator=seeded(), dtype=F))
    return torch.randn(3, 6, generator=seeded(1), dtype=F), Physics(A, GaussianNoise(sigma=0.1))


def inpainting(network=None, **options):
    """A solver with a network inside, data of two pictures, and their physics."""
    torch.manual_seed(0)
    network = torch.nn.Conv2d(1, 1, 3, padding=1).to(F) if network is None else network
    mask = (torch.rand(1, 6, 5, generator=seeded(2)) > 0.4).to(F)
    physics = Physics(Mask(mask, (1, 6, 5)), GaussianNoise(sigma=0.1))
    solver = ProximalGradient(prior=PnP(NetworkDenoiser(network, blind=True), **options), weight=1.0)
    return solver, torch.rand(2, 1, 6, 5, generator=seeded(3), dtype=F), physics


@pytest.mark.parametrize("kind", [FISTA, ProximalGradient, ADMM])
@pytest.mark.parametrize("learn", [(), ("weight",)])
def test_it_equals_the_solver_after_as_many_steps(kind, learn):
    y, physics = lasso()
    solver = kind(prior=L1(), weight=0.3, max_steps=7, rtol=0.0)
    model = Unrolled(solver, steps=7, learn=learn).to(F)
    assert torch.equal(model(y, physics), solver(y, physics))
    if learn:  # starts exactly where the solver does
        model(y, physics).sum().backward()
        assert model.numbers["weight"].theta.grad != 0


def test_it_takes_every_step_where_the_solver_would_stop():
    y, physics = lasso()
    taken = []

    class Counting(Solver):
        weight: float = 1.0
        max_steps: int = 3
        rtol: float = 0.0

        def init(self, problem):
            return type("State", (tuple,), {"x": problem.start()})()

        def step(self, problem, state):
            taken.append(1)
            return state

        def converged(self, problem, state):
            return True

        def value(self, problem, state):
            return problem.start()

    Unrolled(Counting(), steps=5)(y, physics)
    assert len(taken) == 5
    with pytest.raises(invcore.ParameterError, match="whole number >= 0"):
        Counting().solve(y, physics, steps=-1)


def test_gradients_are_those_of_finite_differences():
    solver, y, physics = inpainting(sigma=0.3)
    model = Unrolled(solver, steps=4, learn=("weight", "step_size"), per_step=("prior.denoiser.network",))
    weights = torch.randn(y.shape, generator=seeded(5), dtype=F)

    def loss():
        return (weights * model(y, physics)).sum()

    loss().backward()
    for name, p in model.named_parameters():
        if name == "numbers.weight.theta":  # PnP with a level of its own does not see the weight
            continue
        direction = torch.randn(p.shape, generator=seeded(6), dtype=p.dtype)
        with torch.no_grad():
            p += 1e-4 * direction
            above = loss()
            p -= 2e-4 * direction
            below = loss()
            p += 1e-4 * direction
        torch.testing.assert_close((p.grad * direction).sum(), (above - below) / 2e-4, rtol=1e-6, atol=1e-9)


def test_recomputed_steps_give_the_same_gradient_and_hold_less():
    held, sizes, grads = [], [], []
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t)
    for checkpointed in (False, True):
        solver, y, physics = inpainting()
        model = Unrolled(solver, steps=12, learn=("step_size",), checkpointed=checkpointed)
        sizes.clear()
        with hooks:
            loss = model(y, physics).square().sum()
        held.append(sum(sizes))
        loss.backward()
        grads.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(grads[1], grads[0], rtol=1e-12, atol=0)
    assert held[1] < held[0] / 2


class Sums(invcore.LinearOperator):
    """Weighted sums along rows; the adjoint is found by torch.func."""

    gain: torch.Tensor
    domain: invcore.Space = invcore.Space((1, 6, 5))
    range: invcore.Space = invcore.Space((1, 6, 5))
    params = ("gain",)

    def forward(self, x):
        return self.gain * x.cumsum(-1) / 5


class Bent(invcore.Operator):
    """A nonlinear operator, which is linearized by torch.func."""

    gain: torch.Tensor
    domain: invcore.Space = invcore.Space((1, 6, 5))
    range: invcore.Space = invcore.Space((1, 6, 5))
    params = ("gain",)

    def forward(self, x):
        return self.gain * torch.tanh(x)


@pytest.mark.parametrize(
    "kind", [Sums, lambda gain: Bent(gain).linearize(torch.linspace(-1, 1, 30, dtype=F).reshape(1, 6, 5))]
)
def test_steps_of_operators_that_torch_func_differentiates_are_computed_again(kind):
    found, held, sizes = [], [], []
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t)
    for checkpointed in (False, True):
        torch.manual_seed(0)
        network = torch.nn.Sequential(
            torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.Tanh(), torch.nn.Conv2d(8, 1, 3, padding=1)
        ).to(F)
        solver = ProximalGradient(prior=PnP(NetworkDenoiser(network, blind=True)), weight=1.0, step_size=0.3)
        gain = torch.linspace(0.5, 1.5, 5, dtype=F, requires_grad=True)
        physics = Physics(kind(gain), GaussianNoise(sigma=torch.tensor(0.1, dtype=F)))
        y = torch.linspace(0, 1, 30, dtype=F).reshape(1, 6, 5)
        model = Unrolled(solver, steps=24, learn=("step_size",), checkpointed=checkpointed).to(F)
        sizes.clear()
        with hooks:
            loss = model(y, physics).square().sum()
        held.append(sum(sizes))
        found.append(torch.autograd.grad(loss, [gain, *model.parameters()]))
    for one, other in zip(*found, strict=True):
        assert float(one.abs().max()) > 0
        torch.testing.assert_close(other, one, rtol=1e-12, atol=1e-14)
    assert held[1] < held[0] / 2


def test_where_torch_keeps_its_hooks_they_are_refused(monkeypatch):
    monkeypatch.delattr(torch._C._autograd, "_top_saved_tensors_default_hooks")
    solver, _, _ = inpainting()
    physics = Physics(Sums(torch.ones(5, dtype=F)), GaussianNoise(sigma=0.1)).to(F)
    y = torch.ones(1, 6, 5, dtype=F)
    with pytest.raises(invcore.SolverError, match="give the operator an adjoint, or take .*'unroll'"):
        Unrolled(solver, steps=3, checkpointed=True)(y, physics)
    assert torch.isfinite(Unrolled(solver, steps=3)(y, physics)).all()


def test_dropout_is_the_same_when_a_step_is_computed_again():
    torch.manual_seed(3)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3, padding=1), torch.nn.Dropout(0.5)).to(F)
    solver, y, physics = inpainting(network)
    model, bias = Unrolled(solver, steps=3, checkpointed=True), network[0].bias

    def loss():
        torch.manual_seed(4)
        return model(y, physics).square().sum()

    loss().backward()
    slope = bias.grad.item()
    with torch.no_grad():
        bias += 1e-6
    above = loss().item()
    with torch.no_grad():
        bias -= 2e-6
    assert (above - loss().item()) / 2e-6 == pytest.approx(slope, rel=1e-5)


def test_each_step_has_its_own_network_and_number():
    solver, y, physics = inpainting(sigma=0.3)
    model = Unrolled(solver, steps=3, per_step=("prior.denoiser.network", "prior.sigma"))
    same = model(y, physics)
    assert torch.equal(same, Unrolled(solver, steps=3)(y, physics))
    *_, last = model.networks["prior_denoiser_network"]
    with torch.no_grad():
        last.bias += 1.0
    torch.testing.assert_close(model(y, physics), same + 1.0)  # only the last step sees it
    assert model.learned()["prior.sigma"].tolist() == pytest.approx([0.3] * 3)


def test_a_positive_number_stays_positive():
    y, physics = lasso()
    model = Unrolled(FISTA(prior=L1(), weight=0.3), steps=3, learn=("weight",))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e4)
    for sign in (1, -1, -1, 1):
        optimizer.zero_grad()
        (sign * model(y, physics).square().sum()).backward()
        optimizer.step()
        assert 0 < model.learned()["weight"] < torch.inf


def test_filters_of_an_operator_inside_the_prior_are_free():
    from invcore.priors import Analysis

    y, physics = lasso()
    K = Matrix(torch.rand(5, 8, generator=seeded(4), dtype=F))
    model = Unrolled(ADMM(prior=Analysis(L1(), K), weight=0.1), steps=4, learn=("prior.K.matrix",))
    assert torch.equal(model.numbers["prior_K_matrix"].theta, K.matrix)
    model(y, physics).sum().backward()
    assert model.numbers["prior_K_matrix"].theta.grad.abs().sum() > 0


def test_saved_and_opened(tmp_path):
    torch.manual_seed(0)
    solver, y, physics = inpainting(UNet(features=(4, 8), blocks=1))
    model = Unrolled(solver, steps=3, learn=("weight",), per_step=("prior.denoiser.network",))
    with torch.no_grad():
        for p in model.parameters():
            p += 0.01
    path = invcore.models.save(model, tmp_path / "m.safetensors")
    y, physics = y.float(), physics.to(torch.float32)
    torch.testing.assert_close(invcore.model(path)(y, physics), model(y, physics), rtol=0, atol=0)


def test_precision_and_copies_take_all_along():
    solver, y, physics = inpainting()
    model = Unrolled(solver, steps=2, learn=("weight",))
    other = copy.deepcopy(model).float()
    out = other(y.float(), physics.to(torch.float32))
    assert out.dtype == torch.float32 and model(y, physics).dtype == F
    assert other.solver.networks()["prior.denoiser.network"] is other.networks["prior_denoiser_network"]


REFUSED = {
    "weight='auto' is chosen anew": {"learn": ("weight",)},
    "'weigth' is no number": {"learn": ("weigth",)},
    "'max_steps' is no number": {"learn": ("max_steps",)},
    "learns without being named": {"learn": ("prior.denoiser.network",)},
    "takes no value of 'rtol' for each step": {"per_step": ("rtol",)},
    "paths come as a tuple": {"learn": "weight"},
    "choose one": {"learn": ("rtol",), "per_step": ("rtol",)},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_learned_is_refused(message):
    prior = inpainting()[0].prior
    with pytest.raises(invcore.ParameterError, match=message):
        Unrolled(FISTA(prior=prior), steps=2, **REFUSED[message])


def test_a_solver_that_takes_one_prior_refuses_one_for_each_step():
    from invcore.priors import GradientStep
    from invcore.solvers import GradientDescent

    solver, y, physics = inpainting()
    prior = GradientStep(solver.prior.denoiser, sigma=0.1)
    model = Unrolled(GradientDescent(prior=prior, weight=1.0), steps=2, per_step=("prior.sigma",))
    with pytest.raises(invcore.ParameterError, match="one prior for all steps"):
        model(y, physics)
