"""The components of invcore-lidar. Text only: listing them imports neither torch nor this package's modules."""

from invcore.plugin import Component, hookimpl

INVCORE_API_VERSION = 1


def _component(
    kind: str,
    name: str,
    target: str,
    summary: str,
    *,
    requires: tuple[str, ...] = (),
    tags: tuple[str, ...] = (),
) -> Component:
    return Component(
        kind,
        f"lidar.{name}",
        f"invcore_lidar:{target}",
        summary=summary,
        requires=requires,
        examples=f"invcore_lidar._examples:{name}",
        tags=("lidar", *tags),
    )


COMPONENTS: tuple[Component, ...] = (
    _component(
        "operator",
        "tcspc",
        "TCSPC",
        "Depth, reflectivity and background to photon histograms",
        tags=("nonlinear",),
    ),
    _component(
        "operator",
        "multispectral",
        "Multispectral",
        "Photon histograms at several wavelengths of one scene",
        tags=("nonlinear",),
    ),
    _component(
        "operator",
        "tag_rates",
        "TagRates",
        "Rates at single photons, for likelihoods without histograms",
        tags=("nonlinear",),
    ),
    _component(
        "operator",
        "dead_time",
        "DeadTime",
        "Counts of a detector that is blind after each photon",
        tags=("nonlinear",),
    ),
    _component(
        "operator", "pile_up", "PileUp", "Counts of the first photon after each pulse", tags=("nonlinear",)
    ),
    _component("noise", "first_photon", "FirstPhotonNoise", "Counts of the first photon after each pulse"),
    _component(
        "fidelity",
        "first_photon_likelihood",
        "FirstPhoton",
        "Likelihood of counts with pile-up, in ideal rates",
        tags=("convex",),
    ),
    _component("solver", "matched_filter", "MatchedFilter", "Depth of each pixel from its own photons"),
    _component(
        "solver",
        "regularized",
        "RegularizedDepth",
        "Depth and reflectivity of all pixels together, from few photons",
        tags=("nonconvex",),
    ),
    _component("dataset", "still_life", "StillLifeScan", "Simulated scan of a still life", tags=("demo",)),
    _component(
        "reader",
        "ptu",
        "PtuReader",
        "PicoQuant photon timers (.ptu), T3 mode",
        requires=("ptufile",),
        tags=("raw",),
    ),
    _component("reader", "mat", "MatReader", "Photon times in MATLAB cell arrays", tags=("raw",)),
)


@hookimpl
def invcore_components() -> tuple[Component, ...]:
    """Return the components of this package."""
    return COMPONENTS
