"""Corrections of a measured sinogram: counts, rings, axis of rotation."""
