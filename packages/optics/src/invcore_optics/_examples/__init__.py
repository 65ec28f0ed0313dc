"""Small instances of every component, for the conformance kit: the first of each is tiny."""
