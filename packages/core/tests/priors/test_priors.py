"""Every prior: proximal operators against brute force, Moreau's identity and finite differences."""

import math

import pytest
import torch

from invcore import ParameterError, Physics
from invcore.denoisers import WaveletDenoiser
from invcore.operators import Identity, Space
from invcore.priors import L1, GroupL12, PnP, Prior, Tikhonov, WaveletL1
from invcore.solvers import FISTA
from invcore.testing._priors import check_batch_equals_loop, check_prox
from invcore_testsupport import normal

F64, C128 = torch.float64, torch.complex128


PRIORS = {
    "l1": (L1(), Space((6,))),
    "tikhonov": (Tikhonov(), Space((6,))),
    "wavelet": (WaveletL1(wavelet="db2", levels=1, random_shifts=False), Space((1, 8, 8))),
    "shifted wavelet": (WaveletL1(wavelet="haar", levels=2, shift=(3, 1)), Space((1, 8, 8))),
    "odd sizes": (WaveletL1(wavelet="haar", levels=1, random_shifts=False), Space((2, 6, 10))),
    "one dimension": (
        WaveletL1(wavelet="db2", levels=1, spatial_dims=1, random_shifts=False),
        Space((1, 16)),
    ),
    "undecimated": (
        WaveletL1(wavelet="haar", levels=1, undecimated=True, rtol=1e-13, max_steps=3000),
        Space((1, 5, 6)),
    ),
}


@pytest.mark.parametrize("dtype", [F64, C128])
@pytest.mark.parametrize("name", PRIORS)
def test_prox_minimizes_its_objective(name, dtype):
    """No neighbor, at any distance and in any direction, is better: the objective is strongly convex."""
    prior, space = PRIORS[name]
    x, step = normal(*space.shape, dtype=dtype), 0.7
    z = prior.prox(x, step)

    def objective(z):
        return float(prior.value(z) + (z - x).abs().square().sum() / (2 * step))

    best = objective(z)
    for k in range(40):
        d = normal(*space.shape, dtype=dtype, seed=100 + k)
        for size in (1e-4, 1e-2, 0.3):
            moved = objective(z + size * d)
            # strongly convex with modulus 1/step: the objective grows at least quadratically
            assert moved - best >= float((size * d).abs().square().sum()) / (2 * step) * 0.999 - 1e-12


def test_prox_on_a_grid():
    grid = torch.linspace(-5, 5, 100001, dtype=F64)
    for x in (-3.0, -0.4, 0.0, 0.5, 2.0):
        for step in (0.3, 1.0):
            for prior, g in ((L1(), grid.abs()), (Tikhonov(), grid**2 / 2)):
                best = grid[(g + (grid - x) ** 2 / (2 * step)).argmin()]
                assert math.isclose(
                    float(prior.prox(torch.tensor([x], dtype=F64), step)), float(best), abs_tol=2e-4
                )


@pytest.mark.parametrize("dtype", [F64, C128])
def test_moreau_decomposition(dtype):
    """x = prox_{t g}(x) + t prox_{g*/t}(x/t); g* is the indicator of the dual norm's unit ball, or g."""
    x, t = 2 * normal(50, dtype=dtype), 0.6
    ball = x / t / (x / t).abs().clamp_min(1)  # projection onto |z_i| <= 1
    assert torch.allclose(L1().prox(x, t) + t * ball, x)
    dual = (x / t) / (1 + 1 / t)
    assert torch.allclose(Tikhonov().prox(x, t) + t * dual, x)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("step", [1e-6, 0.5, 1e3])
def test_prox_of_the_conjugate_of_a_group_norm_is_feasible_and_moreau(smoothing, step):
    """u = s prox_{λg/s}(u/s) + prox_{s(λg)*}(u), the second in the ball, also where it is nearly nothing."""
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    space, weight = Space((5, 3)), torch.tensor([1e-3, 0.7], dtype=torch.float64)
    for g in (GroupL12(dims=(-1,), smoothing=smoothing), *([] if smoothing else [L1()])):
        p = g.prox_conjugate(u, step, space, weight=weight)
        assert bool(torch.isfinite(g.conjugate(p, space, weight=weight)).all())
        rest = step * g.prox(u / step, weight / step, space)
        assert torch.allclose(p + rest, u, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [F64, C128])
