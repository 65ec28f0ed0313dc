"""Antenna gains: operator, solver, self-calibration."""
