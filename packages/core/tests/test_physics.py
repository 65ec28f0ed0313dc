"""Noise, fidelities, `Physics`, and the rules that all values keep."""

import dataclasses
import math
import pickle

import pytest
import torch
from torch.nn import Parameter

from invcore import DtypeError, ParameterError, Physics, ShapeError
from invcore._value import Value
from invcore.fidelities import LeastSquares
from invcore.noises import GaussianNoise, Noise, NoNoise
from invcore.operators import Identity, Mask, Matrix, Space, stack
from invcore_testsupport import normal, rng

F64, C128 = torch.float64, torch.complex128


# -- noise ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, F64, torch.complex64, C128])
def test_moments_of_gaussian_noise(dtype):
    n, sigma = 200_000, 0.7
    clean = 3 + torch.zeros(n, dtype=dtype)
    noise = GaussianNoise(sigma=sigma)(clean, generator=rng()) - clean
    assert noise.dtype == dtype
    parts = [noise.real, noise.imag] if dtype.is_complex else [noise]
    for part in parts:
        part = part.double()
        assert abs(float(part.mean())) < 5 * sigma / math.sqrt(n)
        assert abs(float(part.var()) / sigma**2 - 1) < 5 * math.sqrt(2 / n)
        assert abs(float((part**4).mean()) / (3 * sigma**4) - 1) < 0.05
        neighbors = float((part[1:] * part[:-1]).mean())
        assert abs(neighbors) < 5 * sigma**2 / math.sqrt(n)
    if dtype.is_complex:
        assert abs(float((parts[0] * parts[1]).double().mean())) < 5 * sigma**2 / math.sqrt(n)


def test_one_noise_level_per_sample():
    space = Space((1, 5000))
    sigma = torch.tensor([[0.1], [2.0]], dtype=F64).expand(2, 3)
    y = GaussianNoise(sigma=sigma)(torch.zeros(2, 3, 1, 5000, dtype=F64), space=space, generator=rng())
    assert torch.allclose(y.std((-2, -1)), sigma, rtol=0.06)
    spread = GaussianNoise(sigma=sigma)(torch.zeros(1, 5000, dtype=F64), space=space, generator=rng())
    assert torch.equal(spread, y)  # the noise levels bring the batch


def test_noise_wants_a_generator_and_leaves_the_global_one_alone():
    with pytest.raises(ParameterError, match=r"pass generator=torch.Generator\(\).manual_seed\(0\)"):
        GaussianNoise(sigma=1.0)(torch.zeros(3))
    before = torch.get_rng_state()
    GaussianNoise(sigma=1.0)(torch.zeros(3), generator=rng())
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(NoNoise()(torch.ones(3)), torch.ones(3))


SPACES = {
    "real": Space((2, 3)),
    "complex": Space((2, 3), "complex"),
    "blocks": (Space((2,)), Space((3,), "complex"), (Space((1, 2)),)),
}


def zeros(space, *batch):
    if isinstance(space, tuple):
        return tuple(zeros(s, *batch) for s in space)
    return torch.zeros(*batch, *space.shape, dtype=C128 if space.kind == "complex" else F64)


def leaves(x):
    return [leaf for part in x for leaf in leaves(part)] if isinstance(x, tuple) else [x]


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("split", [[1, 1, 1, 1, 1], [2, 3], [4, 0, 1]])
def test_the_same_seed_gives_the_same_noise_however_the_batch_is_split(name, split):
    space, noise = SPACES[name], GaussianNoise(sigma=0.5)
    whole = leaves(noise(zeros(space, 5), space=space, generator=rng(3)))
    g = rng(3)
    parts = [leaves(noise(zeros(space, n), space=space, generator=g)) for n in split]
    for i, block in enumerate(whole):
        assert torch.equal(torch.cat([part[i] for part in parts]), block)
    assert not torch.equal(leaves(noise(zeros(space, 5), space=space, generator=rng(4)))[0], whole[0])


