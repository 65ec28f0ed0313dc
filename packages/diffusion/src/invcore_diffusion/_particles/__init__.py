"""Samplers with many particles for each of the data."""
