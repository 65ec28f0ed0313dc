"""Parameter maps: signal models, and their fit."""
