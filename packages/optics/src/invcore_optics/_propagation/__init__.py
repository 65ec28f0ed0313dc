"""Free-space propagation and holography."""
