"""Networks as models R(y, physics) and as denoisers D(x, sigma)."""
