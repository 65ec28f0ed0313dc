"""Operators from an image to visibilities, squared visibilities and closure quantities."""
