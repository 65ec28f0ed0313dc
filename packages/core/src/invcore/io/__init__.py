"""Reading measurements, writing reconstructions, and the record of how they were made."""

from .._files.atomic import atomic_path as atomic_path
from .._files.damage import damage as damage
from .._files.hdf5 import is_hdf5 as is_hdf5
from .._files.hdf5 import open_hdf5 as open_hdf5
from .._files.hdf5 import own_dataset as own_dataset
from .._files.hdf5 import own_node as own_node
from .._files.hdf5 import own_text as own_text
from .._files.hdf5 import own_values as own_values
from .._files.hdf5_write import write_hdf5 as write_hdf5
from .._files.matlab import MatlabVariable as MatlabVariable
from .._files.matlab import matlab_variables as matlab_variables
from .._files.memory import room_for as room_for
from .._files.regular import is_regular_file as is_regular_file
from .._files.regular import regular_file as regular_file
from .._files.tiff import check_tiff as check_tiff
from .._files.tiff import is_tiff as is_tiff
from ._acquisition import Acquisition as Acquisition
from ._acquisition import NearMiss as NearMiss
from ._acquisition import Output as Output
from ._acquisition import Reader as Reader
from ._dicom import save_dicom as save_dicom
from ._image import load_image as load_image
from ._nifti import save_nifti as save_nifti
from ._placement import Placement as Placement
from ._png import save_png as save_png
from ._provenance import provenance as provenance
from ._read import read as read
from ._store import load_reconstruction as load_reconstruction
from ._store import save_reconstruction as save_reconstruction

__all__ = [
    "Acquisition",
    "MatlabVariable",
    "NearMiss",
    "Output",
    "Placement",
    "Reader",
    "atomic_path",
    "check_tiff",
    "damage",
    "is_hdf5",
    "is_regular_file",
    "is_tiff",
    "load_image",
    "load_reconstruction",
    "matlab_variables",
    "open_hdf5",
    "own_dataset",
    "own_node",
    "own_text",
    "own_values",
    "provenance",
    "read",
    "regular_file",
    "room_for",
    "save_dicom",
    "save_nifti",
    "save_png",
    "save_reconstruction",
    "write_hdf5",
]
