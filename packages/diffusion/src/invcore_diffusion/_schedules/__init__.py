"""Noise levels of diffusions."""
