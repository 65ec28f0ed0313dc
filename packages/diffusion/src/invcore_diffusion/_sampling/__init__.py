"""Samplers made of schedule, denoiser, integrator and guidance."""
