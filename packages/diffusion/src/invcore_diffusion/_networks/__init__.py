"""Networks of published diffusion models, under the names of their state dicts."""