def test_an_empty_batch():
    empty = torch.zeros(0, 3)
    assert GaussianNoise(sigma=torch.ones(0))(empty, space=Space((3,)), generator=rng()).shape == (0, 3)
    assert LeastSquares(sigma=torch.ones(0)).value(empty, empty, Space((3,))).shape == (0,)


def test_blocks_are_independent():
    space = Space((20000,)), Space((20000,))
    a, b = GaussianNoise(sigma=1.0)(zeros(space), space=space, generator=rng())
    assert abs(float((a * b).mean())) < 0.04


def test_noise_is_differentiable_to_the_clean_data_and_the_level():
    y, sigma = normal(2, 4).requires_grad_(), torch.tensor([0.3, 1.0], dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda y, s: GaussianNoise(sigma=s)(y, space=Space((4,)), generator=rng(1)), (y, sigma)
    )


@pytest.mark.parametrize("sigma", [-1.0, math.nan, torch.tensor([1.0, -0.1]), torch.tensor(math.nan)])
@pytest.mark.parametrize("make", [GaussianNoise, LeastSquares])
def test_noise_levels_that_make_no_sense(make, sigma):
    with pytest.raises(ParameterError, match=f"{make.__name__}: sigma must be a number >= 0"):
        make(sigma=sigma)


# -- fidelity ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [F64, C128])
@pytest.mark.parametrize("sigma", [0.5, torch.tensor([0.5, 2.0, 1.0], dtype=F64)])
def test_least_squares_is_the_likelihood(dtype, sigma):
    """Differences of the value are those of the log-density, component by component."""
    space = Space((4,), "complex" if dtype.is_complex else "real")
    u, v, y = (normal(3, 4, dtype=dtype, seed=s) for s in range(3))
    f = GaussianNoise(sigma=sigma).likelihood()
    level = torch.as_tensor(sigma, dtype=F64).expand(3).unsqueeze(-1)

    def log_density(u):
        parts = [(u.real, y.real), (u.imag, y.imag)] if dtype.is_complex else [(u, y)]
        return sum(torch.distributions.Normal(a, level).log_prob(b).sum(-1) for a, b in parts)

    assert torch.allclose(f.value(u, y, space) - f.value(v, y, space), log_density(v) - log_density(u))


@pytest.mark.parametrize("dtype", [F64, C128])
def test_gradient_and_prox_of_least_squares(dtype):
    space = Space((4,), "complex" if dtype.is_complex else "real")
    f, step = LeastSquares(sigma=torch.tensor([0.5, 2.0], dtype=F64)), torch.tensor([0.3, 1.2], dtype=F64)
    u, y = normal(2, 4, dtype=dtype).requires_grad_(), normal(2, 4, dtype=dtype, seed=1)
    (expected,) = torch.autograd.grad(f.value(u, y, space).sum(), u)
    assert torch.allclose(f.grad(u, y, space), expected)
    z = f.prox(u, y, step, space)
    assert torch.allclose(f.grad(z, y, space) + (z - u) / step.unsqueeze(-1), torch.zeros_like(z))
    assert torch.allclose(f.lipschitz(), torch.tensor([4.0, 0.25], dtype=F64))


def test_least_squares_on_blocks():
    space = Space((2,)), Space((3,), "complex")
    u, y = (normal(2), normal(3, dtype=C128)), (normal(2, seed=1), normal(3, dtype=C128, seed=1))
    f = LeastSquares(sigma=0.5)
    expected = 2 * ((u[0] - y[0]).square().sum() + (u[1] - y[1]).abs().square().sum())
    assert torch.allclose(f.value(u, y, space), expected)
    assert torch.allclose(f.value(u, y), expected)
    assert torch.allclose(f.grad(u, y, space)[1], 4 * (u[1] - y[1]))
    z = f.prox(u, y, 0.5, space)
    assert all(torch.allclose(4 * (c - b) + (c - a) / 0.5, torch.zeros_like(c)) for a, b, c in zip(u, y, z))


