"""Optics files: readers, acquisition, output."""
