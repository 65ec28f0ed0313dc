"""Instances of Anderson acceleration for the conformance kit."""


def andersons() -> dict[str, object]:
    """A sparse prior, and none."""
    from .priors import L1
    from .solvers import FISTA, Anderson

    return {
        "tiny": Anderson(solver=FISTA(prior=L1(), weight=0.1), rtol=1e-9),
        "smooth": Anderson(solver=FISTA(weight=0.1), rtol=1e-9, memory=3),
    }
