"""How data lead a diffusion."""
