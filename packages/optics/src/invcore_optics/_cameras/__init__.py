"""Computational cameras: single pixel, coded apertures, lensless, mosaics, modulo sensors."""
