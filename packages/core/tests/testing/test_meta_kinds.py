"""The kit on broken noises, fidelities, priors, solvers, denoisers, metrics and readers."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from invcore import DataError, ParameterError, Physics
from invcore.denoisers import Denoiser
from invcore.fidelities import Fidelity, LeastSquares
from invcore.io import Acquisition, Reader
from invcore.noises import Noise
from invcore.operators import Identity, least_squares
from invcore.priors import Prior, Tikhonov
from invcore.solvers import Solver
from invcore.spaces import flatten, per_sample, randn
from invcore.testing import ReaderExample, iter_checks


def outcome(obj, kind, name):
    return {c.name: c for c in iter_checks(obj, kind=kind)}[name].result()


def failures(obj, kind):
    found = {c.name: c.result() for c in iter_checks(obj, kind=kind)}
    return {name: message for name, (status, message) in found.items() if status == "failed"}


BROKEN = []


def fails(kind, name, message, **fields):
    """Register a broken component with the check meant for it and what that says."""

    def register(broken):
        def make():
            if kind == "reader":
                return ReaderExample(broken(), write_numbers)
            return broken(**fields) if isinstance(broken, type) else broken

        BROKEN.append(pytest.param(make, kind, name, message, id=f"{broken.__name__}-{name}"))
        return broken

    return register


# -- noise ------------------------------------------------------------------------------------------------


@fails("noise", "uses_its_generator", "another seed gives the same noise: the generator is ignored")
class IgnoresGenerator(Noise):
    sigma: float = 0.3

    def sample(self, y, space, generator):
        own = torch.Generator().manual_seed(0)
        return y + self.sigma * torch.randn(y.shape, generator=own, dtype=y.dtype)

    def likelihood(self):
        return LeastSquares(sigma=self.sigma)


@fails("noise", "no_global_randomness", "draws from the global random state of torch")
class GlobalNoise(Noise):
    sigma: float = 0.3

    def sample(self, y, space, generator):
        return y + self.sigma * torch.randn_like(y)

    def likelihood(self):
        return LeastSquares(sigma=self.sigma)


@fails("noise", "moments", r"complex data: the variance of the noise is 0\.\d+ x what the likelihood implies")
class WrongVariance(Noise):
    """The classic: sigma of a complex number instead of sigma of each component."""

    sigma: float = 0.3

    def sample(self, y, space, generator):
        batch = y.shape[: y.ndim - len(space.shape)]
        noise = randn(space, tuple(batch), generator=generator, dtype=y.dtype)
        return y + self.sigma * noise / (2**0.5 if y.is_complex() else 1)

    def likelihood(self):
        return LeastSquares(sigma=self.sigma)


@fails("noise", "batch_split_invariance", "in two parts gives other noise than at once")
class OneDrawForABatch(Noise):
    sigma: float = 0.3

    def sample(self, y, space, generator):
        return (
            y
            + self.sigma
            * torch.randn(y.shape, generator=generator, dtype=y.dtype)[
                ..., torch.randperm(3, generator=generator)
            ]
        )

    def likelihood(self):
        return LeastSquares(sigma=self.sigma)


@fails("noise", "parameters_per_sample", "noise with one 'sigma' per sample differs from the loop")
class SigmaOnColumns(Noise):
    sigma: float | Tensor = 0.3
    params = ("sigma",)

    def sample(self, y, space, generator):
        batch = y.shape[: y.ndim - len(space.shape)]
        return y + self.sigma * randn(space, tuple(batch), generator=generator, dtype=y.dtype)

    def likelihood(self):
        return LeastSquares(sigma=self.sigma)


# -- fidelity and prior -----------------------------------------------------------------------------------


@fails("fidelity", "lipschitz", r"lipschitz\(\) is 1, but the gradient changes at a rate of 2")
@fails("fidelity", "grad", r"grad is 2 x the derivative of value")
class WrongGrad(Fidelity):
    def value(self, u, y, space=None):
        return LeastSquares().value(u, y, space)

    def grad(self, u, y, space=None):
        return 2 * (u - y)

    def prox(self, u, y, step, space=None):
        return LeastSquares().prox(u, y, step, space)

    def lipschitz(self):
        return 1.0


@fails("prior", "prox", r"prox\(x, 0\.3\) is not the minimizer .* and a point at distance")
class ProxForgetsStep(Prior):
    def _value(self, x, space):
        return x.abs().sum() if space is None else x.abs().sum(tuple(range(-len(space.shape), 0)))

    def _prox(self, x, step, space):
        return torch.sgn(x) * (x.abs() - 0.5).clamp_min(0)


@fails("prior", "value_per_sample", r"value has shape \(\).*expected real, shape \(3,\)")
class ValueOverBatch(Prior):
    def _value(self, x, space):
        return (x.abs() ** 2).sum()


@fails("prior", "misfitting_parameters_raise", "raises RuntimeError instead of InvcoreError")
class BoundsAreNoMaps(Prior):
    """Per pixel, but not in ``maps``: (8, 8) would be taken for a batch, so it leaves the check out."""

    lower: float | Tensor = 0.0
    params = ("lower",)

    def _fit(self, space, batch):
        pass

    def _value(self, x, space):
        return (x.real - self.lower).abs().sum(tuple(range(-len(space.shape), 0)))


# -- solvers ----------------------------------------------------------------------------------------------


class State(NamedTuple):
    x: Tensor
    change: Tensor


def gradient_step(problem, x, *, detached=False):
    L = problem.lipschitz + torch.as_tensor(problem.weight, dtype=torch.float64)
    L = L.detach() if detached else L
    gradient = problem.gradient(x) + per_sample(problem.weight, problem.space) * x
    return x - gradient / per_sample(L, problem.space).to(gradient.real.dtype)


def first_state(problem):
    x = torch.zeros_like(problem.backprojection) if problem.x0 is None else problem.x0
    size = torch.linalg.vector_norm(flatten(x, problem.space), dim=-1)
    return State(x, torch.full_like(size, torch.inf))


def moved(problem, old, new, *, absolute=False):
    step = torch.linalg.vector_norm(flatten(new - old, problem.space), dim=-1)
    size = torch.linalg.vector_norm(flatten(new, problem.space), dim=-1)
    return step if absolute else step / torch.where(size > 0, size, 1)


@fails(
    "solver", "scale_invariance", "do not give a solution .* as large .an absolute tolerance", absolute=True
)
@fails(
    "solver",
    "batch_equals_loop",
    "of a batch differs from the same sample alone|steps in a",
    mean=True,
    rtol=1e-3,
)
@fails(
    "solver",
    "known_solution",
    "real least squares: the solution differs from the dense one",
    other_weight=True,
)
@fails(
    "solver", "unrolled_derivatives", "to .* is .*, differences give .* taken for a constant", detached=True
)
@fails("solver", "objective_decreases", "promises a monotone objective, but step|objective is", momentum=True)
class GradientDescent(Solver):
    """Gradient descent for least squares with a Tikhonov penalty; options break it."""

    weight: float | Tensor = 0.2
    prior: Prior = Tikhonov()
    max_steps: int = 500
    rtol: float = 1e-5
    absolute: bool = False
    mean: bool = False
    other_weight: bool = False
    momentum: bool = False
    detached: bool = False
    monotone = True

    def init(self, problem):
        return first_state(problem)

    def step(self, problem, state):
        if self.other_weight:
            x = gradient_step(problem.replace(weight=0.0), state.x) - 5e-2 * problem.weight * state.x
        else:
            x = gradient_step(problem, state.x, detached=self.detached)
        if self.momentum:  # without the promise
            x = x + 0.95 * (x - state.x)
        change = moved(problem, state.x, x, absolute=self.absolute).detach()
        x = x + 0.9 * (x - state.x) if self.momentum else x
        return State(x, change.mean().expand_as(change) if self.mean else change)

    def converged(self, problem, state):
        return state.change <= self.rtol

    def fixed_point(self, problem, x):
        return gradient_step(problem, x)


@fails("solver", "implicit_derivatives", "^(?!.*second).*derivative .*implicit.* taken for a constant")
class WrongImplicit(Solver):
    weight: float | Tensor = 0.2
    prior: Prior = Tikhonov()
    max_steps: int = 500
    rtol: float = 1e-5

    def init(self, problem):
        return first_state(problem)

    def step(self, problem, state):
        x = gradient_step(problem, state.x)
        return State(x, moved(problem, state.x, x).detach())

    def converged(self, problem, state):
        return state.change <= self.rtol

    def implicit(self, problem, x):
        return least_squares(problem.linear, problem.y, shift=0.0)  # the weight is forgotten


class Bypassed(torch.autograd.Function):
    """The solution of ridge regression, whose derivative is found once, and torch's own means say so."""

    @staticmethod
    def forward(ctx, x, y, matrix, shift):
        ctx.save_for_backward(y, matrix, shift)
        return x.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, v):
        y, matrix, shift = ctx.saved_tensors
        with torch.enable_grad():
            inputs = [t.detach().requires_grad_() for t in (y, matrix, shift)]
            y, matrix, shift = inputs
            normal = matrix.mT @ matrix + shift * torch.eye(matrix.shape[-1], dtype=matrix.dtype)
            found = torch.linalg.solve(normal, (matrix.mT @ y.unsqueeze(-1)).squeeze(-1))
            return (None, *torch.autograd.grad(found, inputs, v))


