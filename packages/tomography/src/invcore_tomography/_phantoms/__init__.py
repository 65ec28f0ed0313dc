"""Phantoms with exact line integrals."""
