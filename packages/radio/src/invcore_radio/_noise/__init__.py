"""Noise and likelihoods of phases, amplitudes and closure quantities."""
