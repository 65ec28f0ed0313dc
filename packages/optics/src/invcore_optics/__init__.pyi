__version__: str
from ._blurs.space_varying import SpaceVaryingBlur as SpaceVaryingBlur
