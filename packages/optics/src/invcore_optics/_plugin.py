"""The components of invcore-optics. Text only: listing them imports neither torch nor this package's modules."""

from invcore.plugin import Component, hookimpl, namespace

INVCORE_API_VERSION = 1

optics = namespace("optics", "invcore_optics")

COMPONENTS: tuple[Component, ...] = (
    # pupils
    optics.operator("pupil_psf", "PupilPSF", "Point spread function of an aberrated pupil, in focus and out, scalar or vectorial", "nonlinear"),
    optics.operator("bead_stack", "BeadStack", "Images of a bead at several depths, as a function of the aberrations", "nonlinear"),
    optics.generator("random_pupil", "RandomPupil", "Kernels of a pupil with random aberrations", "blur"),
    optics.generator("random_pupil_field", "RandomPupilField", "Kernels and maps of a blur whose aberrations vary over the field", "blur"),
    optics.solver("pupil_fit", "PupilFit", "Aberrations from images of a bead, by Fisher scoring"),
    # blurs
    optics.operator("space_varying_blur", "SpaceVaryingBlur", "Blur whose kernel varies over the image, as a sum of weighted convolutions", "linear"),
    optics.operator("tiled_blur", "TiledBlur", "Blur by kernels of overlapping tiles, each by an FFT of its size", "linear"),
    optics.operator("haze", "Haze", "A scene behind haze: thickness and airlight as parameters", "nonlinear"),
    optics.operator("modulo", "Modulo", "Values up to a period: wrapped phases, modulo sensors", "nonlinear"),
    optics.fidelity("itoh", "Itoh", "Wrapped data by differences of neighbors (phase unwrapping)", "convex"),
    optics.solver("blind_multiscale", "BlindMultiscale", "A photograph and the kernel of its blur, from coarse to fine, by strong edges", "blind"),
    optics.model("psf_identifier", "PSFIdentifier", "Gaussian blur of a picture, identified by a network, and the picture deconvolved", "blind"),
    # propagation
    optics.operator("angular_spectrum", "AngularSpectrum", "Propagation of coherent fields by their plane waves", "linear"),
    optics.operator("single_transform", "SingleTransform", "Propagation by one Fourier transform: Fresnel's integral", "linear"),
    optics.operator("hologram", "Hologram", "Holograms in line and off axis, at one or several distances", "nonlinear"),
    optics.transform("sideband", "Sideband", "Field of an off-axis hologram, from its sideband"),
    # phase retrieval
    optics.operator("phase_retrieval", "PhaseRetrieval", "Intensities of any linear operator", "nonlinear"),
    optics.operator("ptychography", "Ptychography", "Diffraction patterns of an object scanned by a probe", "nonlinear"),
    optics.operator("fourier_ptychography", "FourierPtychography", "Images under light from many directions, through a pupil", "nonlinear"),
    optics.solver("amplitude_flow", "AmplitudeFlow", "Image from intensities, by accelerated gradients", "nonconvex"),
    optics.solver("admm", "PhaseADMM", "Image from intensities, with a prior, by splitting the fields off", "nonconvex"),
    optics.solver("alternating_projections", "AlternatingProjections", "Image with a known support from Fourier intensities: ER, HIO, RAAR", "nonconvex"),
    optics.solver("epry", "EPRY", "Fourier ptychography: object, pupil, and brightness of the lights", "nonconvex"),
    optics.solver("pie", "PIE", "Ptychographic iterative engine: object, probe and positions", "nonconvex"),
    # cameras
    optics.operator("cassi", "CASSI", "Snapshot of spectral images through a coded mask and a disperser", "linear"),
    optics.operator("lensless", "Lensless", "What a sensor behind a diffuser sees of a scene", "linear"),
    optics.operator("single_pixel", "SinglePixel", "Readings of one detector behind Hadamard, Haar or any patterns", "linear"),
    optics.dataset("target", "TargetScan", "Simulated photon counts of a single-pixel camera", "demo"),
    # microscopy
    optics.operator("sim", "StructuredIllumination", "Structured illumination microscopy: images under fringes", "linear"),
    optics.operator("ism", "ImageScanning", "Image scanning microscopy: all images of a detector array", "linear"),
    optics.operator("speckle_variance", "SpeckleVariance", "Variance of images under unknown speckles", "nonlinear"),
    optics.operator("compressive_raman", "CompressiveRaman", "Species of known spectra behind spectral filters", "linear"),
    optics.operator("spifi", "Spifi", "One detector behind a chirped mask: each place has its frequency", "linear"),
    optics.operator("mesh_fluorescence", "MeshFluorescence", "Blurred image of a triangle mesh: membranes or solids", "nonlinear"),
    optics.operator("field_psf", "FieldPSF", "Stars all over a field of view, from one wavefront field", "nonlinear"),
    optics.operator("curves", "Curves", "Filaments as polylines off the grid, with a Gaussian blur", "nonlinear"),
    optics.operator("frap", "Frap", "Recovery after photobleaching of a droplet with a barrier", "nonlinear"),
    optics.solver("rim_variance", "VarianceMatching", "Random illumination microscopy: the image with the measured variance", "nonconvex"),
    optics.solver("independent_richardson_lucy", "IndependentRichardsonLucy", "Deconvolution of two or more photographs whose noise is independent", "convex"),
    optics.transform("speckle_statistics", "SpeckleStatistics", "Mean and variance of speckled images, without that of the noise"),
    optics.transform("sim_patterns", "SimPatterns", "Fringes of structured illumination, estimated from the images", "calibration"),
    optics.transform("pixel_reassignment", "PixelReassignment", "Images of a detector array, registered and added"),
    # scattering
    optics.operator("scattering", "Scattering", "Scattered field of a refractive index in the plane, all orders", "nonlinear"),
    optics.operator("born", "Born", "Scattered field in Born's approximation", "linear"),
    optics.model("linear_sampling", "LinearSampling", "Shape of a scatterer by the linear sampling method"),
    # files
    optics.reader("fresnel_mat", "FresnelReader", "Scattered microwaves of the Fresnel Institute in MATLAB files", "raw"),
    optics.reader("fpm_mat", "FPMReader", "Fourier ptychography in MATLAB files", "raw"),
    optics.reader("ptychography_npz", "NpzScanReader", "Ptychographic scans in NumPy archives", "raw"),
    optics.reader("cxi", "CXIReader", "Ptychographic scans in CXI files (HDF5)", "raw"),
    optics.reader("tiff", "MicroscopeReader", "TIFF and OME-TIFF stacks of microscopes: deconvolution, or aberrations from a bead", "raw", requires=("tifffile",)),
    optics.reader("cassi_mat", "CASSIReader", "Snapshots of coded-aperture spectral cameras in MATLAB files", "raw"),
    optics.reader("lensless_tiff", "LenslessReader", "Raw frames of lensless cameras in TIFF files", "raw", requires=("tifffile",)),
    optics.reader("single_pixel_mat", "SinglePixelReader", "Single-pixel readings in MATLAB files", "raw"),
)


@hookimpl
def invcore_components() -> tuple[Component, ...]:
    """Return the components of this package."""
    return COMPONENTS
