"""The SENSE normal operator and CG-SENSE at 320 x 320 x 16 coils, against deepinv and sigpy."""

import _timing  # first: pins the threads
import numpy as np
import torch
from _timing import Contestant, available, race

from invcore._krylov.cg import cg
from invcore.operators._spectrum import flat_gram
from invcore.spaces import flatten, unflatten
from invcore_mri import Sense, coil_array

N, COILS, STEPS = 320, 16, 20
generator = torch.Generator().manual_seed(0)
maps = coil_array((N, N), coils=COILS).to(torch.complex64)
image = torch.randn(1, N, N, dtype=torch.complex64, generator=generator)
lines = (torch.rand(1, N, generator=generator) < 0.25).float()
lines[:, N // 2 - 12 : N // 2 + 12] = 1
points = (torch.rand(N, N, generator=generator) < 0.25).float()
points[N // 2 - 12 : N // 2 + 12, N // 2 - 12 : N // 2 + 12] = 1
sides = [("deepinv", available("deepinv")), ("sigpy", available("sigpy"))]
peers = {name for name, here in sides if here}


def reference_gram(x, mask):
    """The definition, with shifts, in double precision."""
    axes = (-2, -1)
    s = maps.to(torch.complex128)
    k = torch.fft.fftshift(
        torch.fft.fftn(torch.fft.ifftshift(s * x, dim=axes), dim=axes, norm="ortho"), dim=axes
    )
    back = torch.fft.fftshift(
        torch.fft.ifftn(torch.fft.ifftshift(mask.double() ** 2 * k, dim=axes), dim=axes, norm="ortho"),
        dim=axes,
    )
    return (s.conj() * back).sum(0, keepdim=True)


def relative(truth):
    return lambda x: float((torch.as_tensor(x).reshape(truth.shape) - truth).norm() / truth.norm())


def reference_cg(b, mask):
    """Conjugate gradient as in the textbook, in double precision."""
    x = torch.zeros_like(b)
    r = p = b
    rr = (r.conj() * r).sum().real
    for _ in range(STEPS):
        q = reference_gram(p, mask)
        alpha = rr / (p.conj() * q).sum().real
        x, r = x + alpha * p, r - alpha * q
        new = (r.conj() * r).sum().real
        p, rr = r + new / rr * p, new
    return x


@torch.no_grad()
def main():
    for title, mask in (("1-D mask", lines), ("2-D mask", points)):
        full = mask.expand(N, N).contiguous()
        ours = Sense(maps, mask)
        b = reference_gram(image.to(torch.complex128), mask)
        error = relative(b)
        gram = [Contestant("invcore", lambda A=ours: A.gram(image), error)]
        b64 = b.to(torch.complex64)
        flat = flatten(b64, ours.domain)
        solve = [
            Contestant(
                "invcore",
                lambda A=ours, f=flat: unflatten(cg(flat_gram(A), f, rtol=0.0, max_steps=STEPS).x, A.domain),
                relative(reference_cg(b, mask)),
            )
        ]
        if "deepinv" in peers:
            import deepinv
            from deepinv.optim.linear import conjugate_gradient

            physics = deepinv.physics.MultiCoilMRI(
                mask=full[None, None], coil_maps=maps[None], img_size=(2, N, N)
            )
            two = torch.view_as_real(image).movedim(-1, 1).contiguous()
            b_two = torch.view_as_real(b64).movedim(-1, 1).contiguous()

            def back(x):
                return torch.view_as_complex(x.movedim(1, -1).contiguous())

            gram.append(
                Contestant(
                    "deepinv", lambda p=physics, x=two: p.A_adjoint(p.A(x)), lambda x, e=error: e(back(x))
                )
            )
            solve.append(
                Contestant(
                    "deepinv",
                    lambda p=physics, b=b_two: conjugate_gradient(
                        lambda v: p.A_adjoint(p.A(v)), b, max_iter=STEPS, tol=0.0
                    ),
                    lambda x, e=solve[0].error: e(back(x)),
                )
            )
        if "sigpy" in peers:
            import sigpy
            import sigpy.mri.linop

            # sigpy's weights enter as their square root
            A = sigpy.mri.linop.Sense(maps.numpy(), weights=full.numpy())
            x = image[0].numpy()

            def run(A=A, b=b64[0].numpy()):
                x = np.zeros_like(b)
                solver = sigpy.alg.ConjugateGradient(A.N, b, x, max_iter=STEPS, tol=0)
                while not solver.done():
                    solver.update()
                return x

            gram.append(Contestant("sigpy", lambda A=A, x=x: A.N(x), error))
            solve.append(Contestant("sigpy", run, solve[0].error))
        race(f"SENSE normal operator, {N} x {N} x {COILS} coils, {title}", gram, rounds=25)
        race(f"CG-SENSE, {STEPS} iterations, {title}", solve, rounds=5)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {_timing.THREADS} threads")
    main()
