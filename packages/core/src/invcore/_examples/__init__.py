"""Small instances of every registered component, for the conformance kit. One file per kind."""
