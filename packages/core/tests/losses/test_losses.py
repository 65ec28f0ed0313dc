"""Losses."""

import pytest
import torch

import invcore
from invcore.losses import Loss, Supervised
from invcore.metrics import NMSE, PSNR


def test_supervised_is_the_metric():
    g = torch.Generator().manual_seed(0)
    x_hat, x = (torch.randn(3, 1, 6, 7, dtype=torch.complex128, generator=g) for _ in range(2))
    loss = invcore.loss("supervised")
    assert isinstance(loss, Loss)
    assert torch.allclose(loss(x_hat, x, None, None, None), (x_hat - x).abs().square().mean((1, 2, 3)))
    metric = NMSE(complex="magnitude")
    assert torch.equal(Supervised(metric=metric)(x_hat, x, None, None, None), metric(x_hat, x))
    psnr = PSNR(data_range=1.0, complex="complex")  # larger is better, so the loss is its negative
    assert torch.equal(Supervised(metric=psnr)(x_hat, x, None, None, None), -psnr(x_hat, x))


def test_supervised_trains():
    x = torch.ones(2, 1, 4, 4)
    scale = torch.nn.Parameter(torch.tensor(0.0))
    optimizer = torch.optim.SGD([scale], lr=0.4)
    for _ in range(30):
        optimizer.zero_grad()
        Supervised()(scale * x, x, None, None, None).mean().backward()
        optimizer.step()
    assert abs(float(scale.detach()) - 1) < 1e-3


def test_wrong_use():
    x = torch.ones(1, 4, 4)
    with pytest.raises(invcore.DataError, match="no reference"):
        Supervised()(x, None, x, None, None)
    with pytest.raises(invcore.ParameterError, match="name or a metric"):
        Supervised(metric=3)
    with pytest.raises(invcore.UnknownComponentError, match="no metric is called 'mes'"):
        Supervised(metric="mes")(x, x, None, None, None)
    with pytest.raises(invcore.ParameterError, match="data_range"):
        Supervised(metric="psnr")(x, x, None, None, None)
