"""Numerical phantoms: head, heart, coils, fields."""
