"""Losses for training, with and without references."""
