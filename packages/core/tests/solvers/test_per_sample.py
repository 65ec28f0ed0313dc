"""Parameters with one value per sample, in both shapes that people give; precision; images of nothing."""

import pytest
import torch

import invcore
from invcore import DtypeError, ParameterError, Physics, ShapeError, Space
from invcore.noises import GaussianMapNoise, GaussianNoise, LaplaceNoise, PoissonNoise
from invcore.operators import Matrix
from invcore.priors import L1, TV

SPACE = Space((1, 8, 8))
EACH = torch.tensor([0.1, 0.2, 0.3, 0.4])
FULL = EACH.reshape(4, 1, 1, 1)


def images():
    return torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1)) + 0.5


def seed():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: GaussianNoise(sigma=p),
        lambda p: PoissonNoise(gain=p),
        lambda p: LaplaceNoise(scale=p),
        lambda p: invcore.noise("poisson_gaussian", sigma=p, gain=p),
        lambda p: invcore.noise("uniform", width=p),
        lambda p: invcore.noise(
            "compose", noises=(GaussianNoise(sigma=p), invcore.noise("quantize", step=p))
        ),
    ],
)
def test_noise_takes_one_value_per_sample_in_both_shapes(make):
    expected = make(EACH)(images(), space=SPACE, generator=seed())
    assert expected.shape == images().shape
    assert torch.equal(make(FULL)(images(), space=SPACE, generator=seed()), expected)
    assert torch.equal(make(FULL)(images(), generator=seed()), expected)  # the shape says what a sample is


def test_noise_of_another_batch_is_refused_in_our_words():
    with pytest.raises(ShapeError, match=r"sigma has shape \(3,\), one value per sample.*batch \(4,\)"):
        GaussianNoise(sigma=EACH[:3])(images(), space=SPACE, generator=seed())
    with pytest.raises(ShapeError, match=r"pass space=Space\(\(1, 8, 8\)\)"):
        GaussianNoise(sigma=EACH)(images(), generator=seed())
    one = GaussianNoise(sigma=EACH)(images()[0], space=SPACE, generator=seed())
    assert one.shape == (4, 1, 8, 8)  # four levels for one image stay allowed


def test_a_map_of_sigma_of_one_value_per_sample_stays_a_map():
    noise = GaussianMapNoise(sigma=FULL)
    assert noise(images(), space=SPACE, generator=seed()).shape == (4, 1, 8, 8)
    solver = invcore.solver("fista", prior=L1(), weight=1.0, max_steps=3)
    assert solver(images(), Physics(invcore.operator("identity", domain=SPACE), noise)).shape == (4, 1, 8, 8)


def test_every_per_sample_option_of_a_solve_in_both_shapes():
    A = invcore.operator("identity", domain=SPACE)
    for name, make in {
        "weight": lambda p: (invcore.solver("fista", prior=TV(), weight=p, max_steps=5), GaussianNoise(0.5)),
        "sigma": lambda p: (invcore.solver("admm", prior=L1(), weight=0.1, max_steps=5), GaussianNoise(p)),
        "auto": lambda p: (invcore.solver("cg"), GaussianNoise(p)),
        "fidelity": lambda p: (
            invcore.solver(
                "fista",
                prior=L1(),
                weight=0.1,
                fidelity=invcore.fidelity("huber", delta=p, sigma=p),
                max_steps=5,
            ),
            GaussianNoise(0.5),
        ),
        "inside": lambda p: (
            invcore.solver("anderson", solver=invcore.solver("fista", prior=L1(), weight=p), max_steps=5),
            GaussianNoise(0.5),
        ),
    }.items():
        (one, noise), (other, noise_of_other) = make(EACH), make(FULL)
        expected = one(images(), Physics(A, noise))
        assert expected.shape == (4, 1, 8, 8), name
        assert torch.equal(other(images(), Physics(A, noise_of_other)), expected), name


