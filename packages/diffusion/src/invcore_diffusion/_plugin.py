"""The components of invcore-diffusion. Text only: listing them imports neither torch nor this package's modules."""

from dataclasses import replace

from invcore.plugin import Component, hookimpl, namespace

INVCORE_API_VERSION = 1

diffusion = namespace("diffusion", "invcore_diffusion")


def method(name: str, target: str, summary: str, tags: str = "") -> Component:
    """A sampler of the literature, which may be called as its guidance is: its examples are in a room of their own."""
    component = diffusion.sampler(name, target, summary, tags)
    return replace(component, examples=f"invcore_diffusion._examples.methods:{name}")


COMPONENTS: tuple[Component, ...] = (
    diffusion.denoiser("gray", "gray", "Gray photographs: a trained U-Net for noise up to 55/255"),
    diffusion.denoiser("color", "color", "Color photographs: the trained U-Net in opponent colors"),
    diffusion.denoiser("patches", "patches", "Small gray photographs: a trained U-Net for all noise levels, a prior to draw from"),
    diffusion.denoiser("from_velocity", "FromVelocity", "The denoiser of a velocity field"),
    diffusion.operator("flow_map", "FlowMap", "Noise to image, along a flow"),
    diffusion.prior("noise_length", "NoiseLength", "The length of white noise", "smooth"),
    diffusion.solver("d_flow", "DFlow", "D-Flow: the noise whose flow fits the data"),
    diffusion.solver("flow_prior", "FlowPrior", "The most likely image, sought along a flow"),
    diffusion.solver("pnp_flow", "PnPFlow", "PnP-Flow: gradient step, noise, denoiser"),
    diffusion.denoiser("network", "DiffusionDenoiser", "A network of a diffusion: epsilon, x0, v, score, velocity, EDM, consistency"),
    diffusion.model("empirical_flow", "empirical_flow", "The flow to finitely many images, in closed form"),
    diffusion.model("gaussian_flow", "gaussian_flow", "The flow to Gaussian images, in closed form"),
    diffusion.model("wiener_unet", "WienerUNet", "A U-Net around the Wiener filter of images with a known spectrum"),
    diffusion.model("to_velocity", "Velocity", "The velocity field of a denoiser"),
    method("ald", "ald", "Langevin dynamics led by the likelihood of the noisy image", "linear"),
    method("ddnm", "ddnm", "Range from the data, null space from the denoiser, without noise", "linear"),
    method("ddnm_plus", "DDNMPlus", "Range from the data, null space from the denoiser, with noisy data", "linear"),
    method("ddrm", "DDRM", "A transition for each singular value of the operator", "linear"),
    method("diffpir", "diffpir", "Denoise, fit the data by a proximal step, renoise", "linear"),
    method("dpg", "dpg", "Diffusion policy gradient: no derivative of the operator"),
    method("dps", "dps", "Led by the likelihood of the denoised image", "nonlinear"),
    method("flow", "FlowSampler", "Along the flow from noise to images, led by the data; exact by moves in the noise"),
    method("latino", "Latino", "LATINO: noise, a map in few steps, a proximal step on the data", "linear"),
    method("ot_ode", "ot_ode", "OT-ODE: along the flow, with white uncertainty", "linear"),
    method("flow_dps", "flow_dps", "A flow whose clean image is moved to the data", "linear"),
    method("ilvr", "ilvr", "Low frequencies are replaced by those of the data", "linear"),
    method("lgd", "lgd", "Led by the likelihood of several draws of the clean image", "nonlinear"),
    method("pigdm", "pigdm", "Led by the likelihood of a clean image with white uncertainty", "linear"),
    method("red_diff", "REDDiff", "An image that fits the data and that the denoiser leaves as it is", "nonlinear"),
    method("repaint", "repaint", "Known pixels are replaced by the data, each stretch gone down several times", "linear"),
    method("score_sde", "score_sde", "Predictor and corrector, then the data replace what they know", "linear"),
    method("tmpd", "tmpd", "Led by the likelihood with the Jacobian of the denoiser as covariance", "linear"),
    diffusion.sampler("blind", "Blind", "Image and parameters of the operator together, by Gibbs sampling"),
    diffusion.sampler("daps", "DAPS", "Decoupled annealing: a clean image given the data at each level, then new noise"),
    diffusion.sampler("diffusion", "DiffusionSampler", "Any schedule, denoiser, integrator and guidance"),
    diffusion.sampler("enkg", "EnKG", "Ensemble Kalman diffusion guidance: no derivatives"),
    diffusion.sampler("fps", "FPS", "Filtering posterior sampling: particles that share a path of noisy data", "exact"),
    diffusion.sampler("gibbs", "Gibbs", "Split Gibbs: exact draws given Gaussian data, proximal ones given the prior"),
    diffusion.sampler("hmc", "HMC", "Hamiltonian Monte Carlo, exact"),
    diffusion.sampler("mala", "MALA", "Langevin steps, accepted or refused: exact"),
    diffusion.sampler("mcgdiff", "MCGdiff", "A particle filter whose data get more certain level by level", "exact"),
    diffusion.sampler("myula", "MYULA", "Langevin steps on the Moreau envelope of a prior"),
    diffusion.sampler("nuts", "NUTS", "The No-U-Turn sampler, exact: trajectories as long as needed, nothing to tune"),
    diffusion.sampler("pcn", "PCN", "Preconditioned Crank-Nicolson, exact, for Gaussian priors and any data"),
    diffusion.sampler("pnp_dm", "PnPDM", "Split Gibbs: draws given the data, and by a diffusion given the prior"),
    diffusion.sampler("pnp_ula", "PnPULA", "Langevin steps with the score of a denoiser, kept in a box"),
    diffusion.sampler("psgla", "PSGLA", "Langevin steps with the noise inside the proximal operator or denoiser"),
    diffusion.sampler("scg", "SCG", "Stochastic control guidance: one of several candidates; no derivatives"),
    diffusion.sampler("sk_rock", "SKROCK", "Langevin steps by a stabilized method, for ill-conditioned problems"),
    diffusion.sampler("smc", "TwistedSMC", "Twisted sequential Monte Carlo, with the evidence", "exact"),
    diffusion.sampler("ula", "ULA", "Unadjusted Langevin steps"),
    diffusion.schedule("cosine", "Cosine", "Variance-preserving diffusion with a cosine"),
    diffusion.schedule("discrete", "Discrete", "Variance-preserving diffusion by the table of a checkpoint (DDPM)"),
    diffusion.schedule("edm", "EDM", "What preconditioned networks see (EDM, consistency models)"),
    diffusion.schedule("flow", "Flow", "Straight lines from noise to images (rectified flow)"),
    diffusion.schedule("karras", "Karras", "Levels with evenly spaced roots (EDM)"),
    diffusion.schedule("scaled", "Scaled", "The levels of a schedule in another unit", "wrapper"),
    diffusion.schedule("ve", "VarianceExploding", "Variance-exploding diffusion: geometric levels"),
    diffusion.schedule("vp", "VariancePreserving", "Variance-preserving diffusion with a linear rate"),
    diffusion.integrator("ancestral", "Ancestral", "Transitions of Gaussians: DDPM, DDIM(eta)"),
    diffusion.integrator("churn", "Churn", "Noise put back before each step (stochastic EDM)", "wrapper"),
    diffusion.integrator("consistency", "Consistency", "Denoise, renoise: for consistency models"),
    diffusion.integrator("dpm_solver", "DPMSolver", "DPM-Solver++ 2M and 3M, deterministic or stochastic"),
    diffusion.integrator("euler", "Euler", "Euler's method for the probability flow: DDIM(0)"),
    diffusion.integrator("heun", "Heun", "Heun's method, of second order (EDM)"),
    diffusion.integrator("midpoint", "Midpoint", "The midpoint in log sigma, of second order: DPM-Solver++ 2S"),
    diffusion.integrator("predictor_corrector", "PredictorCorrector", "Any integrator with Langevin steps at each level", "wrapper"),
    diffusion.integrator("renoised", "Renoised", "A fixed share of new noise (DiffPIR)"),
    diffusion.integrator("runge_kutta", "RungeKutta", "Dormand-Prince steps as long as the error allows"),
    diffusion.integrator("unipc", "UniPC", "UniPC: multistep predictor and corrector"),
    diffusion.loss("distribution_matching", "DistributionMatching", "Images with the law of others, by two velocities"),
    diffusion.loss("score_matching", "ScoreMatching", "Denoising score matching: a denoiser for all levels of a diffusion"),
    diffusion.loss("flow_matching", "FlowMatching", "Flow matching: velocities on lines from noise to images"),
    diffusion.guidance("ald", "ALD", "The likelihood of the noisy image", "linear"),
    diffusion.guidance("null_space", "DDNM", "The denoised image with what the data know replaced", "linear"),
    diffusion.guidance("diffpir", "DiffPIR", "A proximal step from the denoised image", "linear"),
    diffusion.guidance("dpg", "DPG", "The likelihood of images drawn about the denoised one; no derivative"),
    diffusion.guidance("dps", "DPS", "The likelihood of the denoised image", "nonlinear"),
    diffusion.guidance("gradient_steps", "FlowDPS", "Gradient steps to the data, by a share that falls with the noise", "linear"),
    diffusion.guidance("loss_guided", "LossGuided", "The likelihood averaged over draws of the clean image (LGD)", "nonlinear"),
    diffusion.guidance("moment_matching", "MomentMatching", "The Jacobian of the denoiser as covariance (TMPD)", "linear"),
    diffusion.guidance("pigdm", "PiGDM", "The denoised image as uncertain as white noise", "linear"),
    diffusion.guidance("replacement", "Replacement", "What the data know replaced after each step (ILVR, RePaint)", "linear"),
)


@hookimpl
def invcore_components() -> tuple[Component, ...]:
    """Return the components of this package."""
    return COMPONENTS
