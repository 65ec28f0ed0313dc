"""Cone-beam projection, its adjoint and FDK: 128³ voxels, a detector of 192² pixels, 180 views, against
ITK-RTK.

The error of a projection is relative to the exact line integrals of the phantom (averages over the voxels are
projected); the error of an adjoint is the gap |<Ax, y> - <x, A'y>| / (|Ax| |y|) for random x and y; that of
FDK is relative to a smooth phantom, in the middle plane inside the field of view. The time to compile our
kernels at the first call, and to load them from the cache at later ones, is printed first. RTK's volumes turn
about their second axis; the arrays are brought into that order before the clock starts.
"""

import os
import subprocess
import sys
import tempfile

import _timing  # first: pins the threads
import numpy as np
import torch
from _timing import Contestant, available, race

from invcore_tomography import FBP, Grid, XRay, cone, ellipsoids, shepp_logan

N, DETECTOR, VIEWS = 128, 192, 180
SOURCE, TO_DETECTOR = 4.0, 2.0
VOXEL = 2 / N
PITCH = 1.02 * VOXEL * (SOURCE + TO_DETECTOR) / SOURCE * N / DETECTOR * 1.15
GEOMETRY = cone(
    VIEWS,
    source_distance=SOURCE,
    detector_distance=TO_DETECTOR,
    rows=DETECTOR,
    columns=DETECTOR,
    pitch=PITCH,
    grid=Grid(shape=(N, N, N), spacing=VOXEL),
)

FIRST = """
import time, torch, invcore_tomography as t
geometry = t.cone(4, source_distance=4.0, detector_distance=2.0, rows=8, columns=8, pitch=0.5, grid=(8, 8, 8))
A, R = t.XRay(geometry=geometry), t.FBP(geometry=geometry)
for word in ("first", "second"):
    print(word, "call", end=" ")
    y = A(torch.zeros(1, 8, 8, 8)) if word == "second" else torch.zeros(1, 4, 8, 8)
    forward = lambda: A(torch.ones(1, 8, 8, 8))
    for name, work in (("forward", forward), ("adjoint", lambda: A.H(y)), ("FDK", lambda: R(y))):
        start = time.perf_counter()
        work()
        print(f"{time.perf_counter() - start:.2f} s {name}", end=", ")
"""


def first_calls():
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        for state in ("to compile", "from the cache"):
            done = subprocess.run(
                [sys.executable, "-c", FIRST], env=environment, capture_output=True, text=True
            )
            print(f"{state}: {done.stdout.strip(', ')}{done.stderr[-300:]}")


class Rtk:
    """ITK-RTK's projectors on arrays in RTK's order."""

    def __init__(self):
        import itk
        from itk import RTK

        itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(_timing.THREADS)
        itk.MultiThreaderBase.SetGlobalMaximumNumberOfThreads(_timing.THREADS)
        self.itk, self.rtk = itk, RTK
        self.image = itk.Image[itk.F, 3]
        self.geometry = RTK.ThreeDCircularProjectionGeometry.New()
        for k in range(VIEWS):
            self.geometry.AddProjection(SOURCE, SOURCE + TO_DETECTOR, k * 360 / VIEWS)

    def placed(self, array, spacing):
        image = self.itk.image_from_array(array)  # a copy: the filter does not keep the array alive
        spacing = [spacing] * 3 if array.shape[0] == N else [spacing, spacing, 1.0]
        image.SetSpacing(spacing)
        sizes = array.shape[::-1]
        origin = [-(n - 1) / 2 * s for n, s in zip(sizes, spacing)]
        image.SetOrigin(origin if array.shape[0] == N else [*origin[:2], 0.0])
        return image

    def volume(self, array):
        return self.placed(np.ascontiguousarray(array[:, ::-1].transpose(1, 0, 2)), VOXEL)

    def projections(self, array):
        return self.placed(np.ascontiguousarray(array), PITCH)

    def back(self, image):
        array = self.itk.array_view_from_image(image)
        return torch.from_numpy(array.transpose(1, 0, 2)[:, ::-1].copy())[None]

    def run(self, name, first, second):
        template = getattr(self.rtk, name)
        kinds = (self.image,) if name.startswith("FDK") else (self.image, self.image)
        filter = template[kinds].New()
        filter.SetInput(0, first)
        filter.SetInput(1, second)
        filter.SetGeometry(self.geometry)

        def work():
            filter.Modified()
            if name.startswith("FDK"):
                filter.GetRampFilter().Modified()
            filter.UpdateLargestPossibleRegion()
            return filter.GetOutput()

        filter.InPlaceOff()
        return work


