"""Cosine and sine transforms there and back, against SciPy on as many threads."""

import _timing  # first: pins the threads
import torch
from _timing import Contestant, available, race

from invcore.operators import CosineTransform, SineTransform, _trigonometric

CASES = [
    ((8, 8), 10_000),
    ((256,), 256),
    ((1000,), 256),
    ((1021,), 64),
    ((1024,), 256),
    ((64, 64), 1),
    ((64, 64), 16),
    ((256, 256), 1),
    ((509, 509), 1),
    ((512, 512), 1),
    ((1024, 1024), 1),
    ((64, 64, 64), 1),
]


@torch.no_grad()
def compare(name, cls, type, shape, batch, dtype):
    import scipy.fft

    x = torch.randn(batch, *shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    A, array = cls(shape, spatial_dims=len(shape), type=type), x.numpy()
    exact = x.double()

    def error(back):
        return float((torch.as_tensor(back).double() - exact).norm() / exact.norm())

    there, back = getattr(scipy.fft, f"{name}n"), getattr(scipy.fft, f"i{name}n")
    options = {
        "type": type,
        "axes": range(1, x.ndim),
        "norm": "ortho",
        "workers": _timing.THREADS,
    }

    def torch_only():
        with_ducc, _trigonometric._ducc_here = _trigonometric._ducc_here, lambda: False
        try:
            return A.H(A(x))
        finally:
            _trigonometric._ducc_here = with_ducc

    contestants = [
        Contestant("invcore", lambda: A.H(A(x)), error),
        Contestant("invcore, without ducc0", torch_only, error),
        Contestant("SciPy", lambda: back(there(array, **options), **options), error),
    ]
    size = " x ".join(map(str, shape))
    race(f"{name} {type}, {batch} of {size}, {str(dtype)[6:]}", contestants, rounds=31)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {_timing.THREADS} threads")
    if available("scipy"):
        for shape, batch in CASES:
            for dtype in (torch.float32, torch.float64):
                compare("dct", CosineTransform, 2, shape, batch, dtype)
                compare("dst", SineTransform, 1, shape, batch, dtype)
