"""Blur with a 35 x 35 kernel at 512 x 512 x 3, batch 8, against deepinv and scipy."""

import _timing  # first: pins the threads
import scipy.signal
import torch
from _timing import Contestant, available, race

from invcore.operators import Convolution

N, CHANNELS, BATCH, TAPS = 512, 3, 8, 35
generator = torch.Generator().manual_seed(0)
kernel = torch.rand(1, TAPS, TAPS, generator=generator)
kernel = kernel / kernel.sum()
image = torch.rand(BATCH, CHANNELS, N, N, generator=generator)


def relative(truth):
    return lambda x: float((torch.as_tensor(x) - truth).norm() / truth.norm())


@torch.no_grad()
def main():
    peers = available("deepinv")
    if peers:
        import deepinv

    for boundary in ("circular", "valid"):
        ours = Convolution(kernel, domain=(CHANNELS, N, N), boundary=boundary)
        exact = ours.to(torch.float64)
        wide = image.double()
        forward, back = relative(exact(wide)), relative(exact.gram(wide))
        A = [Contestant("invcore", lambda A=ours: A(image), forward)]
        gram = [Contestant("invcore", lambda A=ours: A.gram(image), back)]
        if boundary == "valid":

            def scipys():
                return scipy.signal.oaconvolve(
                    image.numpy(), kernel[None].numpy(), mode="valid", axes=(-2, -1)
                )

            A.append(Contestant("scipy oaconvolve", scipys, forward))
        if peers:
            filters = kernel[None]
            physics = {
                "deepinv Blur": deepinv.physics.Blur(filter=filters, padding=boundary),
                "deepinv Blur, use_fft": deepinv.physics.Blur(filter=filters, padding=boundary, use_fft=True),
            }
            if boundary == "circular":
                physics["deepinv BlurFFT"] = deepinv.physics.BlurFFT(
                    img_size=(CHANNELS, N, N), filter=filters
                )
            for name, p in physics.items():
                A.append(Contestant(name, lambda p=p: p.A(image), forward))
                gram.append(Contestant(name, lambda p=p: p.A_adjoint(p.A(image)), back))
        title = f"{TAPS} x {TAPS}, {BATCH} x {CHANNELS} x {N} x {N}, {boundary}"
        race(f"Blur A, {title}", A, rounds=15)
        race(f"Blur A.H A, {title}", gram, rounds=7)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {_timing.THREADS} threads")
    main()
