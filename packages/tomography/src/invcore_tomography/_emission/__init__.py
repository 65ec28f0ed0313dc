"""Positron emission tomography."""
