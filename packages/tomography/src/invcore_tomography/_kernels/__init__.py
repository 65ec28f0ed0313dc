"""Projection kernels: compiled ones on numpy arrays, and the same sums as differentiable torch functions."""
