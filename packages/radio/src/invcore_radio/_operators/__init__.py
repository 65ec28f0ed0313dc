"""Interferometers, single dishes, closure quantities, source models."""
