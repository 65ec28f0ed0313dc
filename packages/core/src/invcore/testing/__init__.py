"""What tests need: the conformance kit, and plugins that exist for the duration of a test."""

from ._plugins import temporary_plugin as temporary_plugin

__all__ = ["temporary_plugin"]
