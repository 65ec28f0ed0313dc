"""The components of invcore-tomography. Text only: listing them imports neither torch nor this package's modules."""

from invcore.plugin import Component, hookimpl

INVCORE_API_VERSION = 1


def _component(
    kind: str,
    name: str,
    target: str,
    summary: str,
    *,
    requires: tuple[str, ...] = (),
    tags: tuple[str, ...] = (),
) -> Component:
    return Component(
        kind,
        f"tomography.{name}",
        f"invcore_tomography:{target}",
        summary=summary,
        requires=requires,
        examples=f"invcore_tomography._examples:{name}",
        tags=("tomography", *tags),
    )


COMPONENTS: tuple[Component, ...] = (
    _component(
        "operator", "xray", "XRay", "Line integrals of an image along the rays of a scan", tags=("linear",)
    ),
    _component(
        "operator",
        "fbp",
        "FBP",
        "Filtered backprojection: parallel, fan, cone and helical scans",
        tags=("linear",),
    ),
    _component(
        "operator",
        "weighted_xray",
        "WeightedXRay",
        "Line integrals in units of their noise",
        tags=("linear",),
    ),
    _component(
        "operator",
        "lines",
        "LineIntegrals",
        "Integrals along any line segments, with or without time of flight",
        tags=("linear",),
    ),
    _component(
        "operator",
        "pet",
        "PET",
        "Positron emission tomography: rings, time of flight, list mode",
        tags=("linear", "emission"),
    ),
    _component(
        "operator",
        "astra",
        "AstraXRay",
        "Line integrals in the plane by the ASTRA toolbox",
        requires=("astra",),
        tags=("linear",),
    ),
    _component(
        "prior", "bounded_tv", "BoundedTV", "Total variation of images between bounds", tags=("convex",)
    ),
    _component(
        "transform",
        "flat_field",
        "FlatField",
        "Transmission from counts, flat and dark fields",
        tags=("raw",),
    ),
    _component(
        "transform", "minus_log", "MinusLog", "Line integrals from transmission, zero counts as stated"
    ),
    _component("transform", "beam_hardening", "BeamHardening", "Polynomial correction of beam hardening"),
    _component("transform", "hounsfield", "Hounsfield", "Attenuation in Hounsfield units"),
    _component("transform", "pad_truncated", "PadTruncated", "Continuation of truncated views"),
    _component(
        "transform", "remove_zingers", "RemoveZingers", "Outliers of single frames removed", tags=("raw",)
    ),
    _component("transform", "remove_rings", "RemoveRings", "Stripes of a sinogram removed"),
    _component("dataset", "ellipses", "RandomEllipses", "Images of random ellipses"),
    _component("dataset", "shepp_logan", "SheppLoganScan", "Simulated scan of a head", tags=("demo",)),
    _component("reader", "dxchange", "DXchangeReader", "DXchange and NXtomo scans (HDF5)", tags=("raw",)),
    _component(
        "reader", "tiff", "TiffReader", "TIFF stacks with angles", requires=("tifffile",), tags=("raw",)
    ),
    _component("reader", "mrc", "MrcReader", "MRC tilt series", requires=("mrcfile",), tags=("raw",)),
    _component(
        "reader", "htc", "HTCReader", "Fan-beam scans of the Helsinki challenge (.mat)", tags=("raw",)
    ),
    _component("reader", "mat", "MatReader", "Parallel-beam sinograms in MATLAB files", tags=("raw",)),
    _component(
        "reader", "txrm", "TxrmReader", "Zeiss microscopes (.txrm)", requires=("olefile",), tags=("raw",)
    ),
    _component("reader", "dicom", "DicomReader", "Reconstructed slices (DICOM)", requires=("pydicom",)),
)


@hookimpl
def invcore_components() -> tuple[Component, ...]:
    """Return the components of this package."""
    return COMPONENTS