def test_noiseless_data_have_weight_one():
    assert LeastSquares(sigma=0.0).precision() == 1
    assert LeastSquares(sigma=torch.tensor([0.0, 2.0])).precision().tolist() == [1, 0.25]
    sigma = torch.tensor([0.0, 2.0], requires_grad=True)
    LeastSquares(sigma=sigma).precision().sum().backward()
    assert sigma.grad.tolist() == [0, -0.25]


# -- physics ----------------------------------------------------------------------------------------


def masked(sigma=0.1):
    return Physics(
        Mask(torch.tensor([1.0, 0.0, 2.0]), domain=(3,)),
        GaussianNoise(sigma=sigma),
    )


def test_physics_is_operator_then_noise():
    physics, x = masked(), normal(5, 3, dtype=torch.float32)
    y = physics(x, generator=rng(2))
    assert torch.equal(y, GaussianNoise(sigma=0.1)(physics.A(x), space=physics.range, generator=rng(2)))
    assert (physics.domain, physics.range) == (Space((3,)), Space((3,)))
    assert physics.likelihood().sigma == 0.1
    with pytest.raises(ParameterError, match="generator"):
        physics(x)
    with pytest.raises(ShapeError):
        physics(torch.ones(4), generator=rng())
    with pytest.raises(DtypeError):
        physics(torch.ones(3, dtype=torch.complex64), generator=rng())
    assert torch.equal(Physics(physics.operator)(x), physics.A(x))


def test_parameters_for_one_measurement():
    physics, x = masked(), torch.ones(3)
    y = physics(x, mask=torch.tensor([0.0, 3.0, 0.0]), sigma=0.0, generator=rng())
    assert y.tolist() == [0, 3, 0]
    assert physics.operator.mask.tolist() == [1, 0, 2] and physics.noise.sigma == 0.1
    bound = physics.bind(mask=torch.ones(2, 3), sigma=torch.tensor([0.0, 0.0]))
    assert bound(x, generator=rng()).shape == (2, 3)
    assert list(bound.parameters()) == ["mask", "sigma"]


def test_a_misspelt_parameter_is_named():
    with pytest.raises(
        ParameterError,
        match=r"Physics has no parameter 'msk'; it has \['mask', 'sigma'\]. Did you mean 'mask'",
    ):
        masked().bind(msk=torch.ones(3))
    with pytest.raises(ParameterError, match="has no parameter 'x'; it has none"):
        Physics(Identity((3,))).bind(x=1)


def test_physics_of_blocks():
    A = Matrix(normal(2, 3))
    physics = Physics(stack([A, Matrix(normal(4, 3, seed=1))]), GaussianNoise(sigma=0.1))
    y = physics(normal(5, 3), generator=rng())
    assert [part.shape for part in y] == [(5, 2), (5, 4)]


def test_physics_pickles_moves_and_prints():
    physics = masked(sigma=torch.tensor(0.1))
    again = pickle.loads(pickle.dumps(physics))
    assert torch.equal(again.operator.mask, physics.operator.mask) and float(again.noise.sigma) == float(
        physics.noise.sigma
    )
    double = physics.to(F64)
    assert double.operator.mask.dtype == double.noise.sigma.dtype == F64
    assert physics.operator.mask.dtype == torch.float32
    assert physics.to("cpu").operator.mask is physics.operator.mask
    assert (double.dtype, double.device.type) == (F64, "cpu")
    assert repr(physics) == (
        "Physics(operator=Mask(mask=float32[3], domain=Space((3,))), noise=GaussianNoise(sigma=0.1))"
    )
    with pytest.raises(ParameterError, match="floating or complex dtype, not torch.int64"):
        physics.to(torch.int64)


# -- values -----------------------------------------------------------------------------------------


class Gain(Value):
    gain: object = 1.0
    name: str = "g"
    params = ("gain",)


