"""Calibration of antenna gains."""
