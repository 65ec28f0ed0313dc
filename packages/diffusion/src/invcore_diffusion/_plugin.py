"""The components of invcore-diffusion. Text only: listing them imports neither torch nor this package's modules."""

from invcore.plugin import Component, hookimpl, namespace

INVCORE_API_VERSION = 1

diffusion = namespace("diffusion", "invcore_diffusion")

COMPONENTS: tuple[Component, ...] = (
    diffusion.sampler("diffusion", "DiffusionSampler", "Any schedule, denoiser, integrator and guidance"),
    diffusion.schedule("karras", "Karras", "Levels with evenly spaced roots (EDM)"),
    diffusion.integrator("ancestral", "Ancestral", "Transitions of Gaussians: DDPM, DDIM(eta)"),
    diffusion.integrator("euler", "Euler", "Euler's method for the probability flow: DDIM(0)"),
    diffusion.guidance("dps", "DPS", "The likelihood of the denoised image"),
)


@hookimpl
def invcore_components() -> tuple[Component, ...]:
    """Return the components of this package."""
    return COMPONENTS
