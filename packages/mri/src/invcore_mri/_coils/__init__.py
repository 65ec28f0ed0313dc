"""Receive coils: sensitivity maps and noise."""