@fails(
    "solver",
    "implicit_derivatives",
    "second derivative .*differentiate='implicit'.* taken for a constant",
)
class OnceBypassed(Solver):
    weight: float | Tensor = 0.2
    prior: Prior = Tikhonov()
    max_steps: int = 500
    rtol: float = 1e-5

    def init(self, problem):
        return first_state(problem)

    def step(self, problem, state):
        x = gradient_step(problem, state.x)
        return State(x, moved(problem, state.x, x).detach())

    def converged(self, problem, state):
        return state.change <= self.rtol

    def implicit(self, problem, x):
        shift = torch.as_tensor(problem.weight / problem.fidelity.precision(), dtype=x.dtype)
        found = Bypassed.apply(flatten(x), problem.y, problem.A.matrix, shift)
        return problem.y.sum() * 0 + found.reshape(x.shape) * (1 + 0 * problem.A.matrix.sum())


# -- denoisers, metrics, losses, generators, transforms ---------------------------------------------------


class Smooth(Denoiser):
    """Correct: average with the neighbors, more of it for more noise, on a relative scale."""

    channels, value_range, sigma_range, spatial_dims = None, None, (0.0, float("inf")), 2

    def denoise(self, x, sigma):
        mean = (x + x.roll(1, -1) + x.roll(-1, -1) + x.roll(1, -2) + x.roll(-1, -2)) / 5
        size = x.abs().amax((-3, -2, -1), keepdim=True) if x.numel() else x.abs()
        strength = sigma / (sigma + 0.1 * torch.where(size > 0, size, 1))
        return x + strength * (mean - x)


