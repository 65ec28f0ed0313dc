"""From visibilities to images: weighting, CLEAN, constrained and maximum-likelihood imaging, plots."""
