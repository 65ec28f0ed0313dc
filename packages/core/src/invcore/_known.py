"""Components of the first-party packages, and the extra of invcore that installs each.

Written by ``python -m invcore.testing._known``; a test compares it with the installed packages.
"""

EXTRAS: dict[str, str] = {
    "invcore-mri": "mri",
    "invcore-tomography": "tomography",
    "invcore-radio": "radio",
    "invcore-lidar": "lidar",
}
"""First-party distribution to extra."""

KNOWN: dict[tuple[str, str], str] = {
    ("dataset", "mri.phantom"): "invcore-mri",
    ("dataset", "tomography.ellipses"): "invcore-tomography",
    ("dataset", "tomography.shepp_logan"): "invcore-tomography",
    ("generator", "mri.mask_equispaced"): "invcore-mri",
    ("generator", "mri.mask_gaussian"): "invcore-mri",
    ("generator", "mri.mask_poisson"): "invcore-mri",
    ("generator", "mri.mask_random"): "invcore-mri",
    ("operator", "mri.fourier"): "invcore-mri",
    ("operator", "mri.sense"): "invcore-mri",
    ("operator", "tomography.astra"): "invcore-tomography",
    ("operator", "tomography.fbp"): "invcore-tomography",
    ("operator", "tomography.lines"): "invcore-tomography",
    ("operator", "tomography.pet"): "invcore-tomography",
    ("operator", "tomography.weighted_xray"): "invcore-tomography",
    ("operator", "tomography.xray"): "invcore-tomography",
    ("prior", "tomography.bounded_tv"): "invcore-tomography",
    ("reader", "mri.cfl"): "invcore-mri",
    ("reader", "mri.fastmri"): "invcore-mri",
    ("reader", "tomography.dicom"): "invcore-tomography",
    ("reader", "tomography.dxchange"): "invcore-tomography",
    ("reader", "tomography.htc"): "invcore-tomography",
    ("reader", "tomography.mat"): "invcore-tomography",
    ("reader", "tomography.mrc"): "invcore-tomography",
    ("reader", "tomography.tiff"): "invcore-tomography",
    ("reader", "tomography.txrm"): "invcore-tomography",
    ("transform", "mri.espirit"): "invcore-mri",
    ("transform", "tomography.beam_hardening"): "invcore-tomography",
    ("transform", "tomography.flat_field"): "invcore-tomography",
    ("transform", "tomography.hounsfield"): "invcore-tomography",
    ("transform", "tomography.minus_log"): "invcore-tomography",
    ("transform", "tomography.pad_truncated"): "invcore-tomography",
    ("transform", "tomography.remove_rings"): "invcore-tomography",
    ("transform", "tomography.remove_zingers"): "invcore-tomography",
}
"""``(kind, name)`` to first-party distribution."""
