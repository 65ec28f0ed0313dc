"""Instances of core's solvers for the conformance kit: the first of each is tiny.

The automatic weight stands where a number could, too: the kit checks it, and poses problems of its own with a
number in its place.
"""

from __future__ import annotations

import torch

from .._physics import Physics
from ..models import GaussianRestorer
from ..noises import GaussianNoise, PoissonNoise
from ..operators import Convolution, Mask, MeasureSamples, Space
from ..priors import L1, TV, Box, Lp, Simplex, Tikhonov
from ..solvers import (
    ADMM,
    ASDPOCS,
    BSREM,
    CGLS,
    FISTA,
    IRLS,
    LBFGS,
    OSEM,
    POGM,
    SAGA,
    SART,
    SIRT,
    SVRG,
    Anderson,
    Auto,
    BlindAlternating,
    BlindRichardsonLucy,
    BoltzmannShannon,
    BurgEntropy,
    ChambollePock,
    CondatVu,
    ConjugateGradient,
    DouglasRachford,
    GaussNewton,
    GradientDescent,
    HalfQuadraticSplitting,
    HeavyBall,
    Inertial,
    Kaczmarz,
    LevenbergMarquardt,
    MarginalLikelihood,
    MirrorDescent,
    ProximalGradient,
    RichardsonLucy,
    ScaledProximalGradient,
    SlidingFrankWolfe,
    VariableProjection,
)
from ..testing import SolverExample


def admm() -> dict[str, object]:
    """With and without linear solves, and without a prior."""
    return {
        "tiny": ADMM(prior=L1(), rtol=3e-6),
        "linearized": ADMM(prior=L1(), weight=0.1, rtol=1e-6, linearized=True),
        "smooth": ADMM(rtol=1e-6),
    }


def anderson() -> dict[str, object]:
    """A sparse prior, and none."""
    return {
        "tiny": Anderson(solver=FISTA(prior=L1(), weight=0.1), rtol=1e-9),
        "smooth": Anderson(solver=FISTA(weight=0.1), rtol=1e-9, memory=3),
    }


def auto() -> dict[str, object]:
    """A linear solve, an exact proximal operator, terms behind operators."""
    return {
        "tiny": Auto(prior=L1(), weight=0.1, rtol=1e-6),
        "linear": Auto(prior=Tikhonov(), weight=0.1, rtol=1e-6),
        "terms": Auto(prior=TV() + L1(), weight=0.1, rtol=1e-6),
    }


def asd_pocs() -> dict[str, object]:
    """A few steps."""
    return {"tiny": ASDPOCS(max_steps=4, descents=2)}


def _line(x: torch.Tensor, kernel: tuple[float, ...], boundary: str = "circular") -> Convolution:
    taps = torch.tensor([kernel], dtype=torch.float64)
    return Convolution(kernel=taps, domain=Space(tuple(x.shape)), boundary=boundary, method="fft")  # type: ignore[arg-type]


def _bars() -> torch.Tensor:
    """A signal of three bars."""
    x = torch.full((1, 12), 0.2, dtype=torch.float64)
    x[0, 2:4], x[0, 6], x[0, 9:] = 2.0, 3.0, 1.0
    return x


def blind_alternating() -> dict[str, object]:
    """A kernel on the simplex, and gains of the data that are not to exceed a bound."""
    x = _bars()
    noise = GaussianNoise(sigma=0.1)
    sharp = SolverExample(
        BlindAlternating(
            parameter="kernel",
            solver=FISTA(prior=Tikhonov(), weight=0.5, max_steps=3),
            parameter_solver=MirrorDescent(prior=Simplex(), max_steps=2),
            max_steps=6,
        ),
        Physics(_line(x, (0.3, 0.4, 0.3)), noise),
        _line(x, (0.5, 0.3, 0.2))(x),
    )
    gains = BlindAlternating(
        parameter="mask",
        solver=ConjugateGradient(weight=0.5, max_steps=3),
        parameter_solver=MirrorDescent(prior=Box(upper=2.0), max_steps=2),
        max_steps=6,
    )
    blur = Physics(Mask(torch.ones_like(x), Space((1, 12))) @ _line(x, (0.5, 0.5)), noise)
    return {"tiny": sharp, "gains": SolverExample(gains, blur, x)}


def blind_richardson_lucy() -> dict[str, object]:
    """A circular blur, and one whose data end where the kernel does."""
    x = _bars()
    solver = BlindRichardsonLucy(max_steps=10, kernel_steps=2, image_steps=2)
    found: dict[str, object] = {}
    for name, boundary in (("tiny", "circular"), ("valid", "valid")):
        start = Physics(_line(x, (0.3, 0.4, 0.3), boundary), PoissonNoise(gain=0.1))
        found[name] = SolverExample(solver, start, _line(x, (0.5, 0.3, 0.2), boundary)(x))
    return found


