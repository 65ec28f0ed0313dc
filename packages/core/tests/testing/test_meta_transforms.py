"""The kit on broken random transforms."""

import re

import pytest
import torch

from invcore import DtypeError, ShapeError, Value
from invcore.testing import check, iter_checks


class Roll(Value):
    """Shifts of the last dimension; ``fault`` breaks it."""

    fault: str = ""
    exact = True
    linear = True
    spatial_dims = 2

    def draw(self, batch=(), *, generator):
        own = torch.Generator().manual_seed(0) if self.fault == "ignores its generator" else generator
        count = torch.Size(batch).numel()
        if self.fault == "many at once":
            return torch.randint(0, 5, (count, 1), generator=own).flip(0).double().reshape(*batch, 1)
        draws = [torch.randint(0, 5, (1,), generator=own) for _ in range(count)]
        return (torch.stack(draws) if draws else torch.zeros(0, 1)).double().reshape(*batch, 1)

    def _each(self, x, g, sign):
        if not isinstance(x, torch.Tensor) or not (x.is_floating_point() or x.is_complex()):
            raise DtypeError("expected an image")
        if x.ndim < 3:
            raise ShapeError("expected an image")
        batch = x.shape[:-3]
        if g.ndim > 1 and g.shape[:-1] != batch:
            raise ShapeError("other batch")
        flat = x.reshape(-1, *x.shape[-3:])
        if self.fault == "one for all":
            g = g.reshape(-1, 1)[0]
        shifts = g.expand(*batch, 1).reshape(-1).tolist()
        if self.fault == "detached":
            flat = flat.detach()
        if self.fault == "in place":
            x.mul_(1.001)
        rolled = [i.roll(int(sign * s), -1) for i, s in zip(flat, shifts)]
        out = torch.stack(rolled).reshape(x.shape) if rolled else x.clone()
        if self.fault == "single":
            out = out.float() if not x.is_complex() else out
        return out + 0.1 if self.fault == "affine" else out

    def apply(self, x, g):
        return self._each(x, g, 1)

    def inverse(self, x, g):
        return self._each(x, g, 1 if self.fault == "inverse" else -1)

    def compose(self, a, b):
        return a - b if self.fault == "compose" else a + b

    def elements(self, shape):
        return torch.arange(shape[-1] - (self.fault == "elements"), dtype=torch.float64)[:, None]

    def __call__(self, x, *, generator):
        return self.apply(x, self.draw(tuple(x.shape[:-3]), generator=generator))


def test_a_sound_transform_passes():
    check(Roll(), kind="transform")


CASES = {
    "ignores its generator": ("draw_uses_its_generator", "the generator is ignored"),
    "many at once": ("draw_batch_split_invariance", "in two parts differs"),
    "one for all": ("batch_equals_loop", "a batch differs from its item"),
    "inverse": ("inverse", "the inverse of the transform differs"),
    "compose": ("group", r"compose\(a, b\) differs"),
    "elements": ("group", "the product of two elements is no element"),
    "affine": ("linear", "says it is linear"),
    "detached": ("gradient", "the graph is cut"),
    "in place": ("pure", "changes its input"),
    "single": ("shape", "makes torch.float32"),
}


@pytest.mark.parametrize("fault", CASES)
def test_a_broken_transform_fails_the_check_meant_for_it(fault):
    name, message = CASES[fault]
    status, found = {c.name: c for c in iter_checks(Roll(fault=fault), kind="transform")}[name].result()
    assert status == "failed"
    assert re.search(message, found), found
