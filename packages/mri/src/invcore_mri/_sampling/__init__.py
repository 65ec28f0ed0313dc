"""Sampling of k-space: operators, masks, the fully sampled center."""
