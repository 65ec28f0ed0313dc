"""Weights that others have published."""
