"""Networks of diffusions as denoisers."""
