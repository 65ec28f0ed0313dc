"""Small instances of every component, for the conformance kit: the first of each is tiny."""

from ._examples_tcspc import tcspc as tcspc
