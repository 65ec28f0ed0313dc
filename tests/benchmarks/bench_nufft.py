"""The nonuniform Fourier transform of 4 images of 192 x 192 at 120 spokes, against sigpy and torchkbnufft."""

import _timing  # first: pins the threads
import numpy as np
import torch
from _timing import Contestant, available, race

from invcore import Space
from invcore.operators import NUFFT
from invcore.operators._nonuniform_sums import finufft_here

N, CHANNELS, SPOKES = 192, 4, 120
generator = torch.Generator().manual_seed(0)
angles = torch.arange(SPOKES, dtype=torch.float64) * np.pi / SPOKES
radii = (torch.arange(2 * N, dtype=torch.float64) - N) / (2 * N)
directions = torch.stack((torch.cos(angles), torch.sin(angles)), -1)
points = (radii[:, None] * directions[:, None]).reshape(-1, 2).float()
image = torch.randn(CHANNELS, N, N, dtype=torch.complex64, generator=generator)
domain = Space((CHANNELS, N, N), "complex")


def relative(truth):
    return lambda x: float((torch.as_tensor(x).reshape(truth.shape) - truth).norm() / truth.norm())


@torch.no_grad()
def main():
    if not finufft_here():
        print("finufft is not installed: nothing to compare")
        return
    exact = NUFFT(points, domain, unit="cycles", method="direct")
    data = exact(image.to(torch.complex128))
    back = exact.H(data)
    forward, adjoint, gram = relative(data), relative(back), relative(back)
    y = data.to(torch.complex64)
    A, H, G = [], [], []
    for eps in (1e-3, 1e-6):
        ours = NUFFT(points, domain, unit="cycles", eps=eps, method="finufft")
        A.append(Contestant(f"invcore, finufft {eps:g}", lambda ours=ours: ours(image), forward))
        H.append(Contestant(f"invcore, finufft {eps:g}", lambda ours=ours: ours.H(y), adjoint))
        G.append(Contestant(f"invcore, finufft {eps:g}", lambda ours=ours: ours.gram(image), gram))
    if available("sigpy"):
        import sigpy

        # sigpy counts frequencies in cycles per image
        k, x, v = (points * N).numpy(), image.numpy(), y.numpy()
        A.append(Contestant("sigpy", lambda: sigpy.nufft(x, k), forward))
        H.append(Contestant("sigpy", lambda: sigpy.nufft_adjoint(v, k, oshape=x.shape), adjoint))
        linop = sigpy.linop.NUFFT(x.shape, k, toeplitz=True)
        G.append(Contestant("sigpy, Toeplitz", lambda: linop.N(x), gram))
    if available("torchkbnufft"):
        import torchkbnufft as tkbn

        omega, size = (points * 2 * np.pi).T.contiguous(), (N, N)
        there, here = tkbn.KbNufft(size), tkbn.KbNufftAdjoint(size)
        toeplitz = tkbn.ToepNufft()
        kernel = tkbn.calc_toeplitz_kernel(omega, size, norm="ortho")
        A.append(Contestant("torchkbnufft", lambda: there(image[None], omega, norm="ortho"), forward))
        H.append(Contestant("torchkbnufft", lambda: here(y[None], omega, norm="ortho"), adjoint))
        work = lambda: toeplitz(image[None], kernel, norm="ortho")
        G.append(Contestant("torchkbnufft, Toeplitz", work, gram))
    title = f"{CHANNELS} x {N} x {N}, {len(points)} points"
    race(f"NUFFT A, {title}", A, rounds=5)
    race(f"NUFFT A.H, {title}", H, rounds=5)
    race(f"NUFFT A.H A, {title}", G, rounds=9)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {_timing.THREADS} threads")
    main()
