"""Visibilities, antenna arrays, closure triangles and quadrangles."""
