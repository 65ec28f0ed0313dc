"""Small instances of every registered component, for the conformance kit. The first of each is tiny."""

from __future__ import annotations
