"""The components of invcore-mri. Text only: listing them imports neither torch nor this package's modules."""

from invcore.plugin import Component, hookimpl, namespace

INVCORE_API_VERSION = 1

mri = namespace("mri", "invcore_mri")

COMPONENTS: tuple[Component, ...] = (
    mri.operator("fourier", "Fourier", "Sampled Fourier transform of an image", "linear"),
    mri.operator("sense", "Sense", "Sampled Fourier transform seen by several coils", "linear"),
    mri.operator("nufft_sense", "NUFFTSense", "Multi-coil MRI along any trajectory, differentiable in it", "linear"),
    mri.transform("espirit", "Espirit", "Coil maps from the center of k-space", "calibration"),
    mri.generator("mask_random", "MaskRandom", "Phase encodes uniformly at random", "mask"),
    mri.generator("mask_gaussian", "MaskGaussian", "Random phase encodes, denser at DC", "mask"),
    mri.generator("mask_equispaced", "MaskEquispaced", "Equally spaced phase encodes", "mask"),
    mri.generator("mask_poisson", "MaskPoisson", "Variable-density Poisson-disc sampling", "mask", requires=("sigpy",)),
    mri.dataset("phantom", "PhantomScan", "Simulated scan of a head", "demo", requires=("sigpy",)),
    mri.reader("cfl", "CflReader", "BART raw data (.cfl with .hdr)", "raw"),
    mri.reader("cmrxrecon", "CMRxReconReader", "CMRxRecon raw data of the heart (MATLAB 7.3)", "raw"),
    mri.reader("fastmri", "FastMRIReader", "fastMRI raw data (HDF5)", "raw"),
    mri.reader("mat", "MatReader", "K-space in MATLAB files, on a grid or along a trajectory", "raw"),
)


@hookimpl
def invcore_components() -> tuple[Component, ...]:
    """Return the components of this package."""
    return COMPONENTS
