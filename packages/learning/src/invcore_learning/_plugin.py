"""The components of invcore-learning. Text only: listing them imports neither torch nor this package's modules."""

from invcore.plugin import Component, hookimpl, namespace

INVCORE_API_VERSION = 1

learning = namespace("learning", "invcore_learning")

COMPONENTS: tuple[Component, ...] = (
    learning.operator("transformed", "Transformed", "A transform with fixed parameters, as an operator", "linear"),
    learning.prior("input_convex", "input_convex", "A convex network", "convex smooth prox"),
    learning.prior("patchnr", "patchnr", "PatchNR: likelihood of patches under a normalizing flow", "smooth"),
    learning.solver("deep_image_prior", "DeepImagePrior", "A network fitted to the data of one image, stopped at the noise level"),
    learning.denoiser("equivariant", "EquivariantDenoiser", "A denoiser averaged over a group, or over one random element", "wrapper"),
    learning.denoiser("equivariant_denoiser", "EquivariantDenoiser", "A denoiser averaged over a group, or over one random element", "wrapper"),
    learning.denoiser("gradient_step", "GradientStepDenoiser", "A gradient step on the squared residual of a network"),
    learning.denoiser("network", "NetworkDenoiser", "A denoiser D(x, sigma) made of any network"),
    learning.model("artifact_removal", "ArtifactRemoval", "A network after the adjoint, pseudo-inverse or FBP"),
    learning.model("complex", "ComplexNetwork", "Complex images: real and imaginary parts as channels"),
    learning.model("deep_linear", "DeepLinear", "A product of matrices from data to images"),
    learning.model("dncnn", "DnCNN", "DnCNN: plain convolutions that estimate the noise"),
    learning.model("drunet", "DRUNet", "DRUNet: bias-free residual U-Net with a map of the noise level"),
    learning.model("equivariant_model", "EquivariantModel", "A model averaged over a group, which transforms the operator", "wrapper"),
    learning.model("ffdnet", "FFDNet", "FFDNet: convolutions at half the size with a map of the noise level"),
    learning.model("ram", "RAM", "RAM: one network for many linear problems, which sees the operator and the noise"),
    learning.model("restormer", "Restormer", "Restormer: transformers on several scales, attention between channels"),
    learning.model("slices", "Slices", "A network applied to each slice of a volume"),
    learning.model("tiled", "TiledNetwork", "A network applied in overlapping tiles, for large images"),
    learning.model("unet", "UNet", "U-Net: encoder, decoder and skips over several scales"),
    learning.model("unknown_variance", "UnknownVariance", "A model and the variance of the noise that UNSURE estimates", "wrapper"),
    learning.model("wrapped", "WrappedModel", "A model with the loss that trains it: averages over its draws", "wrapper"),
    learning.loss("adversarial", "GeneratorLoss", "Least-squares GAN of images or measurements (AmbientGAN, UAIR)"),
    learning.loss("artifact2artifact", "artifact2artifact", "Groups of frames predict each other", "self-supervised wrapper mri"),
    learning.loss("augment_consistency", "AugmentConsistency", "Alike from perturbed and virtually transformed data (VORTEX)", "self-supervised"),
    learning.loss("consistency", "MeasurementConsistency", "Distance between A x and the data", "self-supervised"),
    learning.loss("discriminator", "DiscriminatorLoss", "The loss of the discriminator of images or measurements"),
    learning.loss("ensure", "ENSURE", "SURE for undersampled k-space, weighted by the sampling density", "self-supervised unbiased"),
    learning.loss("equivariant", "EquivariantImaging", "Equivariant imaging, also with several operators", "self-supervised"),
    learning.loss("equivariant_splitting", "EquivariantSplitting", "Splitting with virtual operators", "self-supervised wrapper"),
    learning.loss("jacobian_norm", "JacobianNorm", "Spectral norm of the Jacobian, or of 2J - I: firm nonexpansiveness"),
    learning.loss("multi_operator", "MultiOperator", "Multi-operator imaging", "self-supervised"),
    learning.loss("neighbor2neighbor", "Neighbor2Neighbor", "Neighboring pixels predict each other", "self-supervised"),
    learning.loss("noise2score", "Noise2Score", "The score of noisy data, for Tweedie's formula", "self-supervised wrapper"),
    learning.loss("phase2phase", "phase2phase", "Even and odd frames predict each other", "self-supervised wrapper mri"),
    learning.loss("r2r", "R2R", "Recorrupted to recorrupted: Gaussian, Poisson and Gamma noise", "self-supervised unbiased wrapper"),
    learning.loss("regularity", "Regularity", "Value of a prior: total variation"),
    learning.loss("splitting", "Splitting", "Reconstruct from one part of the data, compare with the other", "self-supervised unbiased wrapper"),
    learning.loss("ssdu", "ssdu", "Splitting of k-space by a Gaussian density", "self-supervised wrapper mri"),
    learning.loss("sum", "WeightedSum", "Weighted losses, with schedules"),
    learning.loss("sure", "SURE", "Unbiased risk: Gaussian, Poisson and Poisson-Gaussian noise", "self-supervised unbiased"),
    learning.loss("unsure", "UNSURE", "SURE with unknown noise level", "self-supervised wrapper"),
    learning.loss("weighted_splitting", "WeightedSplitting", "Weighted and robust SSDU", "self-supervised unbiased wrapper mri"),
    learning.dataset("image_folder", "ImageFolder", "Images in a folder"),
    learning.dataset("public_images", "public_images", "BSDS500, DIV2K, Set14, Urban100 … from a disk"),
    learning.dataset("store", "Store", "Simulated measurements in a folder, written by generate"),
    learning.transform("add_noise", "AddNoise", "White noise"),
    learning.transform("chain", "Chain", "Transforms one after the other"),
    learning.transform("choice", "Choice", "One of several transforms"),
    learning.transform("diffeomorphism", "Diffeomorphism", "Smooth deformations that fix the border"),
    learning.transform("homography", "Homography", "Projective maps: affine, similarity, Euclidean, pan-tilt-rotate", "group"),
    learning.transform("phase_error", "PhaseError", "Phases of even and odd k-space lines", "group"),
    learning.transform("reflect", "Reflect", "Reflections", "group"),
    learning.transform("rotate", "Rotate", "Rotations: exact quarter turns, interpolation or three shears", "group"),
    learning.transform("scale", "Scale", "Scalings about a random point"),
    learning.transform("shift", "Shift", "Circular shifts by whole pixels", "group"),
    learning.transform("time_shift", "TimeShift", "Shifts of a sequence in time", "group"),
    learning.generator("mask_density", "DensityMask", "Masks with a probability for each position", "mask"),
    learning.generator("mask_frames", "FrameMask", "Masks of alternate frames, or of groups of frames", "mask"),
)


@hookimpl
def invcore_components() -> tuple[Component, ...]:
    """Return the components of this package."""
    return COMPONENTS
