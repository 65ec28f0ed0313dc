"""The eigenvectors of ESPIRiT: M(r), a trigonometric polynomial of the voxel, and its largest eigenpairs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_PIECE = 32768  # largest number of matrices in one batched eigendecomposition


def coil_polynomial(kernels: Tensor) -> Tensor:
    """Return the coefficients ``(coil, coil, *(2k - 1))`` of M(r), frequencies ``-(k-1) ... k-1``."""
    kernel = kernels.shape[2:]
    axes = tuple(range(-len(kernel), 0))
    size = tuple(2 * k - 1 for k in kernel)
    spectrum = torch.fft.ifftn(kernels, s=size, dim=axes, norm="forward").flatten(2)
    spectrum = spectrum.permute(2, 1, 0)
    matrix = (spectrum @ spectrum.mH).permute(1, 2, 0).reshape(*kernels.shape[1:2] * 2, *size)
    return torch.fft.fftshift(torch.fft.fftn(matrix, dim=axes, norm="forward"), dim=axes) / math.prod(kernel)


def evaluate(poly: Tensor, spatial: tuple[int, ...], places: list[Tensor]) -> Tensor:
    """Evaluate the lower triangle of M(r) at a grid of voxels: ``(*grid, coil, coil)``, zeros above it."""
    coils = len(poly)
    row, column = torch.tril_indices(coils, coils, device=poly.device)
    values = poly[row, column]
    for n, place, size in zip(spatial, places, poly.shape[2:]):
        frequency = torch.arange(size, device=poly.device) - size // 2
        turns = torch.remainder(frequency[:, None] * (place - n // 2), n).to(torch.float64) / n
        wave = torch.polar(torch.ones_like(turns), 2 * math.pi * turns).to(poly.dtype)
        values = torch.tensordot(values, wave, dims=([1], [0]))  # the evaluated axis goes last
    matrix = poly.new_zeros(*values.shape[1:], coils, coils)
    matrix[..., row, column] = values.movedim(0, -1)
    return matrix


def top_eigen(matrix: Tensor, sets: int) -> tuple[Tensor, Tensor]:
    """Return eigenvectors ``(voxel, sets, coil)`` and values ``(voxel, sets)``, largest first."""
    coils = matrix.shape[-1]
    vectors, values = [], []
    for piece in matrix.reshape(-1, coils, coils).split(_PIECE):
        value, vector = torch.linalg.eigh(piece)
        vectors.append(vector[..., -sets:].flip(-1).mT)
        values.append(value[:, -sets:].flip(-1))
    return torch.cat(vectors), torch.cat(values)


def interpolate(vector: Tensor, value: Tensor, steps: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Interpolate unit vectors ``(coil, *nodes)``, known up to a phase, and values, by ``steps`` a cell.

    In each cell the vectors of all corners are rotated to the phase of the first corner, so that the
    arbitrary phase of a node does not reach the result.
    """
    corners: list[tuple[Tensor, Tensor, Tensor]] = []
    spatial_dims = len(steps)
    for index in range(2**spatial_dims):
        corner, corner_value = vector, value
        weight = torch.ones((), dtype=value.dtype, device=value.device)
        for axis, h in enumerate(steps):
            upper = index >> axis & 1 if h > 1 else 0
            if h == 1 and index >> axis & 1:
                break
            count = vector.shape[axis + 1] - (h > 1)
            corner = corner.narrow(axis + 1, upper, count)
            corner_value = corner_value.narrow(axis, upper, count)
            t = torch.arange(h, dtype=value.dtype, device=value.device) / h
            weight = weight[..., None] * (t if upper else 1 - t)
        else:
            corners.append((corner, corner_value, weight.flatten()))
    first = corners[0][0]
    aligned = []
    for corner, _, _ in corners:
        phase = (corner.conj() * first).sum(0)
        aligned.append(corner * (phase / phase.abs().clamp_min(1e-30)))
    weights = torch.stack([w for _, _, w in corners], dim=1)
    fine = weights.to(vector.dtype) @ torch.stack(aligned).flatten(1)
    fine = _interleave(fine.reshape(*steps, *first.shape), spatial_dims)
    fine_value = weights @ torch.stack([v for _, v, _ in corners]).flatten(1)
    fine_value = _interleave(fine_value.reshape(*steps, 1, *first.shape[1:]), spatial_dims)[0]
    norm = torch.linalg.vector_norm(fine, dim=0).clamp_min(1e-30)
    return fine / norm, fine_value


def _interleave(x: Tensor, spatial_dims: int) -> Tensor:
    """Merge ``(h1, ..., hd, coil, c1, ..., cd)`` into ``(coil, c1 * h1, ..., cd * hd)``."""
    order = [spatial_dims]
    for axis in range(spatial_dims):
        order += [spatial_dims + 1 + axis, axis]
    shape = [x.shape[spatial_dims + 1 + axis] * x.shape[axis] for axis in range(spatial_dims)]
    return x.permute(order).reshape(x.shape[spatial_dims], *shape)
