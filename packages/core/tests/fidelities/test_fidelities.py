"""Data fidelities against densities of scipy, brute-force minimization and suprema, in float64."""

import math

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from invcore import DtypeError, ParameterError, ShapeError, fidelity
from invcore.fidelities import (
    L1,
    Amplitude,
    Box,
    FisherTippettLikelihood,
    GammaLikelihood,
    Huber,
    L2Ball,
    LeastSquares,
    LogPoisson,
    PoissonKL,
    RicianLikelihood,
    ShiftedPoisson,
    StudentT,
    WeightedLeastSquares,
)
from invcore.operators import Space
from invcore_testsupport import rng

F64, C128 = torch.float64, torch.complex128


def scalar(value):
    return torch.tensor(float(value), dtype=F64)


pytestmark = pytest.mark.filterwarnings(
    "ignore:invalid value encountered:RuntimeWarning"
)  # scipy's search and infinity

CONVEX = {
    "least_squares": LeastSquares(sigma=0.6),
    "weighted": WeightedLeastSquares(weight=torch.tensor(2.5, dtype=F64)),
    "l1": L1(scale=0.7),
    "huber": Huber(delta=0.6, sigma=0.8),
    "box": Box(radius=0.4),
    "l2_ball": L2Ball(radius=0.4),
    "poisson_kl": PoissonKL(gain=0.4),
    "poisson_kl background": PoissonKL(gain=0.4, background=0.3),
    "shifted_poisson": ShiftedPoisson(gain=0.4, sigma=0.5),
    "log_poisson": LogPoisson(photons=5.0, mu=0.7),
    "fisher_tippett": FisherTippettLikelihood(looks=3.0),
}
NONCONVEX = {
    "student_t": StudentT(dof=1.5, sigma=0.2),
    "gamma": GammaLikelihood(looks=3.0),
    "amplitude": Amplitude(sigma=0.5),
    "rician": RicianLikelihood(sigma=0.3),
}
ALL = {**CONVEX, **NONCONVEX}
POSITIVE_DATA = ("poisson_kl", "poisson_kl background", "gamma", "amplitude", "rician")


def cases(name):
    """Points and data on both sides of everything that matters."""
    us = (-2.5, -0.3, 0.1, 1.0, 4.0)
    ys = (0.05, 1.0, 3.0) if name in POSITIVE_DATA else (-0.7, 0.0, 2.0)
    return [(u, y) for u in us for y in ys]


def minimum(objective, low, high, points=4001):
    """Brute force: the best of a fine grid, refined around the best grid points."""
    grid = np.linspace(low, high, points)
    values = objective(torch.from_numpy(grid)).numpy()
    values = np.where(np.isnan(values), np.inf, values)
    best = (math.inf, math.nan)
    for i in np.argsort(values)[:3]:
        a, b = grid[max(i - 1, 0)], grid[min(i + 1, points - 1)]
        found = optimize.minimize_scalar(
            lambda t: float(objective(torch.tensor([t], dtype=F64))[0]),
            bounds=(a, b),
            method="bounded",
            options={"xatol": 1e-12},
        )
        best = min(best, (float(values[i]), float(grid[i])), (float(found.fun), float(found.x)))
    return best


SCALARS = Space(())


def many(function, z, y):
    """A value or conjugate of many scalars z at one y."""
    return function(z[:, None], torch.full_like(z, y)[:, None], Space((1,)))


@pytest.mark.parametrize("name", ALL)
def test_prox_by_brute_force(name):
    f = ALL[name]
    for u, y in cases(name):
        for step in (0.05, 0.7, 6.0):
            z = f.prox(scalar(u), scalar(y), step)
            own = float(f.value(z, scalar(y)) + (z - u) ** 2 / (2 * step))
            best, where = minimum(
                lambda t, y=y, u=u, step=step: many(f.value, t, y) + (t - u) ** 2 / (2 * step), -12, 12
            )
            assert own <= best + 1e-9 * max(1, abs(best)), (u, y, step, float(z), where)


