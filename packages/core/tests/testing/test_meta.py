"""The kit on deliberately broken operators: the check meant for each catches it and says why."""

import re

import numpy as np
import pytest
import torch
from torch import Tensor

from invcore import LinearOperator, Operator, Space
from invcore.testing import ConformanceError, check, iter_checks

SPACE = Space((1, 2, 3), "complex")


def gain(*batch):
    generator = torch.Generator().manual_seed(5)
    return torch.complex(*(0.5 + torch.rand((*batch, *SPACE.shape), generator=generator) for _ in range(2)))


def results(obj, kind=None):
    return {c.name: c.result() for c in iter_checks(obj, kind=kind)}


def failures(obj, kind=None):
    return {name: message for name, (status, message) in results(obj, kind).items() if status == "failed"}


class Square:
    """Mixin: the range is the domain."""

    @property
    def range(self):
        return self.domain


class Correct(Square, LinearOperator):
    """Multiply by a complex gain and reverse the last axis."""

    gain: Tensor
    domain: Space = SPACE
    params = ("gain",)

    def forward(self, x):
        return self.gain * x.flip(-1)

    def adjoint(self, y):
        return (self.gain.conj() * y).flip(-1)


class CorrectForeign(Square, LinearOperator):
    """The same in numpy, one sample at a time, with a gradient to its gain."""

    gain: Tensor
    domain: Space = SPACE
    params = ("gain",)
    param_ndim = {"gain": 3}
    autograd = "adjoint"
    batched = False

    def forward(self, x):
        return torch.from_numpy(self.gain.detach().numpy() * x.detach().numpy()[..., ::-1])

    def adjoint(self, y):
        return torch.from_numpy(
            np.ascontiguousarray((self.gain.detach().numpy().conj() * y.detach().numpy())[..., ::-1])
        )

    def vjp_params(self, x, v):
        return {"gain": v * x.flip(-1).conj()}


class CorrectNonlinear(Square, Operator):
    """A smooth nonlinear map with a parameter."""

    gain: Tensor
    domain: Space = SPACE
    params = ("gain",)

    def forward(self, x):
        return self.gain * x + 0.1 * x * x * x.conj()


@pytest.mark.parametrize("cls", [Correct, CorrectForeign, CorrectNonlinear])
@pytest.mark.parametrize("batch", [(), (2,)], ids=["plain", "batch of parameters"])
def test_a_correct_operator_passes_everything(cls, batch):
    A = cls(gain=gain(*batch))
    assert failures(A) == {}
    statuses = {name: status for name, (status, _) in results(A).items()}
    if not batch and cls is Correct:
        assert set(statuses.values()) == {"passed"}, statuses


# -- broken operators -------------------------------------------------------------------------------------

BROKEN = []


def fails(name, message, **fields):
    """Register a broken operator with the check meant for it and what that says."""

    def register(broken):
        make = lambda: broken(**fields)
        BROKEN.append(pytest.param(make, name, message, id=f"{broken.__name__}-{name}"))
        return broken

    return register


@fails("adjoint_probes", r"Fitted scale: A\.H is 1\.001 x the true adjoint", gain=gain())
@fails("adjoint_matches_dense", r"is not the adjoint.*It is 1\.001 x the true adjoint", gain=gain())
class AdjointOff(Square, LinearOperator):
    gain: Tensor
    domain: Space = SPACE
    params = ("gain",)

    def forward(self, x):
        return self.gain * x

    def adjoint(self, y):
        return 1.001 * self.gain.conj() * y


@fails("adjoint_matches_dense", r"conjugate of 'gain'.*a conj\(\) is missing", gain=gain())
class MissingConjugate(Square, LinearOperator):
    gain: Tensor
    domain: Space = SPACE
    params = ("gain",)

    def forward(self, x):
        return self.gain * x

    def adjoint(self, y):
        return self.gain * y


@fails("adjoint_matches_dense", "It is the transpose: the conjugate is missing")
class OnlyTransposed(Square, LinearOperator):
    domain: Space = SPACE

    def forward(self, x):
        return torch.fft.fft(x, norm="ortho") * torch.arange(1, 4, device=x.device)

    def adjoint(self, y):
        return torch.fft.fft(y * torch.arange(1, 4, device=y.device), norm="ortho")


