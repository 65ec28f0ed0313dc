"""Readers of photon files, and what the command writes beside the depth."""
