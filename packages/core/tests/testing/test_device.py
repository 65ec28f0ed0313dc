"""The pretended second device: right code runs on it, and what would fail on a GPU is seen."""

import numpy as np
import pytest
import torch

from invcore.testing._device import NotSimulated, runs_elsewhere

X = torch.arange(6.0).reshape(2, 3)


def on(function, x=X):
    return runs_elsewhere(lambda device: function(x.to(device)))


RIGHT = {
    "like": lambda x: x + torch.zeros_like(x) + x.new_ones(3),
    "factory": lambda x: x * torch.arange(3, device=x.device),
    "literal": lambda x: x * torch.tensor([1.0, 2.0, 3.0], device=x.device),
    "as_tensor": lambda x: x * torch.as_tensor(np.ones(3, np.float32), device=x.device),
    "from_numpy": lambda x: x * torch.from_numpy(np.ones(3, np.float32)).to(x.device),
    "scalar tensor": lambda x: x * torch.tensor(2.0),
    "scalar tensor of numpy": lambda x: x * torch.as_tensor(np.float64(2.0)),
    "looks at values": lambda x: x * 2 if bool((x > 0).any()) and x.sum().item() > 0 else None,
    "indices on the CPU": lambda x: x[:, torch.tensor([0, 2])],
    "in place": lambda x: x.clone().mul_(2).index_fill_(1, torch.tensor([0], device=x.device), 1.0),
    "slices": lambda x: torch.cat([x[..., 1:], x[..., :1]], dim=-1).flip(-1).movedim(0, -1),
    "fourier": lambda x: torch.fft.ifftn(torch.fft.fftn(x.to(torch.complex64)).conj(), dim=(-1,)).real,
    "views": lambda x: torch.view_as_real(torch.complex(x, x)).reshape(-1),
    "linear algebra": lambda x: torch.linalg.solve(x @ x.mT, x),
    "vjp": lambda x: torch.func.vjp(lambda v: v**2, x)[1](x)[0],
    "there and back": lambda x: torch.from_numpy(x.cpu().numpy() * 2).to(x.device),
    "einsum": lambda x: torch.einsum("ij,kj->ik", x, x),
}


@pytest.mark.parametrize("function", RIGHT.values(), ids=RIGHT)
def test_right_code_runs(function):
    assert on(function) is None


def test_derivatives_run():
    def use(device):
        x = X.to(device).requires_grad_()
        (g,) = torch.autograd.grad((x**3).sum(), [x], create_graph=True)
        return torch.autograd.grad(g.sum(), [x])

    assert runs_elsewhere(use) is None


LEAKS = {
    "factory": (lambda x: x * torch.arange(3), r"met a CPU tensor of shape \(3,\)"),
    "literal": (lambda x: x + torch.tensor([1.0, 2.0, 3.0]), r"CPU tensor of shape \(3,\)"),
    "matrix": (lambda x: x @ torch.eye(3), r"mm met a CPU tensor of shape \(3, 3\)"),
    "concatenation": (lambda x: torch.cat([x, torch.zeros(2, 1)], dim=-1), r"\(2, 1\)"),
    "the other way round": (lambda x: torch.ones(3).add_(x[0]), r"CPU tensor of shape \(3,\)"),
    "result": (lambda x: torch.zeros(x.shape), r"the result, of shape \(2, 3\), is on cpu"),
    "moved result": (lambda x: x.cpu(), "is on cpu"),
}


@pytest.mark.parametrize(("function", "message"), LEAKS.values(), ids=LEAKS)
def test_a_leak_is_seen(function, message):
    assert on(function)
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(on(function))


def test_a_leak_is_seen_through_another_error():
    def hides(x):
        try:
            return x * torch.ones(3)
        except RuntimeError as error:
            raise ValueError("something went wrong") from error

    assert "CPU tensor" in on(hides)


@pytest.mark.parametrize(
    "function", [lambda x: x.numpy(), lambda x: torch.func.jvp(torch.sin, (x,), (x,))], ids=["numpy", "jvp"]
)
def test_a_call_that_cannot_be_simulated_is_refused(function):
    with pytest.raises(NotSimulated):
        on(function)


def test_nothing_stays_behind():
    on(lambda x: x * 2)
    assert (X * torch.ones(3)).device.type == "cpu"
    assert torch.zeros(2, device="meta").device.type == "meta"
    value, slope = torch.func.jvp(torch.sin, (X,), (X,))
    assert value.shape == slope.shape
