"""Högbom's CLEAN: 1,000 components of a 512 x 512 image with its whole beam, against a plain one in numpy.

Both do the same work, a beam as large as needed to cover the image from any pixel of it, and find the same
components; the error is the largest difference of the residual images over the peak of the dirty one.
"""

import math

import _timing  # first: pins the threads
import numpy as np
import torch
from _timing import Contestant, race

from invcore_radio import Interferometer, hogbom, vla

N, COUNT, GAIN = 512, 1000, 0.1


def observation():
    """Dirty image and beam of 200 points and a lump, with noise."""
    vis = vla("B").observe(hour_angles=(-3.0, 3.0), interval=600.0)
    pixel = vis.resolution() / 3
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(1, N, N, dtype=torch.float64)
    where = torch.randint(N // 8, 7 * N // 8, (2, 200), generator=generator)
    x[0, where[0], where[1]] = torch.rand(200, generator=generator, dtype=torch.float64) + 0.1
    at = torch.arange(N) - N / 3
    x += 0.05 * torch.exp(-(at[:, None] ** 2 + at**2) / (2 * 6.0**2))

    def operator(n):
        return Interferometer(
            uvw=vis.uvw, frequencies=vis.frequencies, shape=(n, n), pixel=pixel, w_term=False
        )

    y = operator(N)(x)
    y = y + 0.05 * torch.view_as_complex(torch.randn(*y.shape, 2, generator=generator, dtype=torch.float64))
    dirty = operator(N).H(y)[0] / y.numel()
    beam = operator(2 * N).H(torch.ones_like(y))[0, 1:, 1:] / y.numel()
    return dirty, beam


def plain(dirty, beam):
    """As in textbooks."""
    residual, found = dirty.copy(), []
    gain = dirty.dtype.type(GAIN)
    for _ in range(COUNT):
        i, j = np.unravel_index(np.argmax(np.abs(residual)), residual.shape)
        flux = gain * residual[i, j]
        found.append((i, j, flux))
        residual -= flux * beam[N - 1 - i : 2 * N - 1 - i, N - 1 - j : 2 * N - 1 - j]
    return residual, found


def main(dtype):
    dirty, beam = (t.to(dtype) for t in observation())
    reference, components = plain(dirty.numpy(), beam.numpy())
    peak = float(dirty.abs().max())

    def ours():
        return hogbom(dirty, beam, gain=GAIN, iterations=COUNT)

    found = ours()
    same = found.positions.tolist() == [[i, j] for i, j, _ in components]
    off = max(abs(float(a) - float(f[2])) for a, f in zip(found.fluxes, components, strict=True))
    print(f"\nsame {COUNT} positions: {same}; fluxes differ by at most {off / peak:.1e} of the peak")
    race(
        f"Högbom's CLEAN, {COUNT} components, {N} x {N}, {str(dtype).removeprefix('torch.')}",
        [
            Contestant("invcore", ours, lambda r: float(np.abs(r.residual.numpy() - reference).max()) / peak),
            Contestant(
                "plain numpy",
                lambda: plain(dirty.numpy(), beam.numpy()),
                lambda r: float(np.abs(r[0] - reference).max()) / peak,
            ),
        ],
        rounds=7,
    )
    assert same and not math.isnan(off)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, numpy {np.__version__}, {_timing.THREADS} threads")
    for dtype in (torch.float32, torch.float64):
        main(dtype)