def test_steps_factors_and_values_in_both_shapes():
    x = images()
    for g in (L1(), TV(), invcore.prior("tikhonov")):
        assert torch.equal(g.prox(x, FULL, SPACE), g.prox(x, EACH, SPACE))
    f = invcore.fidelity("least_squares", sigma=FULL)
    expected = (x.square().sum((1, 2, 3)) / (2 * EACH**2)).double()
    torch.testing.assert_close(f.value(x, torch.zeros_like(x), SPACE).double(), expected, rtol=1e-5, atol=0)
    A = invcore.operator("identity", domain=SPACE)
    assert torch.equal((FULL * A)(x), FULL * x)
    assert torch.equal((FULL * A).norm(), EACH)


# -- precision ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
def test_precision_below_single_is_refused_in_one_sentence(low):
    A = Matrix(torch.rand(3, 4) + 0j)
    for use in (
        lambda: A.to(low),
        lambda: Physics(A, GaussianNoise(sigma=1.0)).to(low),
        lambda: Matrix(torch.rand(3, 4).to(low)),
        lambda: Matrix(torch.rand(3, 4))(torch.rand(4).to(low)),
        lambda: invcore.solver("cgls")(torch.rand(3).to(low), Physics(Matrix(torch.rand(3, 4)))),
        lambda: GaussianNoise(sigma=torch.ones(2, dtype=low)),
        lambda: invcore.solver("anderson")(torch.rand(3).to(low), Physics(Matrix(torch.rand(3, 4)))),
    ):
        with pytest.raises(DtypeError, match="float32 or float64"):
            use()


def test_to_says_what_a_string_is():
    A = Matrix(torch.rand(3, 4))
    with pytest.raises(ParameterError, match=r"a precision is a dtype: to\(torch.float64\)"):
        A.to("float64")
    with pytest.raises(ParameterError, match="not a device"):
        A.to("gpu")
    with pytest.raises(ParameterError, match="a device or a dtype"):
        A.to(3)
    assert A.to("cpu").device.type == "cpu"


def test_autocast_leaves_a_solve_as_it_is():
    g = torch.Generator().manual_seed(0)
    A, x = Matrix(torch.randn(30, 20, generator=g)), torch.randn(20, generator=g)
    plain = A(x), A.pinv(A(x)), A.norm(), invcore.solver("cg", weight=1e-6)(A(x), Physics(A))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        halved = A(x), A.pinv(A(x)), A.norm(), invcore.solver("cg", weight=1e-6)(A(x), Physics(A))
    assert all(torch.equal(a, b) for a, b in zip(plain, halved))


# -- images of no pixels -------------------------------------------------------------------------------------


def required(name):
    """The fields of a solver that have no default."""
    inner, none = invcore.solver("cg", weight=1.0), torch.zeros(1, 0, 0)
    return {
        "sliding_frank_wolfe": {"weight": 1.0},
        "variable_projection": {"solver": inner},
        "blind_alternating": {"solver": inner, "parameter_solver": invcore.solver("lbfgs")},
        "marginal_likelihood": {
            "restorer": invcore.model("gaussian_restorer", mean=none, spectrum=torch.ones(1, 1, 1)),
            "parameter_solver": invcore.solver("lbfgs"),
        },
    }.get(name, {})


@pytest.mark.parametrize("name", [c.name for c in invcore.components(kind="solver", plugin="invcore")])
def test_images_without_pixels_are_refused_in_our_words(name):
    A = invcore.operator("identity", domain=Space((1, 0, 0)))
    blocks = invcore.operators.stack([A, A]) if name in ("osem", "sart", "saga", "svrg") else A
    y = (torch.zeros(1, 0, 0),) * 2 if blocks is not A else torch.zeros(1, 0, 0)
    with pytest.raises(ShapeError, match="nothing to solve"):
        invcore.solver(name, max_steps=3, **required(name))(y, Physics(blocks, GaussianNoise(sigma=1.0)))
