"""Krylov methods for callables: no operator, no image."""
