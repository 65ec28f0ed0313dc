"""The components of core, registered as any plugin registers its own. Text only: nothing is imported."""

from .plugin import Component, hookimpl

INVCORE_API_VERSION = 1

COMPONENTS: tuple[Component, ...] = (
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
        summary="Normalised mean squared error",
        examples="invcore._examples:nmse_metrics",
    ),
    Component(
        "metric",
        "nrmse",
        "invcore.metrics:NRMSE",
        summary="Normalised root mean squared error",
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
