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
