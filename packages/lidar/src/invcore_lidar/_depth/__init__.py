"""Estimators of depth and reflectivity, and their uncertainty."""
