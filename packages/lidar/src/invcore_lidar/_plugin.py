"""The components of invcore-lidar. Text only: listing them imports neither torch nor this package's modules."""

from invcore.plugin import Component, hookimpl, namespace

INVCORE_API_VERSION = 1

lidar = namespace("lidar", "invcore_lidar")

COMPONENTS: tuple[Component, ...] = (
    lidar.operator("tcspc", "TCSPC", "Depth, reflectivity and background to photon histograms", "nonlinear"),
    lidar.operator("multispectral", "Multispectral", "Photon histograms at several wavelengths of one scene", "nonlinear"),
    lidar.operator("tag_rates", "TagRates", "Rates at single photons, for likelihoods without histograms", "nonlinear"),
    lidar.operator("dead_time", "DeadTime", "Counts of a detector that is blind after each photon", "nonlinear"),
    lidar.operator("pile_up", "PileUp", "Counts of the first photon after each pulse", "nonlinear"),
    lidar.noise("first_photon", "FirstPhotonNoise", "Counts of the first photon after each pulse"),
    lidar.fidelity("first_photon_likelihood", "FirstPhoton", "Likelihood of counts with pile-up, in ideal rates", "convex"),
    lidar.solver("matched_filter", "MatchedFilter", "Depth of each pixel from its own photons"),
    lidar.solver("regularized", "RegularizedDepth", "Depth and reflectivity of all pixels together, from few photons", "nonconvex"),
    lidar.dataset("still_life", "StillLifeScan", "Simulated scan of a still life", "demo"),
    lidar.reader("ptu", "PtuReader", "PicoQuant photon timers (.ptu), T3 mode", "raw", requires=("ptufile",)),
    lidar.reader("pt3", "Pt3Reader", "PicoHarp 300 before PTU (.pt3), T3 mode of a point", "raw"),
    lidar.reader("mat", "MatReader", "Photon times in MATLAB cell arrays", "raw"),
)


@hookimpl
def invcore_components() -> tuple[Component, ...]:
    """Return the components of this package."""
    return COMPONENTS
