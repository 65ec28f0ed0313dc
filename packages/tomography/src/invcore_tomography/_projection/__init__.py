"""X-ray transforms."""
