"""Sampling by maps from noisy to clean images, and fitting the parameters of priors."""