@pytest.mark.parametrize("name", PRIORS)
def test_prox_is_firmly_nonexpansive_and_keeps_zero(name, dtype):
    prior, space = PRIORS[name]
    a, b = normal(*space.shape, dtype=dtype), normal(*space.shape, dtype=dtype, seed=1)
    d = prior.prox(a, 0.5) - prior.prox(b, 0.5)
    assert float((d.conj() * d).sum().real) <= float((d.conj() * (a - b)).sum().real) + 1e-12
    assert not prior.prox(torch.zeros(space.shape, dtype=dtype), 1.0).any()
    assert torch.allclose(prior.prox(a, 0.0), a)


@pytest.mark.parametrize("name", PRIORS)
def test_values_and_steps_per_sample(name):
    prior, space = PRIORS[name]
    x, step = normal(2, 3, *space.shape), torch.tensor([[0.1, 1, 2], [0, 0.5, 9]], dtype=F64)
    values, proxes = prior.value(x, space), prior.prox(x, step, space)
    assert values.shape == (2, 3) and proxes.shape == x.shape
    for i in range(2):
        for j in range(3):
            assert torch.allclose(values[i, j], prior.value(x[i, j]))
            assert torch.allclose(proxes[i, j], prior.prox(x[i, j], float(step[i, j])))


def test_prox_gradients_against_finite_differences():
    for prior, space in PRIORS.values():
        x, step = normal(*space.shape).requires_grad_(), torch.tensor(0.3, dtype=F64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda x, t, p=prior: p.prox(x, t), (x, step), fast_mode=True)


@pytest.mark.parametrize("step", [-1.0, math.inf, math.nan])
def test_a_step_that_is_none_is_refused(step):
    for prior, space in PRIORS.values():
        with pytest.raises(ParameterError, match=r"prox: step must be a finite number >= 0, got"):
            prior.prox(torch.ones(space.shape), step)


def test_prox_is_the_same_with_and_without_derivatives():
    prior, x = PRIORS["wavelet"][0], normal(1, 8, 8, dtype=C128)
    with torch.no_grad():
        quiet = prior.prox(x, 0.4)
    assert torch.equal(prior.prox(x, 0.4), quiet)


def test_tikhonov_is_half_the_squared_norm():
    x = normal(4, dtype=C128), normal(3)
    space = Space((4,), "complex"), Space((3,))
    expected = (x[0].abs().square().sum() + x[1].square().sum()) / 2
    assert torch.allclose(Tikhonov().value(x, space), expected)
    assert torch.allclose(Tikhonov().prox(x, 1.0, space)[1], x[1] / 2)
    assert Tikhonov().grad(x[0]) is x[0]


def test_a_prior_names_what_it_lacks():
    class Odd(Prior):
        def _value(self, x, space):
            return x.sum()

    class Still(Prior):
        def _value(self, x, space):
            return 0 * x.sum()

        def _prox(self, x, step, space):
            return x

    with pytest.raises(ParameterError, match="Odd has no proximal operator"):
        FISTA(prior=Odd(), weight=1.0)
    with pytest.raises(ParameterError, match="Still has no rule for its weight"):
        FISTA(prior=Still())(torch.ones(3), Physics(Identity((3,))))
    with pytest.raises(ParameterError, match="L1 has no gradient"):
        L1().grad(torch.ones(3))


class Sloppy(Prior):
    """‖x‖²/2 with a proximal operator that is off by one part in a thousand."""

    stated: float = 0.0
    batchwise: bool = False

    def _value(self, x, space):
        if self.batchwise:
            raise ParameterError("no value")
        return Tikhonov().value(x, space)

    def _prox(self, x, step, space):
        exact = Tikhonov().prox(x, step, space)
        return exact * (1 + x.abs().max()) if self.batchwise else 1.001 * exact

    @property
    def tolerance(self):
        return self.stated


def test_the_kit_holds_a_proximal_operator_to_its_stated_tolerance():
    with pytest.raises(AssertionError, match="is not the minimizer"):
        check_prox(Sloppy())
    with pytest.raises(AssertionError, match="is not the minimizer"):
        check_prox(Sloppy(stated=1e-8))
    check_prox(Sloppy(stated=1e-4))


def test_the_kit_checks_priors_without_a_value():
    check_batch_equals_loop(PnP(WaveletDenoiser(wavelet="haar", levels=1)))
    with pytest.raises(AssertionError, match="prox"):
        check_batch_equals_loop(Sloppy(batchwise=True))
