"""The components of core, registered as any plugin registers its own. Text only: nothing is imported."""

from .plugin import Component, hookimpl

INVCORE_API_VERSION = 1

COMPONENTS: tuple[Component, ...] = (
    Component(
        "operator",
        "differences",
        "invcore.operators:Differences",
        summary="Forward finite differences in 1-D to 3-D, by boundary condition",
        examples="invcore._examples_operators:differences",
        tags=("linear",),
    ),
    Component(
        "operator",
        "identity",
        "invcore.operators:Identity",
        summary="The identity",
        examples="invcore._examples:identities",
        tags=("linear",),
    ),
    Component(
        "operator",
        "mask",
        "invcore.operators:Mask",
        summary="Multiplication by a mask: inpainting, sampling, any diagonal",
        examples="invcore._examples:masks",
        tags=("linear",),
    ),
    Component(
        "operator",
        "matrix",
        "invcore.operators:Matrix",
        summary="Multiplication by a dense matrix",
        examples="invcore._examples:matrices",
        tags=("linear",),
    ),
    Component(
        "noise",
        "none",
        "invcore.noises:NoNoise",
        summary="Exact measurements",
        examples="invcore._examples:no_noises",
    ),
    Component(
        "noise",
        "gaussian",
        "invcore.noises:GaussianNoise",
        summary="White Gaussian noise, real or complex",
        examples="invcore._examples:gaussian_noises",
    ),
    Component(
        "fidelity",
        "least_squares",
        "invcore.fidelities:LeastSquares",
        summary="Squared distance, the likelihood of Gaussian noise",
        examples="invcore._examples:least_squares_fidelities",
    ),
    Component(
        "prior",
        "l1",
        "invcore.priors:L1",
        summary="Sum of magnitudes",
        examples="invcore._examples:l1_priors",
        tags=("prox",),
    ),
    Component(
        "prior",
        "tikhonov",
        "invcore.priors:Tikhonov",
        summary="Squared norm",
        examples="invcore._examples:tikhonov_priors",
        tags=("prox", "smooth"),
    ),
    Component(
        "prior",
        "wavelet",
        "invcore.priors:WaveletL1",
        summary="Wavelet sparsity, translation invariant by random shifts",
        examples="invcore._examples:wavelet_priors",
        tags=("prox",),
    ),
    Component(
        "solver",
        "cg",
        "invcore.solvers:ConjugateGradient",
        summary="Tikhonov least squares by conjugate gradient (CG-SENSE)",
        examples="invcore._examples:conjugate_gradients",
    ),
    Component(
        "solver",
        "fista",
        "invcore.solvers:FISTA",
        summary="Accelerated proximal gradient with adaptive restart",
        examples="invcore._examples:fistas",
    ),
    Component(
        "solver",
        "gd",
        "invcore.solvers:GradientDescent",
        summary="Gradient descent with Barzilai-Borwein steps or Armijo line search",
        examples="invcore._examples_smooth:gradient_descents",
    ),
    Component(
        "solver",
        "lbfgs",
        "invcore.solvers:LBFGS",
        summary="Limited-memory BFGS with weak Wolfe line search, a history per sample",
        examples="invcore._examples_smooth:lbfgs_solvers",
    ),
    Component(
        "operator",
        "wavelet",
        "invcore.operators:WaveletTransform",
        summary="Orthogonal wavelet transform, real or complex, 1-D to 3-D, any size",
        examples="invcore._examples:wavelet_transforms",
        tags=("linear", "orthogonal"),
    ),
    Component(
        "metric",
        "mae",
        "invcore.metrics:MAE",
        summary="Mean absolute error",
        examples="invcore._examples:mae_metrics",
    ),
    Component(
        "metric",
        "mse",
        "invcore.metrics:MSE",
        summary="Mean squared error",
        examples="invcore._examples:mse_metrics",
    ),
    Component(
        "metric",
        "nmse",
        "invcore.metrics:NMSE",
        summary="Normalized mean squared error",
        examples="invcore._examples:nmse_metrics",
    ),
    Component(
        "metric",
        "nrmse",
        "invcore.metrics:NRMSE",
        summary="Normalized root mean squared error",
        examples="invcore._examples:nrmse_metrics",
    ),
    Component(
        "metric",
        "psnr",
        "invcore.metrics:PSNR",
        summary="Peak signal-to-noise ratio in decibel",
        examples="invcore._examples:psnr_metrics",
    ),
    Component(
        "metric",
        "ssim",
        "invcore.metrics:SSIM",
        summary="Structural similarity in 2-D or 3-D",
        examples="invcore._examples:ssim_metrics",
    ),
    Component(
        "denoiser",
        "bm3d",
        "invcore.denoisers:BM3D",
        summary="Block matching and 3-D filtering, gray and color",
        examples="invcore._examples_denoisers:bm3d_denoisers",
    ),
    Component(
        "denoiser",
        "wavelet",
        "invcore.denoisers:WaveletDenoiser",
        summary="Soft thresholding of wavelet coefficients",
        examples="invcore._examples:wavelet_denoisers",
    ),
    Component(
        "loss",
        "supervised",
        "invcore.losses:Supervised",
        summary="A metric between reconstruction and reference",
        examples="invcore._examples:supervised_losses",
    ),
)


@hookimpl
def invcore_components() -> tuple[Component, ...]:
    """Return the components of core."""
    return COMPONENTS
