"""The components of invcore-tomography. Text only: listing them imports neither torch nor this package's modules."""

from invcore.plugin import Component, hookimpl, namespace

INVCORE_API_VERSION = 1

tomography = namespace("tomography", "invcore_tomography")

COMPONENTS: tuple[Component, ...] = (
    tomography.operator("xray", "XRay", "Line integrals of an image along the rays of a scan", "linear"),
    tomography.operator("fbp", "FBP", "Filtered backprojection: parallel, fan, cone and helical scans", "linear"),
    tomography.operator("weighted_xray", "WeightedXRay", "Line integrals in units of their noise", "linear"),
    tomography.operator("lines", "LineIntegrals", "Integrals along any line segments, with or without time of flight", "linear"),
    tomography.operator("pet", "PET", "Positron emission tomography: rings, time of flight, list mode", "linear emission"),
    tomography.operator("astra", "AstraXRay", "Line integrals in the plane by the ASTRA toolbox", "linear", requires=("astra",)),
    tomography.prior("bounded_tv", "BoundedTV", "Total variation of images between bounds", "convex"),
    tomography.model("local_voxel", "LocalVoxel", "A network for one voxel, from the data around its shadow in every view"),
    tomography.transform("flat_field", "FlatField", "Transmission from counts, flat and dark fields", "raw"),
    tomography.transform("minus_log", "MinusLog", "Line integrals from transmission, zero counts as stated"),
    tomography.transform("beam_hardening", "BeamHardening", "Polynomial correction of beam hardening"),
    tomography.transform("hounsfield", "Hounsfield", "Attenuation in Hounsfield units"),
    tomography.transform("pad_truncated", "PadTruncated", "Continuation of truncated views"),
    tomography.transform("remove_zingers", "RemoveZingers", "Outliers of single frames removed", "raw"),
    tomography.transform("remove_rings", "RemoveRings", "Stripes of a sinogram removed"),
    tomography.dataset("ellipses", "RandomEllipses", "Images of random ellipses"),
    tomography.dataset("shepp_logan", "SheppLoganScan", "Simulated scan of a head", "demo"),
    tomography.dataset("lodopab", "LoDoPaB", "LoDoPaB-CT: chests, simulated low dose (a folder of HDF5 files)"),
    tomography.dataset("detect", "DeteCT", "2DeteCT: measured fan-beam scans (a folder of TIFFs)", requires=("tifffile",)),
    tomography.dataset("lidc", "LIDC", "LIDC-IDRI: CT volumes of chests (a folder of DICOM slices)", requires=("pydicom",)),
    tomography.reader("dxchange", "DXchangeReader", "DXchange and NXtomo scans (HDF5)", "raw"),
    tomography.reader("tiff", "TiffReader", "TIFF stacks with angles", "raw", requires=("tifffile",)),
    tomography.reader("mrc", "MrcReader", "MRC tilt series", "raw", requires=("mrcfile",)),
    tomography.reader("htc", "HTCReader", "Fan-beam scans of the Helsinki challenge (.mat)", "raw"),
    tomography.reader("mat", "MatReader", "Parallel-beam sinograms in MATLAB files", "raw"),
    tomography.reader("txrm", "TxrmReader", "Zeiss microscopes (.txrm)", "raw", requires=("olefile",)),
    tomography.reader("dicom", "DicomReader", "Reconstructed slices (DICOM)", requires=("pydicom",)),
)


@hookimpl
def invcore_components() -> tuple[Component, ...]:
    """Return the components of this package."""
    return COMPONENTS
