"""Errors of visibilities, phases and closure quantities, and their likelihoods."""
