"""The X-ray transform: exact integrals, exact adjoint, kernels, derivatives, batches, processes."""

import multiprocessing
import warnings

import pytest
import torch
from torch.utils.data import DataLoader

import invcore
from invcore import Physics, threads
from invcore_tomography import (
    Grid,
    XRay,
    cone,
    ellipses,
    ellipsoids,
    fan,
    from_vectors,
    helical,
    laminography,
    parallel,
)

FAN = {"source_distance": 3.0, "detector_distance": 2.0}
PLANAR = {
    "parallel": lambda n: parallel(11, columns=n, pitch=2 / n, center_of_rotation=n / 2 - 3.3),
    "oblong": lambda n: parallel(
        11,
        columns=n + 5,
        pitch=2 / n,
        grid=Grid(shape=(n, n // 2), spacing=(2 / n, 4 / n), center=(0.1, 0.0)),
    ),
    "fan": lambda n: fan(11, columns=n, pitch=4 / n, offset=0.05, **FAN),
    "curved": lambda n: fan(
        11, columns=n, pitch=4 / n, detector="curved", offset=0.05, source_offset=0.02, **FAN
    ),
}
SPATIAL = {
    "slices": lambda n: parallel(6, columns=n, rows=n - 4, pitch=2 / n, offset=0.07),
    "cone": lambda n: cone(
        6, rows=n, columns=n, pitch=4 / n, offset=0.05, row_offset=0.1, height=0.05, **FAN
    ),
    "curved cone": lambda n: cone(6, rows=n, columns=n, pitch=4 / n, offset=0.05, detector="curved", **FAN),
    "rolled": lambda n: cone(6, rows=n, columns=n, pitch=4 / n, roll=0.2, **FAN),
    "helical": lambda n: helical(10, advance=0.3, rows=n, columns=n, pitch=4 / n, **FAN),
    "laminography": lambda n: laminography(6, tilt=0.6, rows=n, columns=n, pitch=2 / n),
    "divergent laminography": lambda n: laminography(6, tilt=0.6, rows=n, columns=n, pitch=4 / n, **FAN),
}
ALL = {**PLANAR, **SPATIAL}
KINDS = {"parallel": "parallel", "oblong": "parallel", "fan": "rays", "curved": "rays", "slices": "slices"}


def blobs(dims):
    """Two smooth blobs, neither centered nor alike."""
    if dims == 2:
        return ellipses(
            center=[(0.2, 0.15), (-0.3, 0.3)],
            axes=[(0.3, 0.15), (0.15, 0.2)],
            angle=[0.4, 0.9],
            density=[1.0, -0.5],
            profile="gaussian",
        )
    return ellipsoids(
        center=[(0.2, 0.15, -0.15), (-0.3, 0.3, 0.2)],
        axes=[(0.3, 0.2, 0.25), (0.2, 0.25, 0.2)],
        density=[1.0, -0.5],
        profile="gaussian",
    )


def noise(shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# -- what it computes -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_line_integrals_are_those_of_the_phantom(name):
    """Closed-form integrals of a phantom without symmetry: position, orientation, units, order of columns."""
    n = 96 if name in PLANAR else 36
    geometry = ALL[name](n)
    phantom = blobs(geometry.ndim)
    A = XRay(geometry)
    exact = phantom.project(geometry).double()
    got = A(phantom.rasterize(geometry.grid).double())
    assert (got - exact).norm() < (0.01 if name in PLANAR else 0.02) * exact.norm()
    assert A._projectors[0].kind == KINDS.get(name, "spatial")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_compiled_and_torch_kernels_agree_and_the_adjoint_is_exact(name, dtype):
    A = XRay(ALL[name](10))
    x, y = noise((3, *A.domain.shape), 0, dtype), noise((3, *A.range.shape), 1, dtype)
    forward, backward = A(x), A.H(y)
    assert forward.dtype == backward.dtype == dtype
    tolerance = 1e-12 if dtype == torch.float64 else 2e-6
    left, right = (forward.double() * y.double()).sum(), (x.double() * backward.double()).sum()
    assert abs(left - right) <= tolerance * forward.double().norm() * y.double().norm()
    projector = A._projectors[0]
    torch_forward = projector.in_torch(x[:, 0]).double()
    torch_backward = projector.in_torch(y[:, 0], True).double()
    assert (forward[:, 0] - torch_forward).norm() <= tolerance * torch_forward.norm()
    assert (backward[:, 0] - torch_backward).norm() <= tolerance * torch_backward.norm()


def test_slices_are_projected_each_by_itself():
    """Rows at slices, in order, upside down, and beyond the volume."""
    grid = Grid(shape=(4, 6, 6))
    theta = torch.tensor([0.2, 1.3, 2.2], dtype=torch.float64)
    flat = XRay(parallel(theta, columns=7, grid=Grid(shape=(6, 6)), offset=0.2))
    x = noise((1, 4, 6, 6))
    each = torch.stack([flat(x[:, k])[0] for k in range(4)], dim=1)
    base = parallel(theta, columns=7, rows=4, grid=grid, offset=0.2)
    assert torch.allclose(XRay(base)(x)[0], each)
    turned = base.bind(v=-base.v)
    assert torch.allclose(XRay(turned)(x)[0], each.flip(1))
    up = torch.tensor([0.0, 0.0, 2.0], dtype=torch.float64)
    raised = XRay(base.bind(detector=base.detector + up))
    assert raised._projectors[0].kind == "slices"
    assert torch.allclose(raised(x)[0], torch.cat([each[:, 2:], torch.zeros(3, 2, 7)], dim=1))
    between = XRay(base.bind(detector=base.detector + up / 4))
    assert between._projectors[0].kind == "spatial"
    assert torch.allclose(
        between(x)[0][:, :3], (each[:, :3] + each[:, 1:]) / 2, atol=0.2 * float(each.abs().max())
    )


def test_units():
    """Ten centimeters of water with 20 per meter: two, whatever the pixels are."""
    for pitch in (1e-3, 2e-3):
        n = int(0.1 / pitch)
        A = XRay(parallel(3, columns=n, pitch=pitch, grid=Grid(shape=(n, n), spacing=pitch)))
        y = A(torch.full((1, n, n), 20.0))
        assert torch.allclose(y[0, 0], torch.tensor(2.0))


def test_non_contiguous_images():
    A = XRay(parallel(4, columns=9))
    x = noise((1, 9, 9), dtype=torch.float32)
    assert torch.allclose(A(x.mT.contiguous().mT), A(x))


# -- batches ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["parallel", "curved", "cone", "slices"])
def test_a_geometry_for_each_sample(name):
    one, other = ALL[name](8), ALL[name](8)
    other = other.bind(detector=other.detector * 1.1 + 0.03 * other.u)
    both = one.bind(**{k: torch.stack([t, other.parameters()[k]]) for k, t in one.parameters().items()})
    A, B, many = (XRay(g, channels=2) for g in (one, other, both))
    x = noise((3, 2, *A.domain.shape))
    y = many(x)
    assert torch.allclose(y, torch.stack([A(x[:, 0]), B(x[:, 1])], dim=1))
    assert torch.allclose(many.H(y), torch.stack([A.H(y[:, 0]), B.H(y[:, 1])], dim=1))
    assert torch.allclose(many(x[0, 0]), torch.stack([A(x[0, 0]), B(x[0, 0])]))
    assert many.norm().shape == (2,)
    outer = one.bind(**{k: t.unsqueeze(0).unsqueeze(0) for k, t in one.parameters().items()})
    assert XRay(outer, channels=2)(x[0]).shape == (1, 2, *A.range.shape)


def test_angles_and_center_can_be_learned():
    """The center of rotation is found by gradient descent on the data, through the operator."""
    n, theta = 32, torch.arange(24, dtype=torch.float64) * torch.pi / 24
    x = blobs(2).rasterize(Grid(shape=(n, n), spacing=2 / n)).double()

    def scan(center):
        return XRay(parallel(theta, columns=n, pitch=2 / n, center_of_rotation=center, grid=(n, n)))

    y = scan(17.0)(x)
    center = torch.tensor(15.5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([center], max_iter=30, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = (scan(center)(x) - y).square().sum() * 1e3
        loss.backward()
        return loss

    optimizer.step(closure)
    assert abs(center.item() - 17.0) < 1e-3


@pytest.mark.parametrize("name", ["parallel", "fan", "cone", "laminography"])
def test_derivatives_by_the_geometry_do_not_depend_on_the_memory_allowed(name):
    geometry = ALL[name](6)
    leaves = {k: t.clone().requires_grad_() for k, t in geometry.parameters().items()}
    found = []
    for max_bytes in (1, 2**28):
        A = XRay(geometry.bind(**leaves), max_bytes=max_bytes)
        x = noise((2, *A.domain.shape))
        loss = (A(x) * noise((2, *A.range.shape), 1)).sum()
        found.append(torch.autograd.grad(loss, list(leaves.values())))
    for a, b in zip(*found):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-10 * float(b.abs().max()))
    assert any(float(g.abs().max()) > 0 for g in found[0])


def test_a_geometry_that_learns_is_read_anew():
    """An optimizer changes its parameters in place: nothing worked out before may be used."""
    geometry = parallel(4, columns=6)
    shift = torch.nn.Parameter(geometry.detector.clone())
    A = XRay(geometry.bind(detector=shift))
    x = noise((1, 6, 6))
    first, norm = A(x).detach(), A.norm()
    with torch.no_grad():
        shift += 0.4 * geometry.u
    expected = XRay(geometry.bind(detector=shift.detach().clone()))
    assert torch.allclose(A(x), expected(x))
    assert not torch.allclose(A(x), first)
    assert norm.shape == A.norm().shape


def test_what_is_worked_out_is_kept():
    A = XRay(fan(5, columns=6, **FAN))
    A(torch.ones(1, 6, 6))
    kept = A._projectors
    A.H(A(torch.ones(1, 6, 6, requires_grad=True))).sum().backward()
    assert A._projectors is kept


# -- norm, subsets, solvers -------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in ALL if n not in ("helical", "divergent laminography")])
def test_norm_is_a_tight_upper_bound(name):
    A = XRay(ALL[name](8 if name in SPATIAL else 16))
    true = torch.linalg.matrix_norm(A.dense(dtype=torch.float64), 2)
    assert true <= A.norm() <= 1.12 * true


@pytest.mark.parametrize("name", ["fan", "cone"])
def test_subsets_are_the_operator_in_pieces(name):
    A = XRay(ALL[name](8))
    stacked, x = A.subsets(3), noise(A.domain.shape)
    y = A(x)
    parts = A.split(y, 3)
    for got, want in zip(stacked(x), parts):
        assert torch.allclose(got, want)
    assert torch.allclose(stacked.H(parts), A.H(y))
    with pytest.raises(invcore.ParameterError, match="between 1 and"):
        A.split(y, 0)


@pytest.mark.parametrize("solver", ["saga", "svrg"])
def test_stochastic_solvers_take_the_subsets(solver):
    A = XRay(parallel(12, columns=9, grid=(6, 6)))
    truth = noise(A.domain.shape)
    y = A(truth)
    found = invcore.solver(solver, max_steps=600, rtol=1e-6)(A.split(y, 4), Physics(A.subsets(4)))
    assert (found - truth).norm() < 0.05 * truth.norm()


def test_wrong_input_says_what_is_expected():
    A = XRay(parallel(4, columns=9))
    with pytest.raises(invcore.ShapeError, match="channel dimension"):
        A(torch.zeros(9, 9))
    for fields, message in (
        ({"geometry": "parallel"}, "Geometry"),
        ({"geometry": A.geometry, "channels": 0}, "channels"),
        ({"geometry": A.geometry, "max_bytes": -1}, "max_bytes"),
    ):
        with pytest.raises((invcore.DtypeError, invcore.ParameterError), match=message):
            XRay(**fields)


def test_rays_beside_the_image_are_zero():
    grid = Grid(shape=(4, 4))
    far = from_vectors([[0, 1]], [[50, 0]], [[1, 0]], detector_shape=(4,), grid=grid, beam="parallel")
    assert XRay(far)(torch.ones(1, 4, 4)).abs().max() == 0
    away = from_vectors([[0, -9]], [[50, 9]], [[1, 0]], detector_shape=(4,), grid=grid, beam="divergent")
    assert XRay(away)(torch.ones(1, 4, 4)).abs().max() == 0


# -- processes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("used_before", [False, True])
@pytest.mark.parametrize("context", ["fork", "spawn"])
@pytest.mark.parametrize("name", ["parallel", "fan", "cone"])
def test_data_loader_workers_project(context, name, used_before):
    """With several threads, before and after the parent starts its own: no pool must survive a fork."""
    if context not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {context} on this platform")
    if context == "spawn" and name != "fan":
        pytest.skip("one is enough: a new process takes seconds to import torch")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        A = XRay(ALL[name](12))
        images = [torch.full(A.domain.shape, float(k)) for k in range(4)]
        if used_before:
            A(images[1])
        else:
            threads._forget()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of fork in a process with threads
            loader = DataLoader(
                images,
                batch_size=None,
                collate_fn=A,
                num_workers=1 if context == "spawn" else 2,
                multiprocessing_context=context,
                timeout=60,
            )
            got = list(loader)
        for x, y in zip(images, got, strict=True):
            assert torch.equal(y, A(x))  # and the parent still can
    finally:
        torch.set_num_threads(before)
