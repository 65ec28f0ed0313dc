"""Reading measurements, writing reconstructions, and the record of how they were made."""

from ._acquisition import Acquisition as Acquisition
from ._acquisition import Output as Output
from ._acquisition import Reader as Reader
from ._atomic import atomic_path as atomic_path
from ._nifti import save_nifti as save_nifti
from ._png import save_png as save_png
from ._provenance import provenance as provenance
from ._read import read as read
from ._store import load_reconstruction as load_reconstruction
from ._store import save_reconstruction as save_reconstruction

__all__ = [
    "Acquisition",
    "Output",
    "Reader",
    "atomic_path",
    "load_reconstruction",
    "provenance",
    "read",
    "save_nifti",
    "save_png",
    "save_reconstruction",
]
