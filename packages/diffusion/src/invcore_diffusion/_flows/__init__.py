"""Flows: velocity fields that carry noise to images, trained, sampled, and used as priors."""