@pytest.mark.parametrize("name", CONVEX)
def test_conjugate_is_the_supremum(name):
    f = CONVEX[name]
    for _, y in cases(name)[:3]:
        for p in (-3.0, -0.9, 0.0, 0.3, 0.9, 1.2):
            conjugate = float(f.conjugate(scalar(p), scalar(y)))
            widths = (40.0, 80.0)
            best = [-minimum(lambda t, y=y, p=p: many(f.value, t, y) - p * t, -w, w)[0] for w in widths]
            if math.isinf(conjugate):
                assert best[1] > best[0] + 1  # no supremum: it grows with the interval
            else:
                assert conjugate == pytest.approx(best[1], rel=1e-6, abs=1e-6), (p, y)


@pytest.mark.parametrize("name", CONVEX)
def test_prox_of_the_conjugate_by_brute_force_and_moreau(name):
    f = CONVEX[name]
    for u, y in cases(name):
        for step in (0.2, 3.0):
            p = f.prox_conjugate(scalar(u), scalar(y), step)
            moreau = p + step * f.prox(scalar(u) / step, scalar(y), 1 / step)
            assert moreau == pytest.approx(u, abs=1e-12)

            def objective(t, y=y, u=u, step=step):
                return many(f.conjugate, t, y) + (t - u) ** 2 / (2 * step)

            # inside by a hair, where p lies on the edge of the domain of the conjugate
            own = float(objective((p * (1 - 1e-12))[None])[0])
            best, where = minimum(objective, float(p) - 1, float(p) + 1, points=201)
            assert own <= best + 1e-8 * max(1, abs(best)), (u, y, step, float(p), where)


def test_conjugate_of_amplitude_and_prox_conjugate_of_what_is_not_convex():
    f = Amplitude(sigma=0.5)
    for p in (-2.0, 0.5):
        best = -minimum(lambda t, p=p: many(f.value, t, 2.0) - p * t, -20, 20)[0]
        assert float(f.conjugate(scalar(p), scalar(2.0))) == pytest.approx(best, rel=1e-8)
    for f in NONCONVEX.values():
        assert not f.convex
        with pytest.raises(ParameterError, match="not convex"):
            f.prox_conjugate(scalar(1), scalar(1), 0.5)


@pytest.mark.parametrize(
    "f",
    [L1(scale=0.7), Huber(delta=0.6), StudentT(dof=1.5, sigma=0.3), Amplitude(sigma=0.5), Box(radius=0.3)],
)
def test_prox_of_complex_data_by_search(f):
    g = rng(1)
    y = torch.randn(4, dtype=C128, generator=g)
    y = y.abs() if isinstance(f, Amplitude) else y
    u = 2 * torch.randn(4, dtype=C128, generator=g)
    for step in (0.1, 2.0):
        z = f.prox(u, y, step)
        for k in range(4):

            def objective(v, k=k, step=step):
                t = torch.complex(*torch.from_numpy(v))
                return float(f.value(t, y[k]) + (t - u[k]).abs() ** 2 / (2 * step))

            own = objective(np.array([z[k].real, z[k].imag]))
            starts = [z[k], u[k], y[k] + 0j, (u[k] + y[k]) / 2]
            for start in starts:
                found = optimize.minimize(
                    objective,
                    np.array([start.real, start.imag]),
                    method="Nelder-Mead",
                    options={"xatol": 1e-10, "fatol": 1e-14},
                )
                assert own <= found.fun + 1e-10


def test_projection_on_the_ball():
    y, u = torch.randn(2, 5, dtype=C128, generator=rng())
    for radius in (0.5, 100.0):
        z = L2Ball(radius=radius).prox(u, y, 0.3)
        assert float((z - y).abs().square().sum().sqrt()) <= radius * (1 + 1e-12)
        if radius == 100.0:
            assert torch.equal(z, y + (u - y))
        normal = u - z  # the projection: every other point of the ball lies behind the plane through z
        for seed in range(20):
            other = torch.randn(5, dtype=C128, generator=rng(seed))
            other = y + radius * other / other.abs().square().sum().sqrt()
            assert float((normal.conj() * (other - z)).real.sum()) <= 1e-12
    assert float(L2Ball(radius=0.0).prox(u, y, 1.0).sub(y).abs().max()) == 0


# -- likelihoods are densities ---------------------------------------------------------------------


