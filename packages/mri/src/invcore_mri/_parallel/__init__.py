"""Parallel imaging without coil maps, partial Fourier, and the noise that acceleration amplifies."""
