"""Small instances of every component, for the conformance kit: the first of each is tiny."""

from .blurs import space_varying_blur as space_varying_blur
