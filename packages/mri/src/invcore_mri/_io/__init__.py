"""Readers of raw scans."""
