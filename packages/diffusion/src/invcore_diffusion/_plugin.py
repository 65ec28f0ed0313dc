"""The components of invcore-diffusion. Text only: listing them imports neither torch nor this package's modules."""

from invcore.plugin import Component, hookimpl, namespace

INVCORE_API_VERSION = 1

diffusion = namespace("diffusion", "invcore_diffusion")

COMPONENTS: tuple[Component, ...] = (
    diffusion.denoiser("from_velocity", "FromVelocity", "The denoiser of a velocity field"),
    diffusion.model("empirical_flow", "empirical_flow", "The flow to finitely many images, in closed form"),
    diffusion.model("gaussian_flow", "gaussian_flow", "The flow to Gaussian images, in closed form"),
    diffusion.model("to_velocity", "Velocity", "The velocity field of a denoiser"),
    diffusion.sampler("diffusion", "DiffusionSampler", "Any schedule, denoiser, integrator and guidance"),
    diffusion.schedule("karras", "Karras", "Levels with evenly spaced roots (EDM)"),
    diffusion.integrator("ancestral", "Ancestral", "Transitions of Gaussians: DDPM, DDIM(eta)"),
    diffusion.integrator("euler", "Euler", "Euler's method for the probability flow: DDIM(0)"),
    diffusion.loss("flow_matching", "FlowMatching", "Flow matching: velocities on lines from noise to images"),
    diffusion.guidance("dps", "DPS", "The likelihood of the denoised image"),
)


@hookimpl
def invcore_components() -> tuple[Component, ...]:
    """Return the components of this package."""
    return COMPONENTS