def relative(truth, mask=1.0):
    return lambda x: float(((x - truth) * mask).norm() / (truth * mask).norm())


@torch.no_grad()
def main():
    first_calls()
    A, R = XRay(GEOMETRY), FBP(GEOMETRY)
    head = shepp_logan(spatial_dims=3)
    x, truth = head.rasterize(GEOMETRY.grid, samples=4).float(), head.project(GEOMETRY).float()
    smooth = ellipsoids(
        center=[(0.1, 0.05, 0.0), (-0.2, 0.1, 0.05)],
        axes=[(0.15, 0.1, 0.1), (0.1, 0.08, 0.1)],
        density=[1.0, 0.7],
        profile="gaussian",
    )
    balls, data = smooth.rasterize(GEOMETRY.grid).float(), smooth.project(GEOMETRY).float()
    c = GEOMETRY.grid.coordinates(-1)
    middle = torch.zeros(N, N, N)
    middle[N // 2] = (c[:, None] ** 2 + c**2 < 0.9**2).float()
    generator = torch.Generator().manual_seed(0)
    y, z = torch.randn(truth.shape, generator=generator), torch.randn(x.shape, generator=generator)

    def gap(forward):
        ahead = forward(z).double()
        return lambda back: float(
            abs((ahead * y).sum() - (z.double() * back).sum()) / (ahead.norm() * y.norm())
        )

    forward = [Contestant("invcore", lambda: A(x), relative(truth))]
    adjoint = [Contestant("invcore", lambda: A.H(y), gap(A))]
    inverse = [Contestant("invcore FDK", lambda: R(data), relative(balls, middle))]
    _timing.unpin()  # RTK's threads are made when it is imported
    if available("itk"):
        rtk = Rtk()
        view, array = rtk.itk.array_view_from_image, lambda t: t[0].numpy()
        empty, none = np.zeros((VIEWS, DETECTOR, DETECTOR), np.float32), np.zeros((N, N, N), np.float32)

        def projected(t):
            work = rtk.run("JosephForwardProjectionImageFilter", rtk.projections(empty), rtk.volume(array(t)))
            return torch.from_numpy(view(work()).copy())[None]

        ahead = rtk.run("JosephForwardProjectionImageFilter", rtk.projections(empty), rtk.volume(array(x)))
        behind = rtk.run("JosephBackProjectionImageFilter", rtk.volume(none), rtk.projections(array(y)))
        fdk = rtk.run("FDKConeBeamReconstructionFilter", rtk.volume(none), rtk.projections(array(data)))
        check, match = relative(truth), gap(projected)
        forward.append(
            Contestant("RTK Joseph", ahead, lambda i: check(torch.from_numpy(view(i).copy())[None]))
        )
        adjoint.append(Contestant("RTK Joseph back", behind, lambda i: match(rtk.back(i).double())))
        inverse.append(Contestant("RTK FDK", fdk, lambda i: relative(balls, middle)(rtk.back(i))))
    title = f"{N}³ voxels, {DETECTOR}² pixels, {VIEWS} views"
    race(f"Cone-beam A, {title}", forward, rounds=5)
    race(f"Cone-beam A.H, {title}", adjoint, rounds=5)
    race(f"FDK, {title}", inverse, rounds=5)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {_timing.THREADS} threads")
    main()
