"""How an image goes from one noise level to the next."""
