"""Visibilities of a 256 x 256 image and back: ours against the bare calls to ducc0 and finufft, and against
deepinv.

Errors are relative to the sum over pixels in double precision: of the forward transform at 2000 of the
visibilities, of the adjoint at 400 of the pixels. deepinv has no w-term; its orthonormal factor is taken out.
finufft and deepinv are given complex images and points in their own units, prepared beforehand. The overhead
is the median over rounds of our time divided by that of the bare call beside it.
"""

import _timing  # first: pins the threads
import numpy as np
import torch
from _timing import THREADS, Contestant, available, race

from invcore_radio import Interferometer, direct_transform, direction_cosines

N, ROWS = 256, 102_400
NU, C = 1.4e9, 299_792_458.0


def problem(*, wide, channels=1):
    """Random baselines of an array that resolves the pixels, in a narrow or in a wide field."""
    g = torch.Generator().manual_seed(0)
    pixel = 2e-4 if wide else 1e-6
    uvw = (2 * torch.rand(ROWS // channels, 3, generator=g, dtype=torch.float64) - 1) * 0.45 / pixel * C / NU
    uvw[:, 2] *= 0.2
    frequencies = NU * torch.linspace(1.0, 1.05, channels, dtype=torch.float64)
    return uvw, frequencies, pixel, torch.randn(1, N, N, generator=g, dtype=torch.float64)


def forward_error(truth, rows):
    def error(y):
        y = torch.as_tensor(y).reshape(len(rows[1]), -1)[rows[0]]
        return float((y - truth).norm() / truth.norm())

    return error


def adjoint_error(y, uvw, frequencies, pixel, wide):
    """The sum over visibilities at 400 pixels."""
    g = torch.Generator().manual_seed(1)
    row, column = torch.randint(N, (2, 400), generator=g)
    l, m, n = direction_cosines((N, N), pixel)
    path = uvw[:, :2] @ torch.stack([l[column], m[row, 0]])
    if wide:
        path = path + uvw[:, 2:] * n[row, column]
    truth = torch.zeros(400, dtype=torch.float64)
    for f, nu in enumerate(frequencies):
        truth += (torch.polar(torch.ones_like(path), 2 * torch.pi * nu / C * path) * y[:, f, None]).real.sum(
            0
        )

    def error(image):
        image = torch.as_tensor(image).reshape(N, N)[row, column]
        return float((image.real - truth).norm() / truth.norm())

    return error


def paired(title, ours, bare, peers):
    """A race against the bare calls, with the overhead over each, and one against the peers, whose idle
    threads would disturb it."""

    def us():
        return Contestant("invcore", *ours)

    first = [us(), *bare]
    race(title, first)
    for other in first[1:]:
        shares = [a / b for a, b in zip(first[0].times, other.times)]
        print(f"  overhead over {other.name}: {100 * (float(np.median(shares)) - 1):+.1f} %")
    if peers:
        race(title, [us(), *peers], rounds=10)


def compare(accuracy, dtype, *, wide, channels=1):
    uvw, frequencies, pixel, x = problem(wide=wide, channels=channels)
    bare, peers = ([], []), ([], [])  # forward, adjoint
    some = torch.arange(0, len(uvw), max(1, len(uvw) * channels // 2000))
    truth = direct_transform(x, uvw=uvw[some], frequencies=frequencies, pixel=pixel, w_term=wide)
    right = forward_error(truth, (some, uvw))
    x = x.to(dtype)
    A = Interferometer(
        uvw=uvw, frequencies=frequencies, shape=(N, N), pixel=pixel, w_term=wide, accuracy=accuracy
    )
    adjoint = A.H
    y = A(x)
    right_back = adjoint_error(y.to(torch.complex128), uvw, frequencies, pixel, wide)
    if available("ducc0"):
        import ducc0

        image, values = np.ascontiguousarray(x[0].numpy()), y.numpy()
        # image axes run south and west: coordinates change sign, as does w in ducc0's convention
        turned = np.ascontiguousarray(-uvw[:, [1, 0, 2]].numpy())
        settings = {
            "uvw": turned,
            "freq": frequencies.numpy(),
            "pixsize_x": pixel,
            "pixsize_y": pixel,
            "epsilon": accuracy,
            "do_wgridding": wide,
            "divide_by_n": False,
            "nthreads": THREADS,
        }
        gridder = [
            Contestant("ducc0 wgridder", lambda: ducc0.wgridder.dirty2vis(dirty=image, **settings), right),
            Contestant(
                "ducc0 wgridder",
                lambda: ducc0.wgridder.vis2dirty(vis=values, npix_x=N, npix_y=N, **settings),
                right_back,
            ),
        ]
        if not wide:
            points = 2 * np.pi * NU / C * pixel * uvw[:, [1, 0]].numpy()
            points = np.ascontiguousarray(points.astype(image.dtype))
            sizes = {"coord": points, "grid_shape": (N, N), "epsilon": accuracy, "nthreads": THREADS}
            plan = ducc0.nufft.plan(nu2u=False, **sizes)
            bare[0].append(
                Contestant(
                    "ducc0 nufft, planned",
                    lambda: plan.u2nu(grid=image.astype(values.dtype), forward=False),
                    right,
                )
            )
            bare[1].append(
                Contestant(
                    "ducc0 nufft, planned",
                    lambda: np.ascontiguousarray(plan.nu2u(points=values[:, 0], forward=True).real),
                    right_back,
                )
            )
        bare[0].append(gridder[0])
        bare[1].append(gridder[1])
    if not wide and available("finufft"):
        import finufft

        north, east = (np.ascontiguousarray(points[:, k]) for k in (0, 1))
        plans = [
            finufft.Plan(
                kind,
                (N, N),
                eps=accuracy,
                isign=sign,
                nthreads=THREADS,
                dtype=values.dtype,
                upsampfac=1.25,  # half the time of its own choice here
            )
            for kind, sign in ((2, 1), (1, -1))
        ]
        for plan_ in plans:
            plan_.setpts(north, east)
        cast, row = image.astype(values.dtype), np.ascontiguousarray(values[:, 0])
        peers[0].append(Contestant("finufft, planned", lambda: plans[0].execute(cast), right))
        peers[1].append(Contestant("finufft, planned", lambda: plans[1].execute(row), right_back))
    if not wide and dtype == torch.float32 and available("deepinv") and available("torchkbnufft"):
        from deepinv.physics import RadioInterferometry

        physics = RadioInterferometry((N, N), torch.from_numpy(-points.T.copy()).float())
        factor = 2 * N  # of its orthonormal transform, on the oversampled grid
        peers[0].append(
            Contestant("deepinv", lambda: physics.A(x[None]), lambda z: right(factor * torch.as_tensor(z)))
        )
        peers[1].append(
            Contestant(
                "deepinv",
                lambda: physics.A_adjoint(y.T[None]),
                lambda z: right_back(factor * torch.as_tensor(z)),
            )
        )
    field = "with w" if wide else "without w"
    kind = str(dtype).removeprefix("torch.")
    size = f"{N}^2 pixels, {ROWS // channels} x {channels} visibilities"
    what = f"{field}, {size}, {kind}, accuracy {accuracy:.0e}"
    paired(f"forward, {what}", (lambda: A(x), right), bare[0], peers[0])
    paired(f"adjoint, {what}", (lambda: adjoint(y), right_back), bare[1], peers[1])
    if not wide:
        normal = adjoint(y)
        race(
            f"normal operator, {what}",
            [
                Contestant(
                    "invcore A.gram",
                    lambda: A.gram(x),
                    lambda z: float((z - normal).norm() / normal.norm()),
                ),
                Contestant("invcore A.H(A(x))", lambda: adjoint(A(x)), lambda z: 0.0),
            ],
        )


if __name__ == "__main__":
    _timing.unpin()  # ducc0's threads inherit the processors of the main thread
    compare(1e-4, torch.float32, wide=False)
    compare(1e-5, torch.float32, wide=False)
    compare(1e-6, torch.float64, wide=False)
    compare(1e-4, torch.float32, wide=True)
    compare(1e-6, torch.float64, wide=True)
    compare(1e-6, torch.float64, wide=True, channels=8)
