from . import plugin as plugin

__version__: str
