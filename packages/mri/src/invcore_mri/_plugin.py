"""The components of invcore-mri. Text only: listing them imports neither torch nor this package's modules."""

from invcore.plugin import Component, hookimpl, namespace

INVCORE_API_VERSION = 1

mri = namespace("mri", "invcore_mri")

COMPONENTS: tuple[Component, ...] = (
    mri.operator("fourier", "Fourier", "Sampled Fourier transform of an image", "linear"),
    mri.operator("sense", "Sense", "Sampled Fourier transform seen by several coils", "linear"),
    mri.operator("nufft_sense", "NUFFTSense", "Multi-coil MRI along any trajectory, differentiable in it", "linear"),
    mri.operator("frames", "Frames", "An operator applied to each frame of a series", "linear"),
    mri.operator("temporal_differences", "TemporalDifferences", "Differences of successive frames", "linear"),
    mri.operator("temporal_fourier", "TemporalFourier", "Fourier transform along the frames of a series", "linear"),
    mri.operator("temporal_subspace", "TemporalSubspace", "A series of a few courses in time", "linear"),
    mri.operator("spin_echo", "SpinEcho", "Images of spin echoes from maps of M0 and T2", "quantitative"),
    mri.operator("gradient_echo", "GradientEcho", "Images of gradient echoes from M0, T2* and off-resonance", "quantitative"),
    mri.operator("inversion_recovery", "InversionRecovery", "Images after inversion from M0, T1 and efficiency", "quantitative"),
    mri.operator("spoiled_gradient_echo", "SpoiledGradientEcho", "Images at several flip angles from M0 and T1", "quantitative"),
    mri.prior("temporal_tv", "TemporalTV", "Total variation along the frames of a series", "prox"),
    mri.prior("temporal_spectrum", "TemporalSpectrum", "Few frequencies in the course of each pixel", "prox"),
    mri.prior("low_rank_sparse", "LowRankSparse", "A background of low rank and a sparse dynamic part", "prox"),
    mri.transform("espirit", "Espirit", "Coil maps from the center of k-space", "calibration"),
    mri.transform("nlinv", "Nlinv", "Coil maps and image together, without a calibration region", "calibration"),
    mri.transform("walsh", "Walsh", "Coil maps by adaptive combination", "calibration"),
    mri.transform("compress", "Compress", "Fewer virtual coils, by singular vectors, also along the readout", "raw"),
    mri.transform("grappa", "Grappa", "Missing samples from their neighbors in all coils", "parallel imaging"),
    mri.transform("spirit", "Spirit", "K-space consistent with itself and the samples", "parallel imaging"),
    mri.transform("homodyne", "Homodyne", "Partial Fourier by homodyne detection", "partial fourier"),
    mri.transform("pocs", "Pocs", "Partial Fourier by projections onto convex sets", "partial fourier"),
    mri.generator("mask_random", "MaskRandom", "Phase encodes uniformly at random", "mask"),
    mri.generator("mask_gaussian", "MaskGaussian", "Random phase encodes, denser at DC", "mask"),
    mri.generator("mask_equispaced", "MaskEquispaced", "Equally spaced phase encodes", "mask"),
    mri.generator("mask_poisson", "MaskPoisson", "Variable-density Poisson-disc sampling", "mask"),
    mri.generator("mask_shifted", "MaskShifted", "Equispaced lines that shift from frame to frame", "mask"),
    mri.generator("mask_kt_poisson", "MaskKTPoisson", "Poisson discs over lines and frames", "mask"),
    mri.dataset("phantom", "PhantomScan", "Simulated scan of a head", "demo"),
    mri.reader("cfl", "CflReader", "BART raw data (.cfl with .hdr)", "raw"),
    mri.reader("cmrxrecon", "CMRxReconReader", "CMRxRecon raw data of the heart (MATLAB 7.3)", "raw"),
    mri.reader("fastmri", "FastMRIReader", "fastMRI raw data (HDF5)", "raw"),
    mri.reader("ismrmrd", "IsmrmrdReader", "Raw data of any scanner in the ISMRMRD format (MRD, HDF5)", "raw"),
    mri.reader("mat", "MatReader", "K-space in MATLAB files, on a grid or along a trajectory", "raw"),
    mri.reader("twix", "TwixReader", "Siemens raw data (twix): VB, VD, VE, XA", "raw"),
)


@hookimpl
def invcore_components() -> tuple[Component, ...]:
    """Return the components of this package."""
    return COMPONENTS
