"""Parallel- and fan-beam X-ray transforms of a 512 x 512 image and their adjoints, against ASTRA's CPU
projectors, deepinv and scikit-image.

The error of a projection is relative to the exact line integrals of the phantom (averages over the pixels are
projected); the error of an adjoint is the gap |<Ax, y> - <x, A'y>| / (|Ax| |y|) for random x and y. ASTRA is
timed without creating its data, also with its views split over Python threads. deepinv and scikit-image
rotate about a point half a pixel off the middle, and are compared with the integrals for that. The time to
compile our kernels at the first call, and to load them from the cache at later ones, is printed first.
"""

import math
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import _timing  # first: pins the threads
import numpy as np
import torch
from _timing import Contestant, available, race

from invcore_tomography import Grid, XRay, fan, parallel, shepp_logan, to_astra

N, BATCH = 512, 8
PITCH = 2 / N
GRID = Grid(shape=(N, N), spacing=(PITCH, PITCH))

FIRST = """
import time, torch, invcore_tomography as tomography
geometry = tomography.{geometry}
A = tomography.XRay(geometry=geometry)
for word in ("first", "second"):
    start = time.perf_counter()
    y = A(torch.ones(1, 64, 64))
    middle = time.perf_counter()
    A.H(y)
    end = time.perf_counter()
    print(f"{{word}} call {{middle - start:6.2f}} s forward, {{end - middle:6.2f}} s adjoint", end="; ")
"""


def first_calls():
    """Compilation, in fresh processes with an empty and a filled cache."""
    for name, geometry in (
        ("parallel", "parallel(30, columns=91, grid=(64, 64))"),
        ("fan", "fan(30, columns=91, source_distance=200.0, detector_distance=200.0, grid=(64, 64))"),
    ):
        with tempfile.TemporaryDirectory() as folder:
            for state in ("empty", "filled"):
                environment = os.environ | {"NUMBA_CACHE_DIR": folder}
                code = FIRST.format(geometry=geometry)
                done = subprocess.run(
                    [sys.executable, "-c", code], env=environment, capture_output=True, text=True
                )
                print(f"{name:9} {state} cache: {done.stdout or done.stderr}")


def relative(truth):
    truth = torch.as_tensor(truth)

    def error(y):
        y = torch.as_tensor(y).reshape(-1, *truth.shape)[0]
        return float((y - truth).norm() / truth.norm())

    return error


def gap(forward, x, y):
    """Error of an adjoint: ``forward`` is its counterpart."""
    Ax = torch.as_tensor(forward(x)).double().flatten()

    def error(image):
        image = torch.as_tensor(image).double().flatten()
        difference = Ax @ y.double().flatten() - x.double().flatten() @ image
        return float(difference.abs() / Ax.norm() / y.double().norm())

    return error


class Astra:
    """ASTRA's projector on the CPU, its views cut into one part a thread."""

    def __init__(self, geometry, kind, threads):
        import astra

        self.astra, self.pool = astra, ThreadPoolExecutor(threads, initializer=_timing.unpin)
        projection, self.volume = to_astra(geometry)
        self.parts = []
        for vectors in np.array_split(projection["Vectors"], threads):
            part = dict(projection, Vectors=vectors)
            projector = astra.create_projector(kind, part, self.volume)
            image, sino = astra.data2d.create("-vol", self.volume), astra.data2d.create("-sino", part)
            runs = []
            for name in ("FP", "BP"):
                settings = astra.astra_dict(name)
                settings["ProjectorId"], settings["ProjectionDataId"] = projector, sino
                settings["VolumeDataId" if name == "FP" else "ReconstructionDataId"] = image
                runs.append(astra.algorithm.create(settings))
            self.parts.append((image, sino, *runs))

    def forward(self, x=None):
        """Project what was stored, or x."""
        data = self.astra.data2d
        if x is not None:
            for part in self.parts:
                data.store(part[0], x.reshape(N, N).numpy())
        list(self.pool.map(lambda part: self.astra.algorithm.run(part[2]), self.parts))
        return np.concatenate([data.get_shared(part[1]) for part in self.parts])

    def adjoint(self, y=None):
        data = self.astra.data2d
        if y is not None:
            rows = np.array_split(y.reshape(-1, y.shape[-1]).numpy(), len(self.parts))
            for part, piece in zip(self.parts, rows):
                data.store(part[1], piece)
        list(self.pool.map(lambda part: self.astra.algorithm.run(part[3]), self.parts))
        images = [data.get_shared(part[0]) for part in self.parts]
        return sum(images[1:], images[0])


