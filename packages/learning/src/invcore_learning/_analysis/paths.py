"""Path norms of ReLU networks: bounds that do not change when neurons are rescaled."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

import invcore

from .._networks.dncnn import DnCNN
from .._networks.layers import ResidualBlock

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
AVERAGES = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
MAXIMA = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
NORMALIZATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
PLAIN = (nn.ReLU, nn.Identity, nn.Dropout, nn.Flatten)
SWEEPS = 1000
"""Maximum number of passes over the neurons in `balance`."""


def path_norm(module: nn.Module, shape: tuple[int, ...], *, q: float = 1.0) -> Tensor:
    r"""The q-norm of the path-lifting of a ReLU network, by one forward pass [1]_.

    .. math:: \|Φ(θ)\|_q^q = \sum_{\mathrm{paths}} \prod_{w \in \mathrm{path}} |w|^q

    over all paths from an input or a bias to an output. It does not change when the weights into a neuron
    are multiplied by a number and those out of it divided.

    Parameters
    ----------
    module : Module
        `torch.nn.Sequential`, nested or not, of linear layers, convolutions with zero padding, ReLU, average
        and max pooling, batch normalization in evaluation mode right behind a linear layer or convolution,
        flattening, and residual blocks x + conv(relu(conv(x))); or a `DnCNN`.
    shape : tuple of int
        Of one input, without batch.
    q : float
        At least 1.

    Returns
    -------
    Tensor
        A number.

    Raises
    ------
    ParameterError
        If the network has another part.

    References
    ----------
    .. [1] A. Gonon, N. Brisebarre, E. Riccietti, R. Gribonval, A path-norm toolkit for modern networks:
       consequences, promises and challenges, ICLR 2024.

    Examples
    --------
    >>> layers = [torch.nn.Linear(1, 1, bias=False) for _ in range(2)]
    >>> network = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1])
    >>> with torch.no_grad():
    ...     _ = [p.fill_(-3.0) for p in network.parameters()]
    >>> path_norm(network, (1,))
    tensor(9.)
    """
    if not q >= 1:
        raise invcore.ParameterError(f"path_norm: q must be at least 1, got {q!r}")
    return _pass(module, shape, lambda t: t.abs() ** q, biases=True).sum() ** (1 / q)


def path_lipschitz(module: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """A Lipschitz constant in the maximum norm, ‖R(x) - R(z)‖_∞ ≤ L ‖x - z‖_∞, by one forward pass.

    Parameters
    ----------
    module : Module
        As for `path_norm`.
    shape : tuple of int
        Of one input, without batch.

    Examples
    --------
    >>> average = torch.nn.Sequential(torch.nn.AvgPool2d(2))
    >>> path_lipschitz(average, (1, 4, 4))
    tensor(1.)
    """
    return _pass(module, shape, torch.abs, biases=False).max()


def path_distance(module: nn.Module, other: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """‖Φ(θ) - Φ(θ')‖₁ where no weight of ``other`` is larger, or of another sign: pruned, or rounded to zero.

    It bounds the difference of the outputs: |R_θ(x) - R_θ'(x)|₁ ≤ max(1, ‖x‖_∞) ‖Φ(θ) - Φ(θ')‖₁.

    Parameters
    ----------
    module, other : Module
        Of the same structure, as for `path_norm`.
    shape : tuple of int
        Of one input, without batch.

    Raises
    ------
    ParameterError
        If a weight of ``other`` is larger or of another sign.

    Examples
    --------
    >>> network = torch.nn.Sequential(torch.nn.Linear(2, 1, bias=False))
    >>> pruned = torch.nn.Sequential(torch.nn.Linear(2, 1, bias=False))
    >>> with torch.no_grad():
    ...     network[0].weight[:] = torch.tensor([3.0, 0.5])
    ...     pruned[0].weight[:] = torch.tensor([3.0, 0.0])
    >>> path_distance(network, pruned, (2,))
    tensor(0.5000)
    """
    a, b = (dict(m.named_parameters()) for m in (module, other))
    if a.keys() != b.keys() or any(a[n].shape != b[n].shape for n in a):
        raise invcore.ParameterError("path_distance: the two networks have different weights")
    if not all(bool(((a[n] * b[n] >= 0) & (a[n].abs() >= b[n].abs())).all()) for n in a):
        raise invcore.ParameterError(
            "path_distance: a weight of the second network is larger, or of another sign, than in the first"
        )
    return path_norm(module, shape) - path_norm(other, shape)


def balance(module: nn.Sequential) -> nn.Sequential:
    """Rescale neurons so that the sum of squares of the weights is smallest, and the function the same.

    The weights into neuron j, with its bias, are multiplied by d_j and those out of it by 1/d_j, with d_j²
    the ratio of their norms; neurons are visited until nothing changes by more than 1e-6.

    Parameters
    ----------
    module : torch.nn.Sequential
        Linear layers, or convolutions, with ReLU between them.

    Returns
    -------
    torch.nn.Sequential
        A copy.

    Examples
    --------
    >>> layers = [torch.nn.Linear(1, 1, bias=False) for _ in range(2)]
    >>> network = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1])
    >>> with torch.no_grad():
    ...     network[0].weight[:], network[2].weight[:] = 8.0, 2.0
    >>> [float(p) for p in balance(network).parameters()]
    [4.0, 4.0]
    """
    module = copy.deepcopy(module)
    parts: list[Any] = list(module)
    layers = parts[::2]
    known = all(isinstance(m, (nn.Linear, *CONVOLUTIONS)) and getattr(m, "groups", 1) == 1 for m in layers)
    if not (known and len(parts) % 2 and all(isinstance(m, nn.ReLU) for m in parts[1::2])):
        raise invcore.ParameterError(
            "balance: expected a Sequential of linear layers or convolutions with ReLU between them, got "
            f"{', '.join(type(m).__name__ for m in parts)}"
        )
    with torch.no_grad():
        for _ in range(SWEEPS):
            worst = 0.0
            for first, second in pairwise(layers):
                weight, out, bias = first.weight, second.weight, first.bias
                into = weight.flatten(1).square().sum(1)
                if bias is not None:
                    into = into + bias.square()
                away = out.transpose(0, 1).flatten(1).square().sum(1)
                d = torch.where((into > 0) & (away > 0), (away / into) ** 0.25, 1.0)
                weight.mul_(d.reshape(-1, *(1,) * (weight.ndim - 1)))
                out.div_(d.reshape(1, -1, *(1,) * (out.ndim - 2)))
                if bias is not None:
                    bias.mul_(d)
                worst = max(worst, float((d - 1).abs().max()))
            if worst < 1e-6:
                break
    return module


def is_convex(module: nn.Sequential) -> bool:
    """True if a network of one hidden layer, Σ_j v_j relu(w_j·x + b_j) + c, is a convex function of x.

    It is if and only if for every hyperplane w·x + b = 0 the sum of v_j |w_j| over the neurons that bend
    there is not negative. Hyperplanes closer than rounding are taken for the same.

    Parameters
    ----------
    module : torch.nn.Sequential
        Linear, ReLU, Linear with one output.

    References
    ----------
    A. Gagneux, M. Massias, E. Soubies, R. Gribonval, Convexity in ReLU neural networks: beyond ICNNs?, 2025,
    arXiv:2501.03017.

    Examples
    --------
    >>> network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
    >>> with torch.no_grad():
    ...     _ = network[2].weight.abs_()
    >>> is_convex(network)
    True
    """
    parts: list[Any] = list(module)
    if [type(m) for m in parts] != [nn.Linear, nn.ReLU, nn.Linear] or parts[2].out_features != 1:
        raise invcore.ParameterError(
            "is_convex: expected a Sequential of Linear, ReLU and Linear with one output"
        )
    first, last = parts[0], parts[2]
    with torch.no_grad():
        w = first.weight.double()
        b = torch.zeros(len(w), dtype=w.dtype) if first.bias is None else first.bias.double()
        size = w.norm(dim=1)
        bends = (last.weight[0].double() * size)[size > 0]
        planes = torch.cat([w, b[:, None]], 1)[size > 0] / size[size > 0, None]
        tolerance = 100 * torch.finfo(first.weight.dtype).eps
        scale = tolerance * (1 + planes[:, None, -1].abs())
        alike = ((planes[:, None] - planes[None]).abs() <= scale[..., None]).all(-1)
        alike |= ((planes[:, None] + planes[None]).abs() <= scale[..., None]).all(-1)
        sums = alike.double() @ bends
        return bool((sums >= -tolerance * (alike.double() @ bends.abs())).all())


def _pass(
    module: nn.Module, shape: tuple[int, ...], weights: Callable[[Tensor], Tensor], *, biases: bool
) -> Tensor:
    """Forward pass of weights |θ|^q on an input of ones."""
    parameter = next(module.parameters(), torch.zeros(()))
    ones = torch.ones(1, *shape, dtype=parameter.dtype, device=parameter.device)
    with torch.no_grad():
        return _through(module, ones, weights, biases)


def _through(module: nn.Module, x: Tensor, weights: Callable[[Tensor], Tensor], biases: bool) -> Tensor:
    if isinstance(module, ResidualBlock):
        h = _through(module.first, x, weights, biases)
        return x + _through(module.second, h, weights, biases)
    if isinstance(module, DnCNN):
        h = x
        for layer in module.layers:
            h = _through(layer, h, weights, biases)
        return x + h if module.in_channels == module.out_channels else h
    if isinstance(module, nn.Sequential):
        for part in _folded(module):
            x = _through(part, x, weights, biases)
        return x
    if isinstance(module, (nn.Linear, *CONVOLUTIONS)):
        if getattr(module, "padding_mode", "zeros") == "zeros":
            own = {n: weights(p) for n, p in module.named_parameters()}
            if "bias" in own and not biases:
                own["bias"] = torch.zeros_like(own["bias"])
            result: Tensor = torch.func.functional_call(module, own, (x,))
            return result
    elif isinstance(module, AVERAGES) and _plain_average(module):
        return _window_sum(module, x, weights(torch.ones(()).to(x) / _count(module, x)))
    elif isinstance(module, MAXIMA) and module.dilation in (1, (1,) * (x.ndim - 2)) and not module.ceil_mode:
        return _window_sum(module, x, torch.ones(()).to(x))
    elif isinstance(module, PLAIN):
        return module(x) if isinstance(module, nn.Flatten) else x
    raise invcore.ParameterError(f"path norms are not defined for {module!r:.100}")


def _plain_average(module: Any) -> bool:
    """True if every window has the same weights."""
    padded = module.padding not in (0, (0,), (0, 0), (0, 0, 0))
    return not (
        module.ceil_mode
        or getattr(module, "divisor_override", None)
        or (padded and not module.count_include_pad)
    )


def _window_sum(module: Any, x: Tensor, weight: Tensor) -> Tensor:
    """The sum over each window, times the weight."""
    pool = (nn.functional.avg_pool1d, nn.functional.avg_pool2d, nn.functional.avg_pool3d)[x.ndim - 3]
    return weight * _count(module, x) * pool(x, module.kernel_size, module.stride, module.padding)


def _count(module: Any, x: Tensor) -> int:
    """Pixels of a window."""
    size, dims = module.kernel_size, x.ndim - 2
    sizes = size if isinstance(size, tuple) else (size,) * dims
    total = 1
    for n in sizes:
        total *= n
    return total


def _folded(module: nn.Sequential) -> list[nn.Module]:
    """The parts, with batch normalization as part of the layer before."""
    parts: list[nn.Module] = []
    for part in module:
        if not isinstance(part, NORMALIZATIONS):
            parts.append(part)
            continue
        before: Any = parts[-1] if parts else None
        mean: Any = part.running_mean
        variance: Any = part.running_var
        fixed = not part.training and mean is not None and variance is not None
        if not fixed or not isinstance(before, (nn.Linear, *CONVOLUTIONS)):
            raise invcore.ParameterError(
                "path norms: batch normalization must be in evaluation mode, right behind a linear layer or "
                "a convolution"
            )
        scale = (variance + part.eps).rsqrt() * (1 if part.weight is None else part.weight)
        shift = (0 if before.bias is None else before.bias) - mean
        folded = copy.deepcopy(before)
        folded.weight = nn.Parameter(before.weight * scale.reshape(-1, *(1,) * (before.weight.ndim - 1)))
        folded.bias = nn.Parameter(shift * scale + (0 if part.bias is None else part.bias))
        parts[-1] = folded
    return parts
