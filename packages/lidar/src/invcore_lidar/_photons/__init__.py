"""Photon data: time tags, histograms, gates, impulse responses, sketches, plots."""
