"""The components of invcore-radio. Text only: listing them imports neither torch nor this package's modules."""

from invcore.plugin import Component, hookimpl, namespace

INVCORE_API_VERSION = 1

radio = namespace("radio", "invcore_radio")

COMPONENTS: tuple[Component, ...] = (
    radio.operator("interferometer", "Interferometer", "Visibilities of an image: w-term, frequencies, primary beam", "linear"),
    radio.operator("single_dish", "SingleDish", "Scan of an image with the beam of one antenna", "linear"),
    radio.operator("closure_phases", "ClosurePhases", "Closure phases of triangles, independent of antenna gains"),
    radio.operator("log_closure_amplitudes", "LogClosureAmplitudes", "Amplitude ratios of quadrangles, independent of antenna gains"),
    radio.noise("phase", "PhaseNoise", "Gaussian errors of angles"),
    radio.noise("correlated_phase", "CorrelatedPhaseNoise", "Correlated Gaussian errors of angles"),
    radio.noise("correlated", "CorrelatedNoise", "Gaussian noise with a block-diagonal covariance"),
    radio.fidelity("angles", "PhaseLikelihood", "Angles with independent errors, smooth over 2π"),
    radio.fidelity("correlated_angles", "CorrelatedPhaseLikelihood", "Angles with correlated errors, smooth over 2π"),
    radio.fidelity("correlated_least_squares", "CorrelatedLeastSquares", "Least squares with a block-diagonal covariance"),
    radio.operator("log_amplitudes", "LogAmplitudes", "Log amplitudes with marginalized antenna gains"),
    radio.solver("rml", "RegularizedMaximumLikelihood", "Regularized maximum likelihood of positive images, from closure quantities too", "smooth"),
    radio.prior("entropy", "Entropy", "Relative entropy to a reference image", "convex prox"),
    radio.prior("tsv", "TotalSquaredVariation", "Squared differences of neighbors", "convex prox smooth"),
    radio.prior("total_flux", "TotalFlux", "Known total flux of the image", "convex prox smooth"),
    radio.prior("centroid", "Centroid", "Known center of brightness", "convex prox smooth"),
    radio.prior("second_moment", "SecondMoment", "Known size of the source", "convex prox smooth"),
    radio.prior("compact", "CompactSource", "Entropy, total variation and squared variation, in units of the resolution"),
    radio.solver("clean", "Clean", "CLEAN of Högbom and Clark, and at several scales"),
    radio.operator("sara_frame", "SaraFrame", "Coefficients in pixels and several wavelet bases: a Parseval frame", "linear"),
    radio.prior("sara", "Sara", "Sparsity averaged over pixels and eight wavelet bases", "convex"),
    radio.dataset("galaxy", "RadioGalaxyObservation", "Simulated observation of a radio galaxy", "demo"),
    radio.reader("uvfits", "UVFITSReader", "Visibilities in UVFITS files", "raw"),
    radio.reader("ms", "MeasurementSetReader", "Measurement Sets (CASA)", "raw", requires=("casacore",)),
    radio.operator("amplitudes", "Amplitudes", "Amplitudes of visibilities"),
    radio.operator("squared_visibilities", "SquaredVisibilities", "Squared amplitudes of visibilities"),
    radio.operator("unit_flux", "UnitFlux", "Images relative to their total flux"),
    radio.operator("bispectra", "Bispectra", "Triple products of visibilities, around triangles"),
    radio.operator("source_model", "SourceModel", "Visibilities of disks, rings, Gaussians and points, by parameters"),
    radio.reader("oifits", "OIFITSReader", "Squared visibilities and closure phases in OIFITS files", "raw"),
    radio.operator("gains", "Gains", "Visibilities times the complex gains of their antennas", "linear"),
)


@hookimpl
def invcore_components() -> tuple[Component, ...]:
    """Return the components of this package."""
    return COMPONENTS
