"""The denoisers that the package ships, as instances."""

from .._weights import shipped


def gray() -> dict[str, object]:
    """Instances of the denoiser ``diffusion.gray``."""
    return {"photographs": shipped.gray()}


def color() -> dict[str, object]:
    """Instances of the denoiser ``diffusion.color``."""
    return {"photographs": shipped.color()}


def patches() -> dict[str, object]:
    """Instances of the denoiser ``diffusion.patches``."""
    return {"photographs": shipped.patches()}
