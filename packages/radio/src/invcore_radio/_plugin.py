"""The components of invcore-radio. Text only: listing them imports neither torch nor this package's modules."""

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
        f"radio.{name}",
        f"invcore_radio:{target}",
        summary=summary,
        requires=requires,
        examples=f"invcore_radio._examples:{name}",
        tags=("radio", *tags),
    )


COMPONENTS: tuple[Component, ...] = (
    _component(
        "operator",
        "interferometer",
        "Interferometer",
        "Visibilities of an image: w-term, frequencies, primary beam",
        tags=("linear",),
    ),
    _component(
        "operator",
        "single_dish",
        "SingleDish",
        "Scan of an image with the beam of one antenna",
        tags=("linear",),
    ),
    _component(
        "operator", "closure_phases", "ClosurePhases", "Phases that antenna gains do not change, of triangles"
    ),
    _component(
        "operator",
        "log_closure_amplitudes",
        "LogClosureAmplitudes",
        "Amplitude ratios that antenna gains do not change, of quadrangles",
    ),
    _component("noise", "phase", "PhaseNoise", "Gaussian errors of angles"),
    _component("noise", "correlated_phase", "CorrelatedPhaseNoise", "Correlated Gaussian errors of angles"),
    _component("noise", "correlated", "CorrelatedNoise", "Gaussian noise with a block-diagonal covariance"),
    _component("fidelity", "angles", "PhaseLikelihood", "Angles with independent errors, smooth over 2π"),
    _component(
        "fidelity",
        "correlated_angles",
        "CorrelatedPhaseLikelihood",
        "Angles with correlated errors, smooth over 2π",
    ),
    _component(
        "fidelity",
        "correlated_least_squares",
        "CorrelatedLeastSquares",
        "Least squares with a block-diagonal covariance",
    ),
    _component(
        "operator",
        "log_amplitudes",
        "LogAmplitudes",
        "Log amplitudes, whose gains are marginalized in the noise",
    ),
    _component(
        "solver",
        "rml",
        "RegularizedMaximumLikelihood",
        "Regularized maximum likelihood of positive images, from closure quantities too",
    ),
    _component(
        "prior", "entropy", "Entropy", "Relative entropy to a reference image", tags=("convex", "prox")
    ),
    _component(
        "prior",
        "tsv",
        "TotalSquaredVariation",
        "Squared differences of neighbors",
        tags=("convex", "prox", "smooth"),
    ),
    _component(
        "prior",
        "total_flux",
        "TotalFlux",
        "The flux of the whole image is known",
        tags=("convex", "prox", "smooth"),
    ),
    _component(
        "prior",
        "centroid",
        "Centroid",
        "The center of brightness is known",
        tags=("convex", "prox", "smooth"),
    ),
    _component(
        "prior",
        "second_moment",
        "SecondMoment",
        "The size of the source is known",
        tags=("convex", "prox", "smooth"),
    ),
    _component(
        "prior",
        "compact",
        "CompactSource",
        "Entropy, total variation and squared variation, in units of the resolution",
    ),
    _component("solver", "clean", "Clean", "CLEAN of Högbom and Clark, and at several scales"),
    _component(
        "operator",
        "sara_frame",
        "SaraFrame",
        "Coefficients in pixels and several wavelet bases: a Parseval frame",
        tags=("linear",),
    ),
    _component(
        "prior", "sara", "Sara", "Sparsity averaged over pixels and eight wavelet bases", tags=("convex",)
    ),
    _component(
        "dataset",
        "galaxy",
        "RadioGalaxyObservation",
        "Simulated observation of a radio galaxy",
        tags=("demo",),
    ),
    _component("reader", "uvfits", "UVFITSReader", "Visibilities in UVFITS files", tags=("raw",)),
    _component(
        "reader",
        "ms",
        "MeasurementSetReader",
        "Measurement Sets (CASA)",
        requires=("casacore",),
        tags=("raw",),
    ),
    _component("operator", "amplitudes", "Amplitudes", "Amplitudes of visibilities"),
    _component(
        "operator", "squared_visibilities", "SquaredVisibilities", "Squared amplitudes of visibilities"
    ),
    _component("operator", "unit_flux", "UnitFlux", "Images relative to their total flux"),
    _component("operator", "bispectra", "Bispectra", "Triple products of visibilities, around triangles"),
    _component(
        "operator",
        "source_model",
        "SourceModel",
        "Visibilities of disks, rings, Gaussians and points, by parameters",
    ),
    _component(
        "reader",
        "oifits",
        "OIFITSReader",
        "Squared visibilities and closure phases in OIFITS files",
        tags=("raw",),
    ),
    _component(
        "operator",
        "gains",
        "Gains",
        "Visibilities times the complex gains of their antennas",
        tags=("linear",),
    ),
)


@hookimpl
def invcore_components() -> tuple[Component, ...]:
    """Return the components of this package."""
    return COMPONENTS
