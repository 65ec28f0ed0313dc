"""Scan geometries and image grids."""