def bsrem() -> dict[str, object]:
    """Without background."""
    return {"tiny": BSREM(rtol=1e-6, max_steps=5000)}


def cg() -> dict[str, object]:
    """The automatic weight."""
    return {"tiny": ConjugateGradient(rtol=1e-6)}


def cgls() -> dict[str, object]:
    """To the tolerance, and stopped at the noise level."""
    return {"tiny": CGLS(discrepancy=None, rtol=1e-6), "discrepancy": CGLS()}


def chambolle_pock() -> dict[str, object]:
    """Adaptive and preconditioned steps, and without a prior."""
    return {
        "tiny": ChambollePock(prior=L1(), rtol=1e-6),
        "preconditioned": ChambollePock(prior=L1(), weight=0.1, rtol=1e-6, precondition=True),
        "smooth": ChambollePock(rtol=1e-6),
    }


def condat_vu() -> dict[str, object]:
    """Adaptive and fixed steps, and without a prior."""
    return {
        "tiny": CondatVu(prior=L1(), rtol=1e-6),
        "fixed": CondatVu(prior=L1(), weight=0.1, rtol=1e-6, adaptive=False),
        "smooth": CondatVu(rtol=1e-6),
    }


def douglas_rachford() -> dict[str, object]:
    """Adaptive and fixed steps, and without a prior."""
    return {
        "tiny": DouglasRachford(prior=L1(), rtol=1e-6),
        "fixed": DouglasRachford(prior=L1(), weight=0.1, rtol=1e-6, adaptive=False),
        "smooth": DouglasRachford(rtol=1e-6),
    }


def fista() -> dict[str, object]:
    """With and without a prior, and restarts without parameters."""
    return {
        "tiny": FISTA(prior=L1(), rtol=1e-6, max_steps=2000),
        "smooth": FISTA(rtol=1e-6, max_steps=2000),
        "free": FISTA(prior=L1(), weight=0.1, restart="free", rtol=1e-6, max_steps=2000),
    }


def pogm() -> dict[str, object]:
    """With and without a prior."""
    return {
        "tiny": POGM(prior=L1(), rtol=1e-6, max_steps=2000),
        "smooth": POGM(rtol=1e-6, max_steps=2000),
    }


def gauss_newton() -> dict[str, object]:
    """With and without a prior."""
    return {
        "tiny": GaussNewton(rtol=1e-6),
        "regularized": GaussNewton(prior=Tikhonov(), weight=0.1, rtol=1e-6),
    }


def gd() -> dict[str, object]:
    """Both line searches, with and without a prior, and with automatic weight."""
    return {
        "tiny": GradientDescent(rtol=1e-6),
        "armijo": GradientDescent(prior=Tikhonov(), weight=0.1, line_search="armijo", rtol=1e-6),
        "auto": GradientDescent(prior=Tikhonov()),
    }


def heavy_ball() -> dict[str, object]:
    """The curvature from a squared norm."""
    return {"tiny": HeavyBall(prior=Tikhonov(), weight=0.1, strong_convexity=0.06, rtol=1e-7)}


def hqs() -> dict[str, object]:
    """Continuation in the penalty."""
    return {
        "tiny": HalfQuadraticSplitting(prior=L1(), rtol=1e-6),
    }


def inertial() -> dict[str, object]:
    """Each form, with and without a prior."""
    return {
        "tiny": Inertial(rtol=1e-6),
        "implicit": Inertial(form="implicit", prior=Tikhonov(), weight=0.1, rtol=1e-6),
        "dry": Inertial(form="dry", rtol=1e-6),
    }


def irls() -> dict[str, object]:
    """ℓ1, another power, and automatic weight."""
    return {
        "tiny": IRLS(),
        "p = 1.5": IRLS(prior=Lp(p=1.5), weight=0.1, rtol=1e-6),
    }


def kaczmarz() -> dict[str, object]:
    """In turn, and at random."""
    return {
        "tiny": Kaczmarz(rtol=1e-6, max_steps=200),
        "random": Kaczmarz(order="random", relaxation=0.5, max_steps=20),
    }


def lbfgs() -> dict[str, object]:
    """With and without a prior."""
    return {
        "tiny": LBFGS(rtol=1e-6),
        "regularized": LBFGS(prior=Tikhonov(), memory=4, rtol=1e-6),
    }


def levenberg_marquardt() -> dict[str, object]:
    """With and without a prior."""
    return {
        "tiny": LevenbergMarquardt(rtol=1e-6),
        "regularized": LevenbergMarquardt(prior=Tikhonov(), weight=0.1, rtol=1e-6),
    }


