"""Every public component is registered, so that ``invcore list`` shows it and the kit tests it."""

import importlib
import inspect
import json
from pathlib import Path

import invcore
from invcore import Denoiser, Fidelity, Noise, Operator, Prior, Reader, Solver

UNREGISTERED = {
    "CompressedSensing": "made by compressed_sensing, which is registered",
    "StructuredRandom": "made by structured_random, which is registered",
    "Physics": "not of a kind: an operator and its noise",
    "ClosureSet": "not of a kind: the triangles of an array",
    "DiffractionFields": "the complex fields of optics.ptychography, which is registered",
    "PupilFields": "the complex fields of optics.fourier_ptychography, which is registered",
    "Geometry": "not of a kind: the views of a scan",
    "RandomCrop": "draws with a generator: no transform(x), no parameter of a physics",
    "Trace": "not of a kind: records what a solver does",
    "randn": "a vector of a space, no parameter",
    "NeuralJKO": "trained anew for each problem, which the kit would do in each of its checks",
    "ProbabilityFlow": "G(x, sigma), the map that diffusion.latino takes",
    "jko_step": "a flow, trained: it draws, but no parameters of a physics",
    "PointProcess": "of the two blocks that lidar.tag_rates makes; the kit's data have one",
}
"""Class to reason."""

SURFACE = json.loads(Path(__file__).with_name("api_surface.json").read_text())


def is_component(found):
    """True for an operator, noise …; for what is called: metrics, transforms, generators; for data sets."""
    if inspect.isfunction(found):  # draws parameters: a generator
        return {"batch", "generator"} <= set(inspect.signature(found).parameters)
    if not inspect.isclass(found) or inspect.isabstract(found) or issubclass(found, tuple):
        return False
    if getattr(found, "_is_protocol", False):
        return False
    if issubclass(found, Denoiser | Fidelity | Noise | Operator | Prior | Reader | Solver):
        return True
    own = {name for base in found.__mro__ if base.__module__.startswith("invcore") for name in vars(base)}
    return (
        "__call__" in own
        or {"__len__", "__getitem__"} <= own
        or ("write" in own and "generator" in inspect.signature(found.write).parameters)
    )


def test_every_public_component_is_registered():
    registered = {component.target.rpartition(":")[2] for component in invcore.components()}
    public = {
        name
        for module, names in SURFACE.items()
        for name in names
        if not module.startswith("invcore.testing")
        and is_component(getattr(importlib.import_module(module), name))
    }
    assert {"TV", "FISTA", "PSNR", "MaskRandom", "FlatField", "SheppLoganScan", "LIDC"} < public
    assert sorted(public - registered) == sorted(UNREGISTERED)
