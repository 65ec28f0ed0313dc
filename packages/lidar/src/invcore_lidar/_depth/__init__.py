"""Estimators of depth and reflectivity."""
