from ._grid import Grid as Grid

__version__: str
