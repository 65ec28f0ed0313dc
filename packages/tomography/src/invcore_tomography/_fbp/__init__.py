"""Filtered backprojection, FDK, and their weights."""
