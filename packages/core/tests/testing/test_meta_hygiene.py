"""The kit on operators with the right values that keep state, draw globally, or ignore device and layout."""

import re

import pytest
import torch
from torch import Tensor

from invcore import LinearOperator, Space
from invcore.testing import iter_checks

SPACE = Space((1, 2, 3), "complex")


def gain():
    generator = torch.Generator().manual_seed(5)
    return torch.complex(*(0.5 + torch.rand(SPACE.shape, generator=generator) for _ in range(2)))


class Square:
    """Mixin: the range is the domain."""

    @property
    def range(self):
        return self.domain


BROKEN = []


def fails(name, message, **fields):
    """Register a broken operator with the check meant for it and what that says."""

    def register(broken):
        make = lambda: broken(**fields)
        BROKEN.append(pytest.param(make, name, message, id=f"{broken.__name__}-{name}"))
        return broken

    return register


@fails("nothing_is_mutated", "A changes its input in place")
class MutatesInput(Square, LinearOperator):
    domain: Space = SPACE

    def forward(self, x):
        x = x.detach() if x.requires_grad else x
        x *= 2
        return x / 2


@fails(
    "every_parameter_matters",
    "parameter 'offset' is ignored: another value of it gives the same output",
    gain=gain(),
    offset=gain(),
)
class IgnoredParameter(Square, LinearOperator):
    gain: Tensor
    offset: Tensor
    domain: Space = SPACE
    params = ("gain", "offset")

    def forward(self, x):
        return self.gain * x + 0 * self.offset * x


@fails(
    "device", r"device leak in DeviceLeak: torch\.mul.* met a CPU tensor of shape \(3,\).*device=x\.device"
)
class DeviceLeak(Square, LinearOperator):
    domain: Space = SPACE

    def forward(self, x):
        return x * torch.linspace(0, 1, 3)


@fails("device", r"device leak.*the result, of shape \(1, 2, 3\), is on cpu")
class LeaksResult(Square, LinearOperator):
    domain: Space = SPACE

    def forward(self, x):
        return (2 * x).cpu()


@fails("no_global_randomness", "draws from the global random state of torch; take a torch.Generator")
class GlobalRandom(Square, LinearOperator):
    domain: Space = SPACE

    def forward(self, x):
        return x + 0 * torch.randn(3, device=x.device)


@fails("no_global_randomness", "depends on the global seed")
class DependsOnGlobalSeed(Square, LinearOperator):
    domain: Space = SPACE

    def forward(self, x):
        return x * (1 + torch.get_rng_state().sum().item() % 1000)


@fails("pickle", "NotPicklable cannot be pickled", hook=lambda: 0)
class NotPicklable(Square, LinearOperator):
    hook: object
    domain: Space = SPACE

    def forward(self, x):
        return 2 * x


@fails("nothing_is_mutated", "A changes the field 'calls' of the operator", calls=[])
@fails("repeats", "another result the second time.*keeps state between calls", calls=[])
class MutableState(Square, LinearOperator):
    calls: list
    domain: Space = SPACE

    def forward(self, x):
        self.calls.append(1)
        return (1 + 1e-3 * len(self.calls)) * x


_CACHE = {}


@fails("every_parameter_matters", "parameter 'gain' is ignored", gain=gain())
class CacheOutlivesBind(Square, LinearOperator):
    gain: Tensor
    domain: Space = SPACE
    params = ("gain",)

    def forward(self, x):
        kept = _CACHE.setdefault((self.domain, self.gain.dtype, self.gain.ndim), self.gain.detach())
        return kept * x


@fails("repr", "repr prints the entries of a tensor", gain=gain())
class PrintsTensor(Square, LinearOperator):
    gain: Tensor
    domain: Space = SPACE
    params = ("gain",)

    def forward(self, x):
        return self.gain * x

    def __repr__(self):
        return f"PrintsTensor({self.gain})"


@fails("memory_layouts", "conj")
class NeedsResolvedConjugate(Square, LinearOperator):
    domain: Space = SPACE

    def forward(self, x):
        return torch.view_as_complex(torch.view_as_real(x) * 2)

    def adjoint(self, y):
        return 2 * y


@fails("wrong_input_raises", "instead of ShapeError|in silence; it should raise", gain=gain())
class SkipsValidation(Square, LinearOperator):
    gain: Tensor
    domain: Space = SPACE
    params = ("gain",)

    def forward(self, x):
        return self.gain * x

    def __call__(self, x):
        return self.forward(x)


@fails("frozen", r"Unfrozen\.domain can be assigned to")
class Unfrozen(Square, LinearOperator):
    domain: Space = SPACE

    def forward(self, x):
        return 2 * x


Unfrozen.__setattr__ = object.__setattr__  # the class statement refuses it


@pytest.mark.parametrize(("make", "name", "message"), BROKEN)
def test_a_broken_operator_fails_the_check_meant_for_it(make, name, message):
    _CACHE.clear()
    found = {c.name: c for c in iter_checks(make())}[name].result()
    assert found[0] == "failed", f"{name} did not fail: {found}"
    assert re.search(message, found[1], re.DOTALL), found[1]
