"""Small instances of the microscopes, for the conformance kit. The first of each is tiny."""

from __future__ import annotations

import torch

from invcore import Physics, Space, stack
from invcore.noises import PoissonNoise
from invcore.operators import Matrix
from invcore.testing import SolverExample

from .._microscopy.curves import Curves
from .._microscopy.frap import Frap
from .._microscopy.halves import IndependentRichardsonLucy
from .._microscopy.illumination import StructuredIllumination
from .._microscopy.membranes import MeshFluorescence
from .._microscopy.patterns import SimPatterns
from .._microscopy.raman import CompressiveRaman
from .._microscopy.reassignment import PixelReassignment
from .._microscopy.scanning import ImageScanning, detector_grid
from .._microscopy.speckle import SpeckleStatistics, SpeckleVariance
from .._microscopy.spifi import Spifi
from .._microscopy.stars import FieldPSF
from .._microscopy.variance_matching import VarianceMatching
from .._pupils.objective import Objective
from .._pupils.pupil_psf import PupilPSF


def _random(*shape: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(sum(shape))
    return torch.rand(*shape, generator=g, dtype=torch.float64)


def sim() -> dict[str, object]:
    """Return fringes of one and three orientations, odd sizes, a kernel beyond the image, two samples."""
    return {
        "tiny": StructuredIllumination(
            psf=_random(3, 2),
            wave_vectors=_random(1, 2) / 2,
            phases=_random(1, 3),
            modulation=_random(1, 1),
            shape=(2, 3),
        ),
        "camera pixels, odd": StructuredIllumination(
            psf=_random(7, 4),
            wave_vectors=_random(2, 2) / 8,
            phases=_random(2, 1),
            modulation=_random(2, 1),
            shape=(3, 5),
            zoom=1,
        ),
        "three orientations": StructuredIllumination(
            psf=_random(4, 4) / 16,
            wave_vectors=_random(3, 2) / 8,
            phases=6 * _random(3, 3),
            modulation=_random(3, 3),
            shape=(3, 2),
            zoom=3,
        ),
        "two samples": StructuredIllumination(
            psf=_random(2, 3, 3) / 9,
            wave_vectors=_random(2, 1, 2) / 2,
            phases=_random(2, 1, 3),
            modulation=_random(1, 1),
            shape=(4, 4),
        ),
    }


def sim_patterns() -> dict[str, object]:
    """Return the estimate for one orientation, without and with evenly spaced phases."""
    objective = Objective(520e-9, 1.2, index=1.33)
    return {
        "tiny": SimPatterns(objective, 65e-9, orientations=1, candidates=2),
        "evenly spaced": SimPatterns(objective, 65e-9, orientations=1, candidates=1, evenly_spaced=True),
    }


def ism() -> dict[str, object]:
    """Return one and two planes, odd sizes, a kernel beyond the image, kernels for each sample."""
    return {
        "tiny": ImageScanning(_random(3, 1, 2, 3), shape=(3, 4)),
        "two planes, odd": ImageScanning(_random(4, 2, 3, 9), shape=(5, 7)),
        "two samples": ImageScanning(_random(2, 2, 1, 3, 3), shape=(4, 3)),
    }


def pixel_reassignment() -> dict[str, object]:
    """Return registration of each image alone, and by one similarity."""
    line = detector_grid(3, 1.0)[:3]
    return {
        "tiny": PixelReassignment(band=0.3),
        "similarity": PixelReassignment(positions=line, center=1, band=0.3),
    }


def independent_richardson_lucy() -> dict[str, object]:
    """Return two halves and three unequal parts of counts."""
    A = Matrix(0.1 * _random(5, 3) + torch.eye(5, 3, dtype=torch.float64))
    x = 2 + 3 * _random(3)

    def example(shares: tuple[float, ...], weight: float) -> SolverExample:
        parts = stack([share * A for share in shares])
        y = tuple(part * (1 + 0.2 * _random(5).roll(k)) for k, part in enumerate(parts(x)))
        solver = IndependentRichardsonLucy(weight=weight, max_steps=100)
        return SolverExample(solver, Physics(parts, PoissonNoise()), y)

    return {"tiny": example((0.5, 0.5), 0.02), "three parts": example((0.2, 0.5, 0.3), 0.01)}


def compressive_raman() -> dict[str, object]:
    """Return equal dwell times, and given ones."""
    return {
        "tiny": CompressiveRaman(filters=_random(2, 4), spectra=_random(2, 4), shape=(1, 2)),
        "more filters": CompressiveRaman(
            filters=_random(4, 5), spectra=_random(3, 5), shape=(3, 2), dwell=_random(4)
        ),
    }


def spifi() -> dict[str, object]:
    """Return lines of even and odd length."""
    return {"tiny": Spifi(Space((1, 1, 4))), "odd": Spifi(Space((2, 3, 5)))}


def frap() -> dict[str, object]:
    """Return a slab, and a droplet in a cell."""
    inside = torch.zeros(4, 5, dtype=torch.bool)
    inside[1:3, 1:4] = True
    cell = torch.ones(4, 5, dtype=torch.bool)
    cell[0, 0] = False
    return {
        "tiny": Frap(
            inside=torch.tensor([True, True, True, False]),
            bleach=_random(4),
            times=torch.tensor([0.0, 0.3]),
            pixel=1.0,
            substeps=1,
        ),
        "droplet": Frap(
            inside=inside,
            cell=cell,
            bleach=_random(4, 5),
            times=torch.tensor([0.1, 0.4]),
            pixel=1.0,
            substeps=2,
        ),
    }


def speckle_statistics() -> dict[str, object]:
    """Return the moments of counts, and of images without noise."""
    return {"tiny": SpeckleStatistics(), "camera": SpeckleStatistics(gain=0.0, read_noise=0.1)}


def speckle_variance() -> dict[str, object]:
    """Return the operator: kernels given, eigenvectors, modes."""
    return {
        "tiny": SpeckleVariance(kernels=_random(2, 2, 3), weights=_random(2), shape=(3, 4)),
        "eigenvectors": SpeckleVariance.of(psf=_random(3, 3) / 9, cutoff=0.3, shape=(5, 7), share=0.9),
        "modes": SpeckleVariance.of(psf=_random(3, 2) / 6, cutoff=0.3, shape=(5, 4), method="modes"),
    }


def rim_variance() -> dict[str, object]:
    """Return variance matching of a small image."""
    kernels = torch.tensor([[[1.0, 0.2]], [[0.3, -0.2]]], dtype=torch.float64)
    weights = torch.tensor([1.0, 0.5], dtype=torch.float64)
    A = SpeckleVariance(kernels=kernels, weights=weights, shape=(2, 3))
    solver = VarianceMatching(max_steps=25, rtol=1e-5)
    return {"tiny": SolverExample(solver, Physics(A), A(1 + _random(1, 2, 3)))}


def mesh_fluorescence() -> dict[str, object]:
    """Return a membrane of two triangles, and a solid tetrahedron with densities."""
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    return {
        "tiny": MeshFluorescence(
            triangles=torch.tensor([[0, 1, 2], [0, 2, 3]]),
            transfer=torch.ones(2, 2, 3, dtype=torch.float64),
            vertices=4,
            voxel=(1.0, 2.0, 1.5),
        ),
        "solid": MeshFluorescence(
            triangles=faces,
            transfer=_random(2, 3, 4) + torch.ones(2, 3, 4, dtype=torch.float64),
            vertices=4,
            voxel=(3.0, 3.0, 3.0),
            kind="solid",
            density=1 + _random(4),
        ),
    }


def field_psf() -> dict[str, object]:
    """Return one wavelength, and two of them with spectra, for wavefronts of some meters."""

    def pupil(wavelength: float) -> PupilPSF:
        objective = Objective(wavelength, 0.5)
        return PupilPSF(objective=objective, pixel=10.0, shape=(4, 5), modes=(4, 7), samples=10)

    return {
        "tiny": FieldPSF(
            pupils=(pupil(40.0),), positions=_random(2, 2), spectra=torch.ones(1, 1).double(), degree=1
        ),
        "two colors": FieldPSF(
            pupils=(pupil(40.0), pupil(50.0)), positions=_random(3, 2), spectra=_random(3, 2), degree=2
        ),
    }


def curves() -> dict[str, object]:
    """Return a line and three polylines."""
    return {
        "tiny": Curves((2, 3), curves=1, vertices=2, sigma=1.5),
        "three": Curves((5, 4), curves=3, vertices=4, sigma=torch.tensor(1.2, dtype=torch.float64)),
    }
