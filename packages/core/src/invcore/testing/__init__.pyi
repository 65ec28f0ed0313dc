from ._plugins import temporary_plugin as temporary_plugin