class Pair(Value):
    first: Gain
    second: Gain
    rest: tuple = ()


def test_values_are_frozen_and_take_keywords_only():
    g = Gain(gain=2.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        g.gain = 3.0
    with pytest.raises(TypeError):
        Gain(2.0)
    with pytest.raises(TypeError, match="unexpected keyword"):
        Gain(gian=2.0)
    assert g != Gain(gain=2.0) and g == g and hash(g)  # identity: tensors have no single truth
    assert repr(g) == "Gain(gain=2.0, name='g')"


@pytest.mark.parametrize("base", [Gain, GaussianNoise, LeastSquares, Mask, Physics])
@pytest.mark.parametrize("abstract", [False, True])
def test_a_concrete_class_is_final(base, abstract):
    with pytest.raises(
        TypeError, match=f"extends {base.__name__}, which is concrete: a class is either abstract or final"
    ):
        type("Sub", (base,), {}, abstract=abstract)


def test_an_abstract_class_can_be_extended_and_not_made():
    class Base(Noise, abstract=True):
        pass

    class Leaf(Base):
        def sample(self, y, space, generator):
            return -y

        def likelihood(self):
            return LeastSquares()

    assert Leaf()(torch.ones(2), generator=rng()).tolist() == [-1, -1]
    with pytest.raises(TypeError, match="abstract"):
        Base()


def test_params_must_be_fields():
    with pytest.raises(TypeError, match=r"params names \['nothing'\], which are not fields"):

        class Wrong(Value):
            params = ("nothing",)


def test_bind_by_plain_and_by_dotted_names():
    one, two = torch.tensor(1.0), torch.tensor(2.0)
    pair = Pair(first=Gain(gain=one), second=Gain(gain=two), rest=(Gain(gain=one), 7))
    assert list(pair.parameters()) == ["first.gain", "second.gain", "rest.0.gain"] or set(
        pair.parameters()
    ) == {
        "first.gain",
        "second.gain",
        "0.gain",
    }
    bound = pair.bind(**{"second.gain": 5.0})
    assert (bound.first.gain, bound.second.gain) == (one, 5.0)
    assert pair.second.gain is two and bound.first is pair.first and bound.rest[1] == 7
    with pytest.raises(ParameterError, match=r"ambiguous here: say which, as in bind\(\*\*\{'first.gain'"):
        pair.bind(gain=3.0)
    shared = Pair(first=Gain(gain=one), second=Gain(gain=one))
    assert list(shared.parameters()) == ["gain"]
    both = shared.bind(gain=two)
    assert both.first.gain is both.second.gain is two
    assert shared.bind() is shared


def test_sharing_survives_moves_copies_and_pickles():
    A = Mask(torch.ones(3), domain=(3,))
    expression = A.H @ A
    for other in (
        expression.to(F64),
        expression.to("cpu"),
        pickle.loads(pickle.dumps(expression)),
        expression.bind(mask=torch.zeros(3)),
    ):
        assert list(other.parameters()) == ["mask"]
        assert (
            float(
                other.bind(mask=2 * torch.ones(3, dtype=other.dtype))(torch.ones(3, dtype=other.dtype)).sum()
            )
            == 12
        )


def test_learnable_parameters_stay_what_they_are():
    p = Parameter(torch.ones(3))
    A = Mask(torch.zeros(3), domain=(3,)).bind(mask=p)
    assert A.mask is p and A.parameters()["mask"] is p
    A(torch.ones(3)).sum().backward()
    assert p.grad.tolist() == [1, 1, 1]


def test_complex_tensors_keep_their_kind_when_moved():
    A = Matrix(normal(2, 2, dtype=C128))
    assert A.to(torch.float32).matrix.dtype == torch.complex64
    assert A.to(torch.complex64).matrix.dtype == torch.complex64
    assert Mask(torch.tensor([True, False]), domain=(2,)).to(F64).mask.dtype == torch.bool
