"""Path norms against the sum over all paths; bounds on random points; rescaling; convexity."""

import itertools

import pytest
import torch
from torch import nn

import invcore
from invcore_learning import DnCNN, UNet, balance, is_convex, path_distance, path_lipschitz, path_norm
from invcore_testsupport import error, normal, rng


def drawn(network, seed=0):
    for i, p in enumerate(network.double().parameters()):
        p.data = normal(*p.shape, seed=seed + i)
    return network


def mlp(*sizes, seed=0, bias=True):
    layers = [m for a, b in itertools.pairwise(sizes) for m in (nn.Linear(a, b, bias=bias), nn.ReLU())]
    return drawn(nn.Sequential(*layers[:-1]), seed)


def brute(network, q):
    """Σ over paths of Π |w|^q: from each input, and from each bias."""
    layers = list(network)[::2]
    sizes = [layers[0].in_features, *(layer.out_features for layer in layers)]
    total = 0.0
    for path in itertools.product(*map(range, sizes)):
        product = 1.0
        for k, (a, b) in enumerate(itertools.pairwise(path)):
            product *= abs(float(layers[k].weight[b, a])) ** q
        total += product
    for start, layer in enumerate(layers):
        for path in itertools.product(*(range(n) for n in sizes[start + 1 :])):
            product = abs(float(layer.bias[path[0]])) ** q
            for k, (a, b) in enumerate(itertools.pairwise(path), start + 1):
                product *= abs(float(layers[k].weight[b, a])) ** q
            total += product
    return total ** (1 / q)


@pytest.mark.parametrize("q", [1.0, 2.0, 3.5])
def test_the_pass_is_the_sum_over_paths(q):
    network = mlp(4, 5, 3, 2)
    assert abs(float(path_norm(network, (4,), q=q)) - brute(network, q)) < 1e-10 * brute(network, q)


def test_a_convolutional_network_is_that_of_its_dense_matrices():
    conv = drawn(nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, bias=False), nn.ReLU(), nn.AvgPool2d(2)))
    eye = torch.eye(32, dtype=torch.float64).reshape(32, 2, 4, 4)
    first = conv[0](eye).flatten(1).mT
    second = conv[2](torch.eye(48, dtype=torch.float64).reshape(48, 3, 4, 4)).flatten(1).mT
    for q in (1.0, 2.0):
        dense = (second.abs() ** q @ first.abs() ** q).sum() ** (1 / q)
        assert abs(path_norm(conv, (2, 4, 4), q=q) - dense) < 1e-10 * dense
    pooled = nn.Sequential(conv[0], nn.ReLU(), nn.MaxPool2d(2))
    assert abs(path_norm(pooled, (2, 4, 4)) - 4 * path_norm(conv, (2, 4, 4))) < 1e-9


def test_batch_normalization_is_folded():
    plain = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    network = drawn(plain).eval()
    network[1].running_mean.copy_(normal(4, seed=8))
    network[1].running_var.copy_(normal(4, seed=9).abs() + 0.5)
    first = nn.Linear(3, 4).double()
    scale = network[1].weight / (network[1].running_var + network[1].eps).sqrt()
    first.weight.data = network[0].weight * scale[:, None]
    first.bias.data = (network[0].bias - network[1].running_mean) * scale + network[1].bias
    folded = nn.Sequential(first, nn.ReLU(), network[3])
    x = normal(5, 3)
    assert error(folded(x).detach(), network(x).detach()) < 1e-12
    assert abs(path_norm(network, (3,)) - path_norm(folded, (3,))) < 1e-10
    with pytest.raises(invcore.ParameterError, match="evaluation mode"):
        path_norm(network.train(), (3,))


@pytest.mark.parametrize(
    "network", [mlp(4, 5, 3, 2), drawn(DnCNN(depth=3, features=3))], ids=["mlp", "dncnn"]
)
def test_the_lipschitz_bound_holds(network):
    shape = (4,) if isinstance(network, nn.Sequential) else (1, 5, 5)
    bound = path_lipschitz(network, shape)
    x, z = normal(300, *shape), normal(300, *shape, seed=1)
    with torch.no_grad():
        change = (network(x) - network(z)).flatten(1).abs().amax(1) / (x - z).flatten(1).abs().amax(1)
    assert 1e-3 * bound < change.max() <= bound


def test_pruning_changes_the_output_by_no_more_than_the_distance():
    network = mlp(4, 6, 5, 2)
    pruned = mlp(4, 6, 5, 2)
    for i, p in enumerate(pruned.parameters()):
        p.data = p.data * (torch.rand(p.shape, generator=rng(i), dtype=torch.float64) > 0.2)
    distance = path_distance(network, pruned, (4,))
    x = 3 * normal(300, 4)
    with torch.no_grad():
        change = (network(x) - pruned(x)).abs().sum(1) / x.abs().amax(1).clamp_min(1)
    assert 0 < change.max() <= distance
    with pytest.raises(invcore.ParameterError, match="larger, or of another sign"):
        path_distance(pruned, network, (4,))


@pytest.mark.parametrize("kind", ["linear", "convolution"])
def test_balance_keeps_the_function_and_the_paths_and_shrinks_the_weights(kind):
    if kind == "linear":
        network, x = mlp(4, 6, 5, 2), normal(50, 4)
    else:
        layers = nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 2, 3)
        network, x = drawn(nn.Sequential(*layers)), normal(5, 2, 6, 6)
    with torch.no_grad():
        network[0].weight.mul_(30.0)
    even = balance(network)
    assert error(even(x).detach(), network(x).detach()) < 1e-12
    shape = tuple(x.shape[1:])
    assert abs(path_norm(even, shape) / path_norm(network, shape) - 1) < 1e-12
    squares = [float(sum(p.square().sum() for p in n.parameters())) for n in (even, network, balance(even))]
    assert squares[0] < 0.5 * squares[1] and abs(squares[2] / squares[0] - 1) < 1e-9
    with pytest.raises(invcore.ParameterError, match="Tanh"):
        balance(nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2)))


def test_convexity_agrees_with_midpoints():
    """Two thirds of the networks have neurons on a common hyperplane, of both signs."""
    verdicts = []
    x, z = 4 * normal(3000, 2, seed=5), 4 * normal(3000, 2, seed=6)
    for seed in range(60):
        network = mlp(2, 4, 1, seed=10 * seed)
        w, b, v = network[0].weight.data, network[0].bias.data, network[2].weight.data
        if seed % 3:
            v.abs_()
            w[1], b[1] = -2 * w[0], -2 * b[0]
            v[0, 1] *= -0.3 if seed % 3 == 1 else -3
        with torch.no_grad():
            gap = (network(x) + network(z)) / 2 - network((x + z) / 2)
        verdicts.append(is_convex(network))
        assert verdicts[-1] == bool(gap.min() > -1e-9), seed
    assert 10 < sum(verdicts) < 50


def test_other_parts_are_refused():
    with pytest.raises(invcore.ParameterError, match="UNet"):
        path_norm(UNet(features=(2, 4), blocks=1), (1, 8, 8))
    with pytest.raises(invcore.ParameterError, match="Tanh"):
        path_norm(nn.Sequential(nn.Linear(2, 2), nn.Tanh()), (2,))
    with pytest.raises(invcore.ParameterError, match="circular|Conv2d"):
        path_norm(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")), (1, 4, 4))
    with pytest.raises(invcore.ParameterError, match="at least 1"):
        path_norm(mlp(2, 2), (2,), q=0.5)
    with pytest.raises(invcore.ParameterError, match="one output"):
        is_convex(mlp(2, 3, 2))
