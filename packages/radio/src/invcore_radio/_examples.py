"""Small instances of every component, for the conformance kit: the first of each is tiny."""

from __future__ import annotations

from ._examples_interferometer import interferometer as interferometer