@fails("denoiser", "sigma_per_sample", "sigma per sample differs from the loop")
class MeanSigma(Denoiser):
    channels, value_range, sigma_range, spatial_dims = None, (0.0, 1.0), (0.0, 10.0), 2

    def denoise(self, x, sigma):
        return x * (1 - 0.1 * sigma.mean())


@fails("denoiser", "it_denoises", "the error is .* after and .* before denoising")
class Amplifies(Denoiser):
    channels, value_range, sigma_range, spatial_dims = None, (0.0, 1.0), (0.0, 10.0), 2

    def denoise(self, x, sigma):
        return x + sigma * torch.sign(x.real - x.real.mean((-2, -1), keepdim=True))


@fails("denoiser", "scale_equivariance", r"value_range is None, but D\(0\.0001 x, 0\.0001 sigma\) is not")
class FixedScale(Denoiser):
    channels, value_range, sigma_range, spatial_dims = None, None, (0.0, float("inf")), 2

    def denoise(self, x, sigma):
        return x / (1 + sigma**2)


@fails("metric", "wrong_shapes_raise", "one image against two is accepted in silence")
@fails(
    "metric", "nan_is_not_hidden", r"an image with NaN scores .*; it should be NaN, or raise", hide_nan=True
)
@fails(
    "metric",
    "one_value_per_sample",
    r"images of batch \(1,\) give .*expected one real value per sample",
    reduce=True,
)
@fails("metric", "direction", "wrong direction: it says that higher is better", higher_is_better=True)
@fails("metric", "gradient_at_a_perfect_image", "the gradient is NaN or infinite", root=True)
@dataclass(frozen=True)
class Error:
    """A mean squared error whose behavior options break."""

    higher_is_better: bool = False
    reduce: bool = False
    hide_nan: bool = False
    root: bool = False

    def __call__(self, x_hat, x):
        value = (x_hat - x).abs().square()
        if self.root:
            return value.flatten(-3).mean(-1).sqrt()
        if self.hide_nan:
            value = value.nan_to_num()
        return value.mean() if self.reduce else value.mean((-3, -2, -1))


@fails("metric", "direction", "with growing blur its values are", higher_is_better=False)
@fails("metric", "reference_is_refused", "a reference is accepted in silence", refuse=False)
@dataclass(frozen=True)
class Edges:
    """The mean difference of neighbors, a metric without reference whose behavior options break."""

    no_reference = True

    higher_is_better: bool = True
    refuse: bool = True

    def __call__(self, x_hat, x=None):
        if x is not None and self.refuse:
            raise ParameterError("no reference is taken")
        return x_hat.diff(dim=-1).abs().mean((-3, -2, -1))


