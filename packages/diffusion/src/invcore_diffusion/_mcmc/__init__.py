"""Markov chains whose law is, or tends to, the posterior."""