def density(name, u, y):
    """log p(y | u) from scipy."""
    if name == "gaussian":
        return stats.norm.logpdf(y, u, 0.7)
    if name == "laplace":
        return stats.laplace.logpdf(y, u, 0.7)
    if name == "student_t":
        return stats.t.logpdf(y, 3.0, u, 0.7)
    if name == "poisson":
        return stats.poisson.logpmf(np.round(y / 0.25), u / 0.25)
    if name == "background":
        return stats.poisson.logpmf(np.round(y / 0.25), (u + 0.5) / 0.25)
    if name == "log_poisson":
        return stats.poisson.logpmf(np.round(16 * np.exp(-0.5 * y)), 16 * np.exp(-0.5 * u))
    if name == "gamma":
        return stats.gamma.logpdf(y, 3.0, scale=u / 3.0)
    if name == "fisher_tippett":
        return stats.loggamma.logpdf(y - u + np.log(3.0), 3.0)
    return stats.rice.logpdf(y, u / 0.7, scale=0.7)


COUNTS = np.array([0.25, 0.5, 1.5, 3.0])
LIKELIHOODS = {
    "gaussian": (LeastSquares(sigma=0.7), COUNTS),
    "laplace": (L1(scale=0.7), COUNTS),
    "student_t": (StudentT(dof=3.0, sigma=0.7), COUNTS),
    "poisson": (PoissonKL(gain=0.25), COUNTS),
    "background": (PoissonKL(gain=0.25, background=0.5), COUNTS),
    "log_poisson": (LogPoisson(photons=16.0, mu=0.5), -2 * np.log(np.array([1, 4, 9, 16]) / 16)),
    "gamma": (GammaLikelihood(looks=3.0), COUNTS),
    "fisher_tippett": (FisherTippettLikelihood(looks=3.0), COUNTS),
    "rician": (RicianLikelihood(sigma=0.7), COUNTS),
}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihoods_are_the_logarithms_of_scipys_densities(name):
    f, data = LIKELIHOODS[name]
    y = torch.from_numpy(data)
    first, second = (
        torch.tensor([0.3, 1.0, 1.2, 5.0], dtype=F64),
        torch.tensor([2.0, 0.1, 0.9, 3.0], dtype=F64),
    )
    got = f.value(first, y, SCALARS) - f.value(second, y, SCALARS)
    expected = density(name, second.numpy(), data) - density(name, first.numpy(), data)
    assert np.allclose(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [n for n, f in ALL.items() if n not in ("box", "l2_ball")])
def test_gradients_by_finite_differences(name):
    f = ALL[name]
    u = torch.tensor([0.21, 0.9, 2.3], dtype=F64)
    y = torch.tensor([1.1, 0.4, 2.0], dtype=F64)
    h = 1e-5
    numeric = (f.value(u + h, y, SCALARS) - f.value(u - h, y, SCALARS)) / (2 * h)
    assert torch.allclose(f.grad(u, y, SCALARS), numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["box", "l2_ball"])
def test_indicators_have_no_gradient(name):
    with pytest.raises(ParameterError, match="no gradient"):
        ALL[name].grad(scalar(1), scalar(1))


def test_lipschitz_constants_are_attained():
    y = torch.zeros(3, dtype=F64)
    for f, at in (
        (WeightedLeastSquares(weight=torch.tensor([1.0, 4.0, 0.0])), 1.0),
        (Huber(delta=0.5, sigma=0.3), 0.1),
    ):
        slope = (f.grad(y + at + 1e-6, y) - f.grad(y + at, y)) / 1e-6
        assert float(slope.max()) == pytest.approx(float(f.lipschitz()), rel=1e-6)
    z = StudentT(dof=2.0, sigma=0.5)  # two real components: attained at u = y
    c = torch.zeros(1, dtype=C128)
    assert float(z.grad(c + 1e-6, c).real) / 1e-6 == pytest.approx(float(z.lipschitz()), rel=1e-6)
    assert PoissonKL().lipschitz() is None and LogPoisson(photons=1.0).lipschitz() is None