@fails("loss", "gradient", "nothing could be trained with it")
def detached_loss(x_hat, x, y, physics, model):
    return (x_hat.detach() - x).square().mean((-3, -2, -1))


@fails("loss", "gradient", r"the gradient to the reconstruction is 0\.5 x what finite differences give")
def half_gradient_loss(x_hat, x, y, physics, model):
    return ((x_hat + x_hat.detach()) / 2 - x).square().mean((-3, -2, -1))


@fails("generator", "uses_its_generator", "eight seeds give the same draw")
def fixed_mask(batch=(), generator=None):
    return torch.ones(*batch, 8)


@fails("generator", "no_global_randomness", "global random state of torch")
def global_mask(batch=(), generator=None):
    return torch.rand(*batch, 8)


@fails("generator", "batch_split_invariance", "drawn in two parts differs from one drawn at once")
def batch_order_mask(batch=(), generator=None):
    return torch.rand(8, *batch, generator=generator).movedim(0, -1)


@fails("transform", "batch_equals_loop", "a batch differs from that of its item|batch-mates")
def normalized_over_batch(x):
    return x / x.abs().max()


@fails("transform", "pure", "changes its input in place")
def in_place(x):
    return x.mul_(2)


# -- readers ----------------------------------------------------------------------------------------------


class NumbersReader(Reader):
    """Correct: a header line with the count, then the numbers."""

    def sniff(self, path):
        try:
            return path.is_file() and path.read_bytes()[:4] == b"NUM1"
        except OSError:
            return False

    def _read(self, path, options):
        raw = path.read_bytes()
        if raw[:4] != b"NUM1" or len(raw) < 8:
            raise DataError(f"{path} is not a NUM1 file")
        n = int.from_bytes(raw[4:8], "little")
        if len(raw) != 8 + 4 * n:
            raise DataError(f"{path} holds {len(raw) - 8} bytes, its header promises {4 * n}")
        return acquisition(torch.frombuffer(bytearray(raw[8:]), dtype=torch.float32))


@fails(
    "reader", "truncated_file_raises", "sample.num cut to .* is read without an error, and gives other data"
)
@fails("reader", "garbage_raises", "garbage of .* bytes in sample.num is accepted in silence")
class AcceptsGarbage(NumbersReader):
    def _read(self, path, options):
        raw = path.read_bytes()[8:]
        raw = raw[: len(raw) // 4 * 4] or bytes(4)
        return acquisition(torch.frombuffer(bytearray(raw), dtype=torch.float32).nan_to_num())


@fails("reader", "sniffs_nothing_else", "sniff claims an empty file")
class ClaimsEverything(NumbersReader):
    def sniff(self, path):
        return True


@fails("reader", "file_is_not_modified", r"changes, adds or removes files: \['sample.index'\]")
class LeavesAFile(NumbersReader):
    def _read(self, path, options):
        path.with_suffix(".index").write_text("cache")
        return super()._read(path, options)


@fails("reader", "truncated_file_raises", "cut to 0 of 28 bytes raises .* instead of DataError")
class RaisesStrayErrors(NumbersReader):
    def _read(self, path, options):
        raw = path.read_bytes()
        n = int.from_bytes(raw[4:8], "little")
        return acquisition(torch.frombuffer(bytearray(raw[8:]), dtype=torch.float32).reshape(n))


def acquisition(values):
    return Acquisition(y=values, physics=Physics(Identity((len(values),))))


def write_numbers(folder: Path) -> Path:
    path = folder / "sample.num"
    path.write_bytes(b"NUM1" + (5).to_bytes(4, "little") + torch.arange(5.0).numpy().tobytes())
    return path


@pytest.mark.parametrize(("make", "kind", "name", "message"), BROKEN)
def test_a_broken_component_fails_the_check_meant_for_it(make, kind, name, message):
    status, text = outcome(make(), kind, name)
    assert status == "failed", (status, text)
    assert re.search(message, text, re.DOTALL), text


CORRECT = [
    (GradientDescent, "solver"),
    (Smooth, "denoiser"),
    (lambda: ReaderExample(NumbersReader(), write_numbers), "reader"),
    (Edges, "metric"),
]


@pytest.mark.parametrize(("make", "kind"), CORRECT, ids=[kind for _, kind in CORRECT])
def test_a_correct_counterpart_passes_everything(make, kind):
    assert failures(make(), kind) == {}
