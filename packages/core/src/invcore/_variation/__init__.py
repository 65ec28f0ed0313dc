"""Dual solvers of total variation and total generalized variation."""
