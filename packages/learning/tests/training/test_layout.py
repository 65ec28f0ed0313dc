"""Channels last in memory: faster on a CPU, and nothing else."""

import contextlib

import pytest
import torch

from invcore_learning import Files, Loading, Optimization, Validation, evaluate, train


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(1, 8, 3, padding=1, bias=False),
            torch.nn.BatchNorm2d(8),
            torch.nn.Conv2d(8, 1, 3, padding=1),
        )
        g = torch.Generator().manual_seed(0)
        for p in self.parameters():
            p.data = 0.2 * torch.randn(p.shape, generator=g)
        self.seen = set()

    def forward(self, y, physics):
        self.seen.add(self.layers[2].weight.is_contiguous(memory_format=torch.channels_last))
        return self.layers(y)


def trained(model, physics, images, steps, **options):
    how = Optimization(steps=steps, lr=1e-2, ema=0.5)
    return train(model, physics, images, optimization=how, loading=Loading(batch=4), **options)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_weights_lie_channels_last_while_training_and_come_back_as_they_were(images, noisy):
    model = Network()
    done = trained(model, noisy, images, 3, validation=Validation(dataset=images[:3]))
    assert model.seen == {True}
    assert all(p.is_contiguous() for p in model.parameters())
    found = evaluate(model, noisy, images[:3])
    assert torch.equal(found.metrics["psnr"], done.evaluation.metrics["psnr"])

    def broken(x_hat, x, y, physics, model):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        trained(model, noisy, images, 1, loss=broken)
    assert all(p.is_contiguous() for p in model.parameters())


def test_the_layout_of_the_user_stays(images, noisy):
    model = Network().to(memory_format=torch.channels_last)
    trained(model, noisy, images, 1)
    assert model.layers[2].weight.is_contiguous(memory_format=torch.channels_last)
    wide = Network().double()
    y = [x.double() for x in images]
    trained(wide, noisy, y, 1)
    assert wide.seen == {False}  # no kernels for it


def test_a_resumed_training_has_the_same_bits_and_the_layout_is_rounding_only(
    images, noisy, tmp_path, monkeypatch
):
    whole, parts, plain = (Network() for _ in range(3))
    trained(whole, noisy, images, 6, files=Files(tmp_path / "whole"))
    trained(Network(), noisy, images, 4, files=Files(tmp_path / "parts"))
    trained(parts, noisy, images, 6, files=Files(tmp_path / "parts"))
    assert torch.equal(weights(whole), weights(parts))
    as_it_is = lambda model, device: contextlib.nullcontext()
    monkeypatch.setattr("invcore_learning._training.train.channels_last", as_it_is)
    trained(plain, noisy, images, 6)
    assert plain.seen == {False}
    torch.testing.assert_close(weights(plain), weights(whole), rtol=0, atol=1e-5)
