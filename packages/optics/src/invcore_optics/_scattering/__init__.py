"""Scattering of waves: Lippmann-Schwinger, Born, linear sampling, Mie."""
