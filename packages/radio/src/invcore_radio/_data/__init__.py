"""Visibilities, closure sets, antenna arrays, gains."""
