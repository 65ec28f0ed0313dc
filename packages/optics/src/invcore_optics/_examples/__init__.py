"""Small instances of every component, for the conformance kit: the first of each is tiny."""

from .blurs import space_varying_blur as space_varying_blur
from .pupils import pupil_psf as pupil_psf
