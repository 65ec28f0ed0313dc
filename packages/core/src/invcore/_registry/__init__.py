"""The registry: plugins, what they register, lookup by name, hints for names that are not found."""
