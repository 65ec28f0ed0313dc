"""The kit tested on operators that compute the right thing in the wrong way: state, randomness, devices, layouts."""

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


class MutatesInput(Square, LinearOperator):
    domain: Space = SPACE

    def forward(self, x):
        x = x.detach() if x.requires_grad else x
        x *= 2
        return x / 2


class IgnoredParameter(Square, LinearOperator):
    gain: Tensor
    offset: Tensor
    domain: Space = SPACE
    params = ("gain", "offset")

    def forward(self, x):
        return self.gain * x + 0 * self.offset * x


class DeviceLeak(Square, LinearOperator):
    domain: Space = SPACE

    def forward(self, x):
        return x * torch.linspace(0, 1, 3)


class LeaksResult(Square, LinearOperator):
    domain: Space = SPACE

    def forward(self, x):
        return (2 * x).cpu()


class GlobalRandom(Square, LinearOperator):
    domain: Space = SPACE

    def forward(self, x):
        return x + 0 * torch.randn(3, device=x.device)


class DependsOnGlobalSeed(Square, LinearOperator):
    domain: Space = SPACE

    def forward(self, x):
        return x * (1 + torch.get_rng_state().sum().item() % 1000)


class NotPicklable(Square, LinearOperator):
    hook: object
    domain: Space = SPACE

    def forward(self, x):
        return 2 * x


class MutableState(Square, LinearOperator):
    calls: list
    domain: Space = SPACE

    def forward(self, x):
        self.calls.append(1)
        return (1 + 1e-3 * len(self.calls)) * x


_CACHE = {}


class CacheOutlivesBind(Square, LinearOperator):
    gain: Tensor
    domain: Space = SPACE
    params = ("gain",)

    def forward(self, x):
        kept = _CACHE.setdefault((self.domain, self.gain.dtype, self.gain.ndim), self.gain.detach())
        return kept * x


class PrintsTensor(Square, LinearOperator):
    gain: Tensor
    domain: Space = SPACE
    params = ("gain",)

    def forward(self, x):
        return self.gain * x

    def __repr__(self):
        return f"PrintsTensor({self.gain})"


class NeedsResolvedConjugate(Square, LinearOperator):
    domain: Space = SPACE

    def forward(self, x):
        return torch.view_as_complex(torch.view_as_real(x) * 2)

    def adjoint(self, y):
        return 2 * y


class SkipsValidation(Square, LinearOperator):
    gain: Tensor
    domain: Space = SPACE
    params = ("gain",)

    def forward(self, x):
        return self.gain * x

    def __call__(self, x):
        return self.forward(x)


class Unfrozen(Square, LinearOperator):
    domain: Space = SPACE

    def forward(self, x):
        return 2 * x


Unfrozen.__setattr__ = object.__setattr__  # the class statement refuses it


BROKEN = [
    (MutatesInput, "nothing_is_mutated", "A changes its input in place"),
    (
        lambda: IgnoredParameter(gain=gain(), offset=gain()),
        "every_parameter_matters",
        "parameter 'offset' is ignored: another value of it gives the same output",
    ),
    (DeviceLeak, "device", r"device leak in DeviceLeak: torch\.mul.* met a CPU tensor of shape \(3,\).*device=x\.device"),
    (LeaksResult, "device", r"device leak.*the result, of shape \(1, 2, 3\), is on cpu"),
    (GlobalRandom, "no_global_randomness", "draws from the global random state of torch; take a torch.Generator"),
    (DependsOnGlobalSeed, "no_global_randomness", "depends on the global seed"),
    (lambda: NotPicklable(hook=lambda: 0), "pickle", "NotPicklable cannot be pickled"),
    (lambda: MutableState(calls=[]), "repeats", "another result the second time.*keeps state between calls"),
    (lambda: MutableState(calls=[]), "nothing_is_mutated", "A changes the field 'calls' of the operator"),
    (lambda: CacheOutlivesBind(gain=gain()), "every_parameter_matters", "parameter 'gain' is ignored"),
    (lambda: PrintsTensor(gain=gain()), "repr", "repr prints the entries of a tensor"),
    (NeedsResolvedConjugate, "memory_layouts", "conj"),
    (lambda: SkipsValidation(gain=gain()), "wrong_input_raises", "instead of ShapeError|in silence; it should raise"),
    (Unfrozen, "frozen", r"Unfrozen\.domain can be assigned to"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "name", "message"), BROKEN, ids=[f"{i}-{name}" for i, (_, name, _) in enumerate(BROKEN)]
)
def test_a_broken_operator_fails_the_check_meant_for_it(make, name, message):
    _CACHE.clear()
    found = {c.name: c for c in iter_checks(make())}[name].result()
    assert found[0] == "failed", f"{name} did not fail: {found}"
    assert re.search(message, found[1], re.DOTALL), found[1]