def astra_contestants(geometry, kind, x, y, error):
    out = ([], [])
    if available("astra"):
        for threads in sorted({1, _timing.THREADS}):
            one, other = (Astra(geometry, kind, threads) for _ in range(2))
            check = gap(Astra(geometry, kind, 1).forward, x, y)
            one.forward(x)
            other.adjoint(y)
            name = f"ASTRA {kind.split('_')[0]}, {threads} thread{'s' * (threads > 1)}"
            out[0].append(Contestant(name, one.forward, error))
            out[1].append(Contestant(name, other.adjoint, check))
    return out


def probes(geometry, image):
    g = torch.Generator().manual_seed(0)
    return torch.randn(image.shape, generator=g), torch.randn(
        1, geometry.views, geometry.columns, generator=g
    )


@torch.no_grad()
def parallel_beam(views=180, columns=729):
    """Ours also on a batch, whose time is to be divided by its size."""
    geometry = parallel(views, columns=columns, pitch=PITCH, grid=GRID)
    phantom = shepp_logan()
    image = phantom.rasterize(geometry.grid, samples=8).float()
    A = XRay(geometry)
    error = relative(phantom.project(geometry)[0])
    x, y = probes(geometry, image)
    forward = [Contestant("invcore", lambda: A(image), error)]
    adjoint = [Contestant("invcore", lambda: A.H(y), gap(A, x, y))]
    for mine, theirs in zip((forward, adjoint), astra_contestants(geometry, "linear", image, y, error)):
        mine += theirs
    images, sinos = image.expand(BATCH, 1, N, N).contiguous(), y.expand(BATCH, *y.shape).contiguous()
    forward.append(Contestant(f"invcore, {BATCH} images", lambda: A(images), error))
    adjoint.append(Contestant(f"invcore, {BATCH} images", lambda: A.H(sinos), lambda b: gap(A, x, y)(b[0])))

    # about their point of rotation, 725 columns
    angles = geometry.u / geometry.u.norm(dim=-1, keepdim=True)
    along = torch.stack([-angles[:, 1], angles[:, 0]], -1)
    s = (torch.arange(725) - 362) * PITCH
    origin = 0.5 * PITCH + s[:, None] * angles[:, None]
    truth = phantom.line_integrals(origin, along[:, None].expand_as(origin)).reshape(views, 725)
    degrees = -torch.arange(views) * 180 / views
    if available("deepinv"):
        from deepinv.physics import Tomography

        B = Tomography(angles=degrees, img_width=N, normalize=False)
        sino = torch.randn(1, 1, 725, views, generator=torch.Generator().manual_seed(1))
        theirs = relative(truth.T / PITCH)
        forward.append(Contestant("deepinv", lambda: B.A(image[None]), theirs))
        adjoint.append(Contestant("deepinv", lambda: B.A_adjoint(sino), gap(B.A, x[None], sino)))
    if available("skimage"):
        from skimage.transform import radon

        array, theta = image[0].numpy(), degrees.numpy()
        work = lambda: radon(array, theta, circle=False)
        forward.append(Contestant("scikit-image radon", work, relative(truth.T / PITCH)))
    race(f"parallel beam, {N} x {N}, {views} views, {columns} columns: forward", forward, rounds=11)
    race("its adjoint", adjoint, rounds=11)


@torch.no_grad()
def fan_beam(views=360, columns=729):
    """A flat detector, magnification 2."""
    geometry = fan(
        2 * math.pi / views * torch.arange(views),
        columns=columns,
        pitch=2 * PITCH,
        source_distance=4.0,
        detector_distance=4.0,
        grid=GRID,
    )
    phantom = shepp_logan()
    image = phantom.rasterize(geometry.grid, samples=8).float()
    A = XRay(geometry)
    error = relative(phantom.project(geometry)[0])
    x, y = probes(geometry, image)
    forward = [Contestant("invcore", lambda: A(image), error)]
    adjoint = [Contestant("invcore", lambda: A.H(y), gap(A, x, y))]
    for mine, theirs in zip((forward, adjoint), astra_contestants(geometry, "line_fanflat", image, y, error)):
        mine += theirs
    race(f"fan beam, {N} x {N}, {views} views, {columns} columns: forward", forward, rounds=11)
    race("its adjoint", adjoint, rounds=11)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {_timing.THREADS} threads")
    first_calls()
    parallel_beam()
    fan_beam()
