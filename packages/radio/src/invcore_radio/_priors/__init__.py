"""Priors on the image: entropy, moments, smoothness, compact support."""
