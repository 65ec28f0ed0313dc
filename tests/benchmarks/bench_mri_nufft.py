"""SENSE along 400 spokes: 8 coils of 256 x 256 at 102,400 points, against finufft itself and other operators.

The plans of all are made beforehand; finufft's ask for the accuracy of ours.
"""

import _timing  # first: pins the threads
import torch
from _timing import Contestant, available, race

from invcore.operators._nonuniform_sums import finufft_here
from invcore_mri import NUFFTSense, coil_array, radial

N, COILS, SPOKES, EPS = 256, 8, 400, 1e-5
generator = torch.Generator().manual_seed(0)
maps = coil_array((N, N), coils=COILS)
image = torch.randn(1, N, N, dtype=torch.complex64, generator=generator)
points = radial(SPOKES, N, N).reshape(-1, 2)


def relative(truth):
    return lambda x: float((torch.as_tensor(x).reshape(truth.shape) - truth).norm() / truth.norm())


@torch.no_grad()
def main():
    if not finufft_here():
        print("finufft is not installed: nothing to compare")
        return
    import finufft

    exact = NUFFTSense(maps.to(torch.complex128), points.double(), eps=1e-12)
    data = exact(image.to(torch.complex128))
    back, forward = exact.H(data), relative(data)
    adjoint = relative(back)
    A = NUFFTSense(maps, points, eps=EPS)
    y = data.to(torch.complex64)
    there, here = (
        [Contestant("invcore", lambda: A(image), forward)],
        [Contestant("invcore", lambda: A.H(y), adjoint)],
    )
    for upsampling in (1.25, 2.0):
        options = {"n_trans": COILS, "eps": EPS, "dtype": "complex64", "upsampfac": upsampling}
        options["nthreads"] = _timing.THREADS
        plans = [finufft.Plan(kind, (N, N), isign=sign, **options) for kind, sign in ((2, -1), (1, 1))]
        angles = (points.T * (2 * torch.pi / N)).contiguous().numpy()
        for plan in plans:
            plan.setpts(*angles)

        def to_points(plan=plans[0]):
            return plan.execute((maps * image).numpy()) / N

        def to_image(plan=plans[1]):
            return (maps.conj() * torch.from_numpy(plan.execute(y.numpy()))).sum(0) / N

        name = f"finufft, oversampled {upsampling:g}"
        there.append(Contestant(name, to_points, forward))
        here.append(Contestant(name, to_image, adjoint))
    if available("torchkbnufft"):
        import torchkbnufft as tkbn

        omega = (points.T * (2 * torch.pi / N)).contiguous()
        ahead, behind = tkbn.KbNufft((N, N)), tkbn.KbNufftAdjoint((N, N))
        there.append(
            Contestant("torchkbnufft", lambda: ahead(image[None], omega, smaps=maps, norm="ortho"), forward)
        )
        here.append(
            Contestant("torchkbnufft", lambda: behind(y[None], omega, smaps=maps, norm="ortho"), adjoint)
        )
    if available("mrinufft"):
        import mrinufft

        samples = (points / N).numpy()
        operator = mrinufft.get_operator("finufft")(
            samples, (N, N), n_coils=COILS, smaps=maps.numpy(), squeeze_dims=True, eps=EPS
        )
        scale = operator.norm_factor / N
        there.append(Contestant("mri-nufft", lambda: operator.op(image[0].numpy()) * scale, forward))
        here.append(Contestant("mri-nufft", lambda: operator.adj_op(y.numpy()) * scale, adjoint))
    gram = [
        Contestant("invcore, gram", lambda: A.gram(image), adjoint),
        Contestant("invcore, two transforms", lambda: A.H(A(image)), adjoint),
    ]
    title = f"{COILS} coils of {N} x {N}, {len(points)} points"
    race(f"NUFFT SENSE A, {title}", there, rounds=5)
    race(f"NUFFT SENSE A.H, {title}", here, rounds=5)
    race(f"NUFFT SENSE A.H A, {title}", gram, rounds=5)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {_timing.THREADS} threads")
    main()