@fails("declared_spaces", r"output of A\.H does not lie in the declared space.*real floating-point")
class NoRealPart(LinearOperator):
    domain: Space = Space((1, 2, 3))

    @property
    def range(self):
        return SPACE

    def forward(self, x):
        return torch.fft.fft(x, norm="ortho")

    def adjoint(self, y):
        return torch.fft.ifft(y, norm="ortho")


@fails("adjoint_matches_dense", r"A\.H is not the adjoint of A.*columns are wrong")
class WrongRealPart(LinearOperator):
    domain: Space = Space((1, 2, 3))

    @property
    def range(self):
        return SPACE

    def forward(self, x):
        return torch.fft.fft(x, norm="ortho")

    def adjoint(self, y):
        return torch.fft.ifft(y.real, norm="ortho").real


@fails("batch_equals_loop", r"A of a batch \(3,\) differs from A of its item")
@fails("independent_of_batch_mates", "A of a sample changes when its batch-mates are multiplied by 10000")
class BatchDependent(Square, LinearOperator):
    domain: Space = SPACE

    def forward(self, x):
        return x + 0.1 * x.mean(0, keepdim=True) if x.ndim > 3 else 1.1 * x


@fails("gradients", r"the gradient to parameter 'gain' is 0\.5 x what finite differences", gain=gain())
class WrongGradientToXi(Square, LinearOperator):
    gain: Tensor
    domain: Space = SPACE
    params = ("gain",)
    autograd = "adjoint"

    def forward(self, x):
        return torch.from_numpy(self.gain.detach().numpy() * x.detach().numpy())

    def adjoint(self, y):
        return torch.from_numpy(self.gain.detach().numpy().conj() * y.detach().numpy())

    def vjp_params(self, x, v):
        return {"gain": 0.5 * v * x.conj()}


class _RawBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x * factor

    @staticmethod
    def backward(ctx, v):
        return v.detach() * ctx.factor, None


@fails("second_derivatives_exist", "the gradient to x .* the second derivative is cut")
class CutSecondDerivative(Square, LinearOperator):
    domain: Space = SPACE

    def forward(self, x):
        return _RawBackward.apply(x, 2.0)

    def adjoint(self, y):
        return 2.0 * y


@fails("gradients", "A: no gradient reaches parameter 'gain', although the value depends on it", gain=gain())
class DetachedParameter(Square, LinearOperator):
    gain: Tensor
    domain: Space = SPACE
    params = ("gain",)

    def forward(self, x):
        return self.gain.detach() * x

    def adjoint(self, y):
        return self.gain.conj() * y


@fails("declared_spaces", r"output of A does not lie in the declared space Space\(\(1, 2, 4\)")
class WrongRange(LinearOperator):
    domain: Space = SPACE

    @property
    def range(self):
        return Space((1, 2, 4), "complex")

    def forward(self, x):
        return 2 * x


@fails("declared_spaces", r"A returns torch\.complex64 for an input in torch\.float64: the precision changed")
class WrongPrecision(Square, LinearOperator):
    domain: Space = SPACE

    def forward(self, x):
        return 2 * x.to(torch.complex64)


@fails("gram", r"A\.gram is not A\.H A .*fitted scale 0\.", gain=gain())
class GramInconsistent(Square, LinearOperator):
    gain: Tensor
    domain: Space = SPACE
    params = ("gain",)

    def forward(self, x):
        return self.gain * x

    def _gram(self, x):
        return self.gain.abs() * x


@fails("norm_bound", r"norm_bound\(\) is not an upper bound of the norm: it is 0\.9 x the true", gain=gain())
class NormBoundTooSmall(Square, LinearOperator):
    gain: Tensor
    domain: Space = SPACE
    params = ("gain",)

    def forward(self, x):
        return self.gain * x

    def norm_bound(self):
        return 0.9 * self.gain.detach().abs().flatten(-3).amax(-1)


@fails("norm_bound", r"not an upper bound of the norm with 'gain' 1\.5 times as large", gain=gain())
class NormBoundForgetsXi(Square, LinearOperator):
    gain: Tensor
    domain: Space = SPACE
    params = ("gain",)

    def forward(self, x):
        return self.gain * x

    def norm_bound(self):
        return torch.tensor(2.0, dtype=self.dtype)


