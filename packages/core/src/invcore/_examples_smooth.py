"""Examples of the smooth, multiplicative and stochastic solvers for the conformance kit: the first of each is tiny."""

from __future__ import annotations


def gradient_descents() -> dict[str, object]:
    """Both line searches, with and without a prior, and with automatic weight."""
    from .priors import Tikhonov
    from .solvers import GradientDescent

    return {
        "tiny": GradientDescent(rtol=1e-6),
        "armijo": GradientDescent(prior=Tikhonov(), weight=0.1, line_search="armijo", rtol=1e-6),
        "auto": GradientDescent(prior=Tikhonov()),
    }


def lbfgs_solvers() -> dict[str, object]:
    """With and without a prior, and with automatic weight."""
    from .priors import Tikhonov
    from .solvers import LBFGS

    return {
        "tiny": LBFGS(rtol=1e-6),
        "regularized": LBFGS(prior=Tikhonov(), weight=0.1, memory=4, rtol=1e-6),
        "auto": LBFGS(prior=Tikhonov()),
    }


def richardson_lucys() -> dict[str, object]:
    """Without background."""
    from .solvers import RichardsonLucy

    return {"tiny": RichardsonLucy(rtol=1e-6, max_steps=5000)}


def sarts() -> dict[str, object]:
    """Plain, and careful with a projection."""
    from .solvers import SART

    return {"tiny": SART(rtol=1e-6), "careful": SART(relaxation=0.5, nonnegative_image=True, rtol=1e-6)}


def osems() -> dict[str, object]:
    """Without background."""
    from .solvers import OSEM

    return {"tiny": OSEM(rtol=1e-6, max_steps=5000)}


def sirts() -> dict[str, object]:
    """Plain, projected, and stopped at the noise level."""
    from .solvers import SIRT

    return {
        "tiny": SIRT(rtol=1e-6, max_steps=5000),
        "projected": SIRT(nonnegative_image=True, rtol=1e-6, max_steps=5000),
        "discrepancy": SIRT(discrepancy=1.0, rtol=1e-6, max_steps=5000),
    }


def cgls_solvers() -> dict[str, object]:
    """To the tolerance, and stopped at the noise level."""
    from .solvers import CGLS

    return {"tiny": CGLS(discrepancy=None, rtol=1e-6), "discrepancy": CGLS()}


def gauss_newtons() -> dict[str, object]:
    """With and without a prior."""
    from .priors import Tikhonov
    from .solvers import GaussNewton

    return {
        "tiny": GaussNewton(rtol=1e-6),
        "regularized": GaussNewton(prior=Tikhonov(), weight=0.1, rtol=1e-6),
    }


def levenberg_marquardts() -> dict[str, object]:
    """With and without a prior."""
    from .priors import Tikhonov
    from .solvers import LevenbergMarquardt

    return {
        "tiny": LevenbergMarquardt(rtol=1e-6),
        "regularized": LevenbergMarquardt(prior=Tikhonov(), weight=0.1, rtol=1e-6),
    }


def mirror_descents() -> dict[str, object]:
    """Each potential, and the Euclidean one with a prior."""
    from .priors import L1
    from .solvers import BoltzmannShannon, BurgEntropy, MirrorDescent

    return {
        "tiny": MirrorDescent(rtol=1e-7),
        "l1": MirrorDescent(prior=L1(), weight=0.1, rtol=1e-7),
        "burg": MirrorDescent(potential=BurgEntropy(), rtol=1e-6, max_steps=500),
        "boltzmann-shannon": MirrorDescent(potential=BoltzmannShannon(), rtol=1e-6, max_steps=500),
    }


def sagas() -> dict[str, object]:
    """With and without a prior."""
    from .priors import L1
    from .solvers import SAGA

    return {"tiny": SAGA(rtol=1e-7), "l1": SAGA(prior=L1(), weight=0.1, seed=1, rtol=1e-7)}


def svrgs() -> dict[str, object]:
    """With and without a prior."""
    from .priors import L1
    from .solvers import SVRG

    return {"tiny": SVRG(rtol=1e-7), "l1": SVRG(prior=L1(), weight=0.1, seed=1, rtol=1e-7)}


def irls_solvers() -> dict[str, object]:
    """ℓ1, another power, and automatic weight."""
    from .priors import Lp
    from .solvers import IRLS

    return {
        "tiny": IRLS(weight=0.1, rtol=1e-6),
        "p = 1.5": IRLS(prior=Lp(p=1.5), weight=0.1, rtol=1e-6),
        "auto": IRLS(),
    }


def lp_priors() -> dict[str, object]:
    """Powers from one to two."""
    from .priors import Lp

    return {"tiny": Lp(p=1.5), "one": Lp(p=1.0), "two": Lp(p=2.0)}