# -- derivatives, batches, blocks, extremes --------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_prox_is_differentiable(name):
    f = ALL[name]
    u = torch.tensor([-0.6, 0.8, 2.3], dtype=F64, requires_grad=True)
    y = torch.tensor([1.1, 0.35, 2.0], dtype=F64, requires_grad=True)
    step = torch.tensor(0.4, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(f.prox, (u, y, step), eps=1e-6, atol=1e-6)
    bound = {n: torch.tensor(float(getattr(f, n)), dtype=F64, requires_grad=True) for n in f.params}
    out = f.bind(**bound).prox(u, y, step).sum()
    grads = torch.autograd.grad(out, list(bound.values()), allow_unused=True)
    for (parameter, value), grad in zip(bound.items(), grads):
        h = 1e-6
        if float(value.detach()) < h:  # a background of zero has no neighbor below
            continue
        with torch.no_grad():
            ends = [f.bind(**{parameter: value + s}).prox(u, y, step).sum() for s in (h, -h)]
        assert float(grad) == pytest.approx(float(ends[0] - ends[1]) / (2 * h), rel=1e-5, abs=1e-7)


def test_one_parameter_per_sample_and_blocks():
    space = (Space((2,)), Space((1, 3)))
    u = (torch.rand(4, 2, dtype=F64, generator=rng()), torch.rand(4, 1, 3, dtype=F64, generator=rng(1)))
    y = (torch.rand(4, 2, dtype=F64, generator=rng(2)), torch.rand(4, 1, 3, dtype=F64, generator=rng(3)))
    levels = torch.tensor([0.2, 0.5, 1.0, 3.0], dtype=F64)
    for f in (
        L1(scale=levels),
        Huber(delta=levels),
        PoissonKL(gain=levels),
        L2Ball(radius=levels),
        StudentT(dof=levels),
    ):
        name = f.params[0]
        value, z = f.value(u, y, space), f.prox(u, y, levels, space)
        assert value.shape == (4,)
        for i in range(4):
            one = f.bind(**{name: float(levels[i])})
            alone = [tuple(t[i] for t in pair) for pair in (u, y)]
            assert torch.equal(value[i], one.value(*alone, space)) or torch.allclose(
                value[i], one.value(*alone, space)
            )
            for got, expected in zip(z, one.prox(*alone, float(levels[i]), space)):
                assert torch.allclose(got[i], expected, rtol=1e-12)


def test_a_background_map_and_weights_per_sample():
    space = Space((1, 2, 3))
    u, y, b = torch.rand(3, 4, 1, 2, 3, dtype=F64, generator=rng())
    f = PoissonKL(gain=torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=F64), background=b)
    for i in range(4):
        one = PoissonKL(gain=float(f.gain[i]), background=b[i])
        assert torch.allclose(f.value(u, y, space)[i], one.value(u[i], y[i]))
    w = WeightedLeastSquares(weight=b)
    assert torch.allclose(w.value(u, y, space), 0.5 * (b * (u - y) ** 2).sum((1, 2, 3)))
    with pytest.raises(ParameterError, match="several blocks"):
        w.value((u, u), (y, y), (space, space))


def test_zero_counts_and_extremes():
    f = PoissonKL()
    zero = torch.zeros(2)
    u = torch.tensor([3.0, 0.5])
    assert torch.equal(f.value(u, zero, SCALARS), u) and torch.equal(f.grad(u, zero), torch.ones(2))
    assert torch.equal(f.prox(u, zero, 1.0), torch.tensor([2.0, 0.0]))
    assert f.value(torch.tensor(-1.0), torch.tensor(1.0)) == torch.inf
    assert f.value(torch.tensor(0.0), torch.tensor(1.0)) == torch.inf
    assert f.value(torch.tensor(0.0), torch.tensor(0.0)) == 0
    for at, count, step in ((1.0, 0.0, 1.0), (0.0, 3.0, 0.0)):  # a double root
        corner = torch.tensor(at, requires_grad=True)
        z = f.prox(corner, torch.tensor(count), step)
        assert not z.any() and bool(torch.autograd.grad(z, corner)[0].isfinite())
    deep = f.prox(torch.tensor(-1e6), torch.tensor(1.0), 1.0)  # single precision, without cancellation
    assert float(deep) == pytest.approx(1e-6, rel=1e-5)
    for step in (1e-8, 1e8):
        z = LogPoisson(photons=1e4).prox(torch.tensor([0.0, 40.0]), torch.tensor([2.0, 2.0]), step)
        assert bool(z.isfinite().all())
        z = RicianLikelihood(sigma=0.01).prox(torch.tensor([0.0, 40.0]), torch.tensor([2.0, 2.0]), step)
        assert bool(z.isfinite().all())
    assert float(ShiftedPoisson(gain=1.0, sigma=1.0).value(scalar(1), scalar(-5))) < torch.inf


