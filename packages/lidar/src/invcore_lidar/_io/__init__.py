"""Photon files: readers, acquisition, output."""
