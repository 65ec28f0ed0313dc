"""Examples of the splitting solvers for the conformance kit: the first of each is tiny."""

from __future__ import annotations


def proximal_gradients() -> dict[str, object]:
    """Fixed and searched steps, without a prior, and with automatic weight."""
    from .priors import L1
    from .solvers import ProximalGradient

    return {
        "tiny": ProximalGradient(prior=L1(), weight=0.1, rtol=1e-6),
        "backtracking": ProximalGradient(prior=L1(), weight=0.1, rtol=1e-6, backtracking=True),
        "smooth": ProximalGradient(rtol=1e-6),
        "auto": ProximalGradient(prior=L1()),
    }


def douglas_rachfords() -> dict[str, object]:
    """Adaptive and fixed steps, without a prior, and with automatic weight."""
    from .priors import L1
    from .solvers import DouglasRachford

    return {
        "tiny": DouglasRachford(prior=L1(), weight=0.1, rtol=1e-6),
        "fixed": DouglasRachford(prior=L1(), weight=0.1, rtol=1e-6, adaptive=False),
        "smooth": DouglasRachford(rtol=1e-6),
        "auto": DouglasRachford(prior=L1()),
    }


def admms() -> dict[str, object]:
    """With and without linear solves, without a prior, and with automatic weight."""
    from .priors import L1
    from .solvers import ADMM

    return {
        "tiny": ADMM(prior=L1(), weight=0.1, rtol=1e-6),
        "linearized": ADMM(prior=L1(), weight=0.1, rtol=1e-6, linearized=True),
        "smooth": ADMM(rtol=1e-6),
        "auto": ADMM(prior=L1()),
    }


def half_quadratic_splittings() -> dict[str, object]:
    """Continuation in the penalty, and with automatic weight."""
    from .priors import L1
    from .solvers import HalfQuadraticSplitting

    return {
        "tiny": HalfQuadraticSplitting(prior=L1(), weight=0.1, rtol=1e-6),
        "auto": HalfQuadraticSplitting(prior=L1()),
    }


def chambolle_pocks() -> dict[str, object]:
    """Adaptive and preconditioned steps, without a prior, and with automatic weight."""
    from .priors import L1
    from .solvers import ChambollePock

    return {
        "tiny": ChambollePock(prior=L1(), weight=0.1, rtol=1e-6),
        "preconditioned": ChambollePock(prior=L1(), weight=0.1, rtol=1e-6, precondition=True),
        "smooth": ChambollePock(rtol=1e-6),
        "auto": ChambollePock(prior=L1()),
    }


def condat_vus() -> dict[str, object]:
    """Adaptive and fixed steps, without a prior, and with automatic weight."""
    from .priors import L1
    from .solvers import CondatVu

    return {
        "tiny": CondatVu(prior=L1(), weight=0.1, rtol=1e-6),
        "fixed": CondatVu(prior=L1(), weight=0.1, rtol=1e-6, adaptive=False),
        "smooth": CondatVu(rtol=1e-6),
        "auto": CondatVu(prior=L1()),
    }
