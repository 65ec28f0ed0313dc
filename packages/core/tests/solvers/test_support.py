"""What solvers refuse when they are made, with the solvers that can."""

import pytest

from invcore import ParameterError
from invcore.fidelities import L1 as L1Fidelity
from invcore.fidelities import PoissonKL
from invcore.operators import Matrix
from invcore.priors import L1, TV, Analysis, NonNegative, Prior, Tikhonov
from invcore.solvers import (
    ADMM,
    FISTA,
    LBFGS,
    SAGA,
    BurgEntropy,
    CondatVu,
    ConjugateGradient,
    GaussNewton,
    GradientDescent,
    MirrorDescent,
    ProximalGradient,
    RichardsonLucy,
)
from invcore_testsupport import normal

BEHIND = Analysis(L1(), Matrix(normal(4, 6)))


class Slope(Prior):
    """A gradient and no proximal operator."""

    def _value(self, x, space):
        return (1 + x**2).sqrt().sum(-1)

    def _grad(self, x, space):
        return x / (1 + x**2).sqrt()


@pytest.mark.parametrize(
    ("make", "why", "instead"),
    [
        (lambda: LBFGS(prior=L1()), "L1 has no gradient", "'fista', 'condat_vu', 'chambolle_pock', 'admm'"),
        (lambda: LBFGS(prior=TV()), "TV has no gradient without smoothing", "'fista'"),
        (lambda: GradientDescent(prior=Tikhonov() + L1()), "SumPrior has no gradient", "'fista'"),
        (lambda: RichardsonLucy(prior=NonNegative()), "NonNegative has no gradient", "'fista'"),
        (lambda: FISTA(prior=Slope()), "Slope has no proximal operator", "'lbfgs', 'gd'"),
        (lambda: ADMM(prior=L1() + Slope()), "SumPrior has no proximal operator", ""),
        (lambda: MirrorDescent(prior=Slope()), "Slope has no proximal operator", "'lbfgs', 'gd'"),
        (
            lambda: FISTA(prior=L1(), fidelity=PoissonKL()),
            "PoissonKL has no Lipschitz gradient",
            "'chambolle_pock', 'admm'",
        ),
        (lambda: CondatVu(fidelity=L1Fidelity()), "no Lipschitz gradient", "'chambolle_pock', 'admm'"),
        (lambda: LBFGS(fidelity=L1Fidelity()), "L1 is not smooth", "'chambolle_pock', 'admm'"),
        (lambda: SAGA(prior=Slope()), "no proximal operator", "'lbfgs', 'gd'"),
        (lambda: GaussNewton(prior=L1()), "None or Tikhonov", "'lbfgs'"),
        (lambda: ConjugateGradient(prior=L1()), "Tikhonov", "'fista'"),
    ],
)
def test_what_a_solver_cannot_take_is_refused_when_it_is_made(make, why, instead):
    with pytest.raises(ParameterError) as caught:
        make()
    assert why in str(caught.value) and instead in str(caught.value)


def test_what_solvers_can_take_is_not_refused():
    LBFGS(prior=TV(smoothing=0.1)), MirrorDescent(potential=BurgEntropy(), prior=L1())
    (
        ProximalGradient(backtracking=True, fidelity=PoissonKL()),
        FISTA(prior=BEHIND),
        RichardsonLucy(prior=Slope()),
    )
    MirrorDescent(potential=BurgEntropy(), prior=Slope(), fidelity=PoissonKL())
