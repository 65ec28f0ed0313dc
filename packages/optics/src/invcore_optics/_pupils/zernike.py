"""Zernike polynomials: indices, values, names."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from invcore import ParameterError

Order = Literal["noll", "ansi"]

_ROUND = ("piston", "defocus", "primary spherical", "secondary spherical", "tertiary spherical")
_FOLDS = {1: "coma", 2: "astigmatism", 3: "trefoil", 4: "quadrafoil", 5: "pentafoil", 6: "hexafoil"}
_RANKS = ("", "secondary ", "tertiary ", "quaternary ")
_SIDES = {1: ("horizontal", "vertical"), 2: ("vertical", "oblique"), 3: ("oblique", "vertical")}


def zernike_indices(index: int, *, order: Order = "noll") -> tuple[int, int]:
    r"""Return degree n and azimuthal order m of a Zernike polynomial from its single index.

    Noll's order starts at 1, sorts by n, then by |m|, and gives even indices to the cosine (m > 0). The ANSI
    order starts at 0: :math:`j = (n (n + 2) + m) / 2`.

    Parameters
    ----------
    index : int
    order : {"noll", "ansi"}

    Returns
    -------
    n, m : int
        m > 0 for cos mθ, m < 0 for sin |m|θ.

    Raises
    ------
    ParameterError

    References
    ----------
    R. J. Noll, "Zernike polynomials and atmospheric turbulence", J. Opt. Soc. Am. 66 (1976). ANSI Z80.28.

    Examples
    --------
    >>> [zernike_indices(j) for j in (1, 2, 3, 4, 11)]
    [(0, 0), (1, 1), (1, -1), (2, 0), (4, 0)]
    >>> zernike_indices(12, order="ansi")
    (4, 0)
    """
    first = _first(order)
    if not (isinstance(index, int) and not isinstance(index, bool) and index >= first):
        raise ParameterError(
            f"a Zernike index in the order {order!r} is a whole number >= {first}, got {index!r}"
        )
    j = index - first
    n = (math.isqrt(8 * j + 1) - 1) // 2
    place = j - n * (n + 1) // 2
    if order == "ansi":
        return n, 2 * place - n
    m = 2 * ((place + 1) // 2) if n % 2 == 0 else 2 * (place // 2) + 1
    return n, m if index % 2 == 0 else -m


def zernike_index(n: int, m: int, *, order: Order = "noll") -> int:
    """Return the single index of the Zernike polynomial of degree ``n`` and azimuthal order ``m``.

    Parameters
    ----------
    n, m : int
        ``|m| <= n``, of the same parity.
    order : {"noll", "ansi"}

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> zernike_index(4, 0), zernike_index(4, 0, order="ansi")
    (11, 12)
    """
    first = _first(order)
    if n < 0 or abs(m) > n or (n - m) % 2:
        raise ParameterError(f"a Zernike polynomial needs |m| <= n, of the same parity, got n={n}, m={m}")
    if order == "ansi":
        return (n * (n + 2) + m) // 2
    low = n * (n + 1) // 2 + first
    return next(j for j in range(low, low + n + 1) if zernike_indices(j) == (n, m))


def zernike_name(index: int, *, order: Order = "noll") -> str:
    """Return the name of a classical aberration, or degree and order of one without a name.

    Examples
    --------
    >>> [zernike_name(j) for j in (4, 5, 8, 11, 16)]
    ['defocus', 'oblique astigmatism', 'horizontal coma', 'primary spherical', 'secondary horizontal coma']
    """
    n, m = zernike_indices(index, order=order)
    if m == 0 and n // 2 < len(_ROUND):
        return _ROUND[n // 2]
    if n == 1:
        return "horizontal tilt" if m > 0 else "vertical tilt"
    fold = abs(m)
    rank = (n - fold) // 2 - (1 if fold == 1 else 0)
    if fold not in _FOLDS or rank >= len(_RANKS):
        return f"Zernike n={n}, m={m}"
    side = _SIDES.get(fold, ("cosine", "sine"))[0 if m > 0 else 1]
    return f"{_RANKS[rank]}{side} {_FOLDS[fold]}"


def zernike(indices: int | tuple[int, ...], y: Tensor, x: Tensor, *, order: Order = "noll") -> Tensor:
    r"""Evaluate Zernike polynomials of unit rms over the unit disk,

    .. math:: Z_n^m = \sqrt{(2 - δ_{m0})(n + 1)}\; R_n^{|m|}(ρ) \begin{cases} \cos mθ & m \ge 0 \\
       \sin |m|θ & m < 0 \end{cases}

    with θ from the x axis towards the y axis. The radial parts come from the recursion of Shakibaei and
    Paramesran, which is stable for high degrees.

    Parameters
    ----------
    indices : int or tuple of int
    y, x : Tensor, shape (...)
        Coordinates in units of the radius of the disk. Beyond it the polynomials go on.
    order : {"noll", "ansi"}

    Returns
    -------
    Tensor, shape (mode, ...), or (...) for a single index

    Raises
    ------
    ParameterError

    References
    ----------
    B. H. Shakibaei, R. Paramesran, "Recursive formula to compute Zernike radial polynomials", Opt. Lett. 38
    (2013).

    Examples
    --------
    >>> zernike((1, 4, 11), torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)).flatten()
    tensor([1.0000, 1.7321, 2.2361], dtype=torch.float64)
    """
    if isinstance(indices, int):
        return zernike((indices,), y, x, order=order)[0]
    wanted = [zernike_indices(j, order=order) for j in indices]
    if not wanted:
        raise ParameterError("zernike: one index or more is needed")
    radius, angle = torch.hypot(y, x), torch.atan2(y, x)
    radial = _radial(max(n for n, _ in wanted), radius)
    modes = []
    for n, m in wanted:
        turn = torch.cos(m * angle) if m >= 0 else torch.sin(-m * angle)
        modes.append(math.sqrt((n + 1) * (1 if m == 0 else 2)) * radial[n, abs(m)] * turn)
    return torch.stack(modes)


def _radial(degree: int, radius: Tensor) -> dict[tuple[int, int], Tensor]:
    zero = torch.zeros_like(radius)
    found = {(0, 0): torch.ones_like(radius)}
    for n in range(1, degree + 1):
        for m in range(n % 2, n + 1, 2):
            around = found.get((n - 1, abs(m - 1)), zero) + found.get((n - 1, m + 1), zero)
            found[n, m] = radius * around - found.get((n - 2, m), zero)
    return found


def _first(order: str) -> int:
    if order not in ("noll", "ansi"):
        raise ParameterError(f"the order of Zernike polynomials is 'noll' or 'ansi', got {order!r}")
    return 1 if order == "noll" else 0
