"""Photon data: time tags, histograms, gates, impulse responses, scenes, point clouds, plots."""
