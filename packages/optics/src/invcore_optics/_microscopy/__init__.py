"""Microscopes that compute: structured and random illumination, image scanning, Raman, FRAP."""
