"""Priors that are networks: convex functions, densities of patches."""
