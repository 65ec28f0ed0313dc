"""Sampling of k-space: operators and masks."""
