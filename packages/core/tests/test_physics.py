"""`Physics`: an operator and then noise, with parameters for one measurement."""

import pickle
import subprocess
import sys

import pytest
import torch

from invcore import DtypeError, ParameterError, Physics, ShapeError, least_squares
from invcore.fidelities import L1
from invcore.noises import Compose, GaussianNoise, Noise, NoNoise, PoissonNoise
from invcore.operators import Convolution, Identity, Mask, Matrix, RealPart, Space, stack
from invcore_testsupport import normal, rng

F64 = torch.float64


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


def test_physics_takes_operator_and_noise_by_position():
    A, noise = Matrix(torch.eye(2)), GaussianNoise(0.1)
    physics = Physics(A, noise)
    assert physics.operator is A
    assert physics.noise is noise
    assert isinstance(Physics(A).noise, NoNoise)
    assert repr(pickle.loads(pickle.dumps(physics))) == repr(physics)


@pytest.mark.parametrize(
    ("operator", "noise", "name"), [("mask", NoNoise(), "operator"), (Identity((2,)), 0.1, "noise")]
)
def test_physics_refuses_what_is_no_operator_or_noise(operator, noise, name):
    with pytest.raises(ParameterError, match=f"Physics: {name} must be an? {name.capitalize()}, got"):
        Physics(operator, noise)


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


class Offset(Noise):
    """A third party's noise, which has no parameters."""

    def sample(self, y, space, generator):
        return y + torch.rand(y.shape, generator=generator, dtype=y.dtype)

    def likelihood(self):
        return L1()


def test_noise_does_not_see_the_parameters_of_the_operator():
    physics = Physics(Mask(torch.ones(3), domain=(3,)), Offset())
    y = physics(torch.ones(3), mask=torch.tensor([0.0, 10.0, 20.0]), generator=rng())
    assert y.floor().tolist() == [0, 10, 20]


def test_a_parameter_of_the_noise_reaches_every_block():
    masks = [Mask(torch.full((4,), v), domain=(4,)) for v in (2.0, 3.0)]
    physics = Physics(stack(masks), GaussianNoise(sigma=0.0))
    a, b = physics.bind(sigma=0.5)(torch.ones(5000, 4), generator=rng())
    assert float((a - 2).std()) == pytest.approx(0.5, rel=0.05)
    assert float((b - 3).std()) == pytest.approx(0.5, rel=0.05)


def test_what_is_no_parameter_or_would_lose_its_imaginary_part_is_refused():
    A = Convolution(torch.ones(1, 3, 3), domain=(1, 8, 8))
    physics = Physics(A, GaussianNoise(sigma=0.1))
    for wrong in ({"filtre": torch.ones(1, 3, 3)}, {"boundary": "valid"}, {"padding": "valid"}):
        with pytest.raises(ParameterError, match="has no parameter"):
            physics.bind(**wrong)
        with pytest.raises(ParameterError, match="has no parameter"):
            physics(torch.ones(1, 8, 8), generator=rng(), **wrong)
    with pytest.raises(DtypeError, match="complex kernel needs a complex domain"):
        physics.bind(kernel=1j * torch.ones(1, 3, 3))
    with pytest.raises(ShapeError, match="complex mask needs a complex domain"):
        Mask(torch.ones(4), domain=(4,)).bind(mask=1j * torch.ones(4))


def test_calls_leave_no_trace():
    """Parameters of one call, of another batch size, of a vmap: the next call sees none of them."""
    mask, x = torch.tensor([1.0, 0.0, 2.0]), torch.ones(3)
    A = Mask(mask, domain=(3,))
    physics = Physics(A)
    before = A(x)
    masks = torch.rand(5, 3, generator=rng())
    assert physics(x, mask=masks).shape == (5, 3)
    mapped = torch.func.vmap(lambda m, v: A.bind(mask=m)(v))(masks, x.expand(5, 3))
    torch.testing.assert_close(mapped, masks)
    gradient = torch.func.grad(lambda m: A.bind(mask=m)(x).sum())(mask)
    assert gradient.tolist() == [1.0, 1.0, 1.0]
    least_squares(A, before, solver="lsqr", shift=1.0, max_steps=7)
    assert torch.equal(A(x), before)
    assert torch.equal(physics(x), before)
    assert A.mask is mask
    assert not mask.requires_grad
    torch.testing.assert_close(physics(torch.ones(2, 3)), before.expand(2, 3))
    blur = Convolution(torch.ones(1, 3), domain=(1, 8))
    kernels = torch.rand(4, 1, 3, generator=rng())
    torch.func.vmap(lambda k: blur.bind(kernel=k)(torch.ones(1, 8)))(kernels)
    torch.testing.assert_close(blur(torch.ones(1, 8)), torch.full((1, 8), 3.0))


def test_physics_works_the_same_in_another_process(tmp_path):
    A = Convolution(torch.ones(1, 3, 2), domain=(1, 4, 4)) @ RealPart(Space((1, 4, 4), "complex"))
    noise = Compose((PoissonNoise(gain=0.1), GaussianNoise(sigma=torch.tensor([0.1, 0.2]))))
    physics, x = Physics(A, noise), torch.ones(2, 1, 4, 4, dtype=torch.complex64)
    A(x)  # what is kept between calls stays here
    file = tmp_path / "physics"
    file.write_bytes(pickle.dumps((physics, x)))
    code = (
        "import pickle, sys, torch; physics, x = pickle.load(open(sys.argv[1], 'rb')); "
        "print(physics(x, generator=torch.Generator().manual_seed(3)).tolist())"
    )
    run = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str(physics(x, generator=rng(3)).tolist())
