"""Blurs of real instruments: kernels that vary in space, borders nobody measured, unknown kernels."""