def marginal_likelihood() -> dict[str, object]:
    """A kernel in Fourier space, by a factorization, and by expectation maximization."""
    x = _bars()
    n = torch.arange(12, dtype=torch.float64)
    mean = torch.ones_like(x)
    waves = GaussianRestorer(mean=mean, spectrum=0.3 + 2 / (1 + n.minimum(12 - n)))
    alike = GaussianRestorer(mean=mean, covariance=torch.exp(-(n[:, None] - n).abs() / 3))
    turn = MirrorDescent(prior=Simplex(), max_steps=2)
    noise = GaussianNoise(sigma=0.2)
    found: dict[str, object] = {}
    for name, restorer, boundary, draws in (
        ("tiny", waves, "circular", None),
        ("dense", alike, "zero", None),
        ("draws", alike, "circular", 4),
    ):
        solver = MarginalLikelihood(
            parameter="kernel", restorer=restorer, parameter_solver=turn, draws=draws, max_steps=3
        )
        start = Physics(_line(x, (0.3, 0.4, 0.3), boundary), noise)
        found[name] = SolverExample(solver, start, _line(x, (0.5, 0.3, 0.2), boundary)(x))
    return found


def mirror_descent() -> dict[str, object]:
    """Each potential, and the Euclidean one with a prior."""
    return {
        "tiny": MirrorDescent(rtol=1e-7),
        "l1": MirrorDescent(prior=L1(), weight=0.1, rtol=1e-7),
        "burg": MirrorDescent(potential=BurgEntropy(), rtol=1e-6, max_steps=500),
        "boltzmann-shannon": MirrorDescent(potential=BoltzmannShannon(), rtol=1e-6, max_steps=500),
    }


def osem() -> dict[str, object]:
    """Without background."""
    return {"tiny": OSEM(rtol=1e-6, max_steps=5000)}


def pgd() -> dict[str, object]:
    """Fixed and searched steps, and without a prior."""
    return {
        "tiny": ProximalGradient(prior=L1(), rtol=1e-6),
        "backtracking": ProximalGradient(prior=L1(), weight=0.1, rtol=1e-6, backtracking=True),
        "smooth": ProximalGradient(rtol=1e-6),
    }


def richardson_lucy() -> dict[str, object]:
    """Plain and accelerated."""
    return {
        "tiny": RichardsonLucy(rtol=1e-6, max_steps=5000),
        "accelerated": RichardsonLucy(accelerated=True, rtol=1e-6, max_steps=5000),
    }


def saga() -> dict[str, object]:
    """With and without a prior."""
    return {"tiny": SAGA(rtol=1e-7), "l1": SAGA(prior=L1(), weight=0.1, seed=1, rtol=1e-7)}


def sart() -> dict[str, object]:
    """Plain, and careful with a projection."""
    return {"tiny": SART(rtol=1e-6), "careful": SART(relaxation=0.5, nonnegative_image=True, rtol=1e-6)}


def sirt() -> dict[str, object]:
    """Plain, projected, and stopped at the noise level."""
    return {
        "tiny": SIRT(rtol=1e-6, max_steps=5000),
        "projected": SIRT(nonnegative_image=True, rtol=1e-6, max_steps=5000),
        "discrepancy": SIRT(discrepancy=1.0, rtol=1e-6, max_steps=5000),
    }


def scaled_pgd() -> dict[str, object]:
    """The curvature that the prior states, and longer steps in a larger one."""
    return {
        "tiny": ScaledProximalGradient(prior=Tikhonov(), weight=0.3, rtol=1e-6),
        "longer": ScaledProximalGradient(
            prior=Tikhonov(), weight=0.3, curvature=2.0, step_size=1.5, rtol=1e-6
        ),
    }


def sliding_frank_wolfe() -> dict[str, object]:
    """Three spikes on a line, as a Gaussian blurs them."""
    points = torch.linspace(0, 1, 51, dtype=torch.float64)[:, None]
    physics = Physics(MeasureSamples(points, spikes=4, sigma=0.05))
    spikes = torch.tensor([[1.2, 0.7], [1.0, 0.3], [0.8, 0.45], [0.0, 0.0]], dtype=torch.float64)
    return {"tiny": SolverExample(SlidingFrankWolfe(weight=1e-3), physics, physics.operator(spikes))}


def svrg() -> dict[str, object]:
    """With and without a prior."""
    return {"tiny": SVRG(rtol=1e-7), "l1": SVRG(prior=L1(), weight=0.1, seed=1, rtol=1e-7)}


def variable_projection() -> dict[str, object]:
    """A kernel within bounds, with a closed form inside."""
    x = _bars()[..., :6]
    solver = VariableProjection(
        parameter="kernel",
        solver=ConjugateGradient(weight=0.5, rtol=1e-10),
        constraint=Box(lower=0.1, upper=0.6),
        inner_rtol=1e-7,
        max_steps=3,
    )
    start = Physics(_line(x, (0.3, 0.4, 0.3)), GaussianNoise(sigma=0.1))
    return {"tiny": SolverExample(solver, start, _line(x, (0.5, 0.3, 0.2))(x))}