@pytest.mark.parametrize(
    "f",
    [
        PoissonKL(gain=10.0, background=0.1),
        ShiftedPoisson(gain=0.01, sigma=0.5),
        LogPoisson(photons=1e5, mu=20.0),
        FisherTippettLikelihood(looks=0.5),
        GammaLikelihood(looks=100.0),
        StudentT(dof=0.5, sigma=0.01),
        RicianLikelihood(sigma=0.01),
    ],
)
def test_prox_in_single_precision_over_many_magnitudes(f):
    """The objective at the single-precision prox is that at the minimum, up to round-off in z."""
    n = 2000
    u = (10 * torch.randn(n, generator=rng(1)) * torch.rand(n, generator=rng(2)) ** 3).double()
    y = (5 * torch.rand(n, generator=rng(3)) ** 2 + 1e-3).double()
    for step in (1e-6, 1e-3, 1.0, 1e3, 1e6):
        z = f.prox(u, y, step)
        narrow = f.prox(u.float(), y.float(), step).double()
        assert bool(narrow.isfinite().all())
        assert bool((f.value(narrow, y, SCALARS) < torch.inf).all())
        assert float((narrow - z).abs().max()) < 1e-4

        def objective(t, step=step):
            return f.value(t, y, SCALARS) + (t - u).square() / (2 * step)

        best = objective(z)
        for k in range(20):
            size = 10.0 ** (1 - 8 * torch.rand(n, generator=rng(k), dtype=F64))
            other = objective(z + size * torch.randn(n, generator=rng(50 + k), dtype=F64))
            assert bool((best <= other.nan_to_num(nan=torch.inf) + 1e-10 + 1e-9 * best.abs()).all())


def test_rician_and_student_t_choose_the_global_minimum():
    """A large residual: the local minimum near y (Student) or at zero (Rician) is not the answer."""
    z = StudentT(dof=1.0, sigma=0.1).prox(scalar(10), scalar(0), 1.0)
    assert float(z) == pytest.approx(10, abs=0.3)
    z = StudentT(dof=1.0, sigma=0.1).prox(scalar(0.5), scalar(0), 1.0)
    assert abs(float(z)) < 0.01
    z = RicianLikelihood(sigma=0.1).prox(scalar(1e-9), scalar(1), 10.0)
    assert float(z) == pytest.approx(0.995, abs=0.01)


def test_wrong_use_is_refused():
    c = torch.ones(2, dtype=C128)
    for f in (PoissonKL(), LogPoisson(photons=1.0), GammaLikelihood(looks=1.0), RicianLikelihood(sigma=1.0)):
        with pytest.raises(DtypeError, match="real data"):
            f.value(c, c)
    with pytest.raises(DtypeError, match="real data"):
        Amplitude().value(c, c)
    for make in (
        lambda: L1(scale=0.0),
        lambda: Huber(delta=-1.0),
        lambda: PoissonKL(gain=torch.tensor([1.0, -2.0])),
        lambda: PoissonKL(background=-1.0),
        lambda: WeightedLeastSquares(weight=torch.tensor([-1.0])),
        lambda: L2Ball(radius=float("nan")),
    ):
        with pytest.raises(ParameterError, match="must be a number"):
            make()
    with pytest.raises(ParameterError, match="not convex"):
        StudentT().conjugate(scalar(1), scalar(1))
    assert isinstance(fidelity("huber", delta=0.1), Huber)


def test_parameters_that_do_not_fit_the_data():
    u, space = torch.ones(4, 3, 8), Space((3, 8))
    with pytest.raises(ShapeError, match=r"weight has shape \(5, 7\); expected \(batch\.\.\., 3, 8\)"):
        WeightedLeastSquares(weight=torch.ones(5, 7)).grad(u, u, space)
    with pytest.raises(ShapeError, match=r"sigma has shape \(3,\), one value per sample; .* batch \(4,\)"):
        LeastSquares(sigma=torch.ones(3)).prox(u, u, 1.0, space=space)
    columns = WeightedLeastSquares(weight=torch.arange(8.0))
    assert columns.value(u, 0 * u, space).tolist() == [42.0] * 4  # 3 rows of (0 + ... + 7)/2