@fails("norm_bound", r"nonnegative = True, but the matrix has the entry -", gain=gain())
class NotNonnegative(Square, LinearOperator):
    gain: Tensor
    domain: Space = SPACE
    params = ("gain",)
    nonnegative = True

    def forward(self, x):
        return -self.gain.abs() * x


@fails("linear", "A is not linear over the reals")
class NotLinear(Square, LinearOperator):
    domain: Space = SPACE

    def forward(self, x):
        return x + 1

    def adjoint(self, y):
        return y


@fails("linear", r"not linear over the complex numbers.*A\(i x\) is not i A\(x\)")
class OnlyRealLinear(Square, LinearOperator):
    domain: Space = SPACE

    def forward(self, x):
        return x.conj()

    def adjoint(self, y):
        return y.conj()


@fails("empty_batch", r"A of an empty batch changes the dtype to torch\.float64")
class EmptyBatchInAnotherKind(Square, LinearOperator):
    domain: Space = SPACE

    def forward(self, x):
        return 2 * x

    def __call__(self, x):
        return x.real if x.numel() == 0 else super().__call__(x)


@fails(
    "parameters_per_sample",
    r"parameter 'gain' of shape \(1, 2, 3\) does not take a leading batch dimension",
    gain=gain(),
)
class ParameterWithoutBatch(Square, LinearOperator):
    gain: Tensor
    domain: Space = SPACE
    params = ("gain",)

    def forward(self, x):
        return torch.einsum("cyx,...cyx->...cyx", self.gain, x)


@fails(
    "parameters_per_sample",
    r"parameter 'scale' of shape \(\) does not take a leading batch dimension",
    scale=torch.tensor(1.5),
)
class PerSampleOnWrongAxis(Square, LinearOperator):
    scale: Tensor
    domain: Space = Space((1, 3, 2), "complex")
    params = ("scale",)

    def forward(self, x):
        return self.scale * x  # one scale per sample lands on the last axis


@fails("batch_mismatch_raises", "A accepts an input of batch 3 with 'gain' of batch 2", gain=gain())
class HidesMismatch(Square, LinearOperator):
    gain: Tensor
    domain: Space = SPACE
    params = ("gain",)

    def forward(self, x):
        gain = self.gain
        if gain.ndim > 3 and x.ndim > 3 and x.shape[-4] not in (1, gain.shape[0]):
            gain = gain[0]
        return gain * x


@fails("linearize_matches_finite_differences", "not the derivative of A at x along d: relative difference")
class WrongJacobian(Square, Operator):
    domain: Space = Space((1, 2, 3))

    def forward(self, x):
        return x**2

    def linearize(self, x):
        return Multiply(factor=x, domain=self.domain)  # the factor 2 is missing


class Multiply(Square, LinearOperator):
    factor: Tensor
    domain: Space
    params = ("factor",)

    def forward(self, x):
        return self.factor * x


REAL = torch.tensor([1.5, 0.5])


@pytest.mark.parametrize(("make", "name", "message"), BROKEN)
def test_a_broken_operator_fails_the_check_meant_for_it(make, name, message):
    found = {c.name: c for c in iter_checks(make())}[name].result()
    assert found[0] == "failed", f"{name} did not fail: {found}"
    assert re.search(message, found[1], re.DOTALL), found[1]


def test_a_wrong_factor_in_a_large_operator_is_found_by_correlated_probes():
    A = AdjointOff(gain=torch.ones(1, 96, 96, dtype=torch.complex64), domain=Space((1, 96, 96), "complex"))
    found = {c.name: c for c in iter_checks(A)}
    assert found["adjoint_matches_dense"].result()[0] == "skipped"
    status, message = found["adjoint_probes"].result()
    assert status == "failed"
    assert re.search(r"correlated probes.*1\.001 x", message)


def test_check_lists_every_failure():
    with pytest.raises(ConformanceError) as caught:
        check(AdjointOff(gain=gain()))
    text = str(caught.value)
    assert isinstance(caught.value, AssertionError)
    assert re.match(r"AdjointOff\(.*fails \d of \d+ checks:\n", text)
    assert "adjoint_matches_dense: " in text and "adjoint_probes: " in text
