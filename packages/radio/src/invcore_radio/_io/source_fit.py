"""Fits of source models to squared visibilities and closure phases."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from invcore import ParameterError, Physics, Value
from invcore.operators import Operator, Space
from invcore.solvers import LevenbergMarquardt

from .._operators.source_model import SourceModel
from .optical_data import OpticalData


class SourceFit(Value):
    """Result of `fit_source`.

    Parameters
    ----------
    model : SourceModel
        The fitted model.
    x : Tensor, shape (parameter,)
        Best values, in the order of ``model.free``.
    covariance : Tensor, shape (parameter, parameter)
        (JᵀJ)⁻¹ of the residuals divided by their errors: the covariance if the errors are right and
        independent.
    chi2 : float
        χ² at the best values.
    count : int
        Number of data.

    Examples
    --------
    >>> model = SourceModel(
    ...     parts=("disk",), free=("0.diameter",), baselines=torch.ones(1, 2), wavelengths=torch.ones(1))
    >>> SourceFit(model=model, x=torch.tensor([2.0]), covariance=torch.tensor([[0.01]]), chi2=12.0, count=11)
    SourceFit(disk: 0.diameter = 2 ± 0.11; χ² = 12 for 10 degrees of freedom)
    """

    model: SourceModel
    x: Tensor
    covariance: Tensor
    chi2: float
    count: int

    def __repr__(self) -> str:
        errors = self.errors
        values = ", ".join(f"{n} = {v:.5g} ± {errors[n]:.2g}" for n, v in self.values.items())
        quality = f"χ² = {self.chi2:.5g} for {self.dof} degrees of freedom"
        return f"SourceFit({' + '.join(self.model.parts)}: {values}; {quality})"

    @property
    def dof(self) -> int:
        """Degrees of freedom, the number of data minus that of parameters."""
        return self.count - len(self.model.free)

    @property
    def reduced_chi2(self) -> float:
        """χ² per degree of freedom."""
        return self.chi2 / max(self.dof, 1)

    @property
    def values(self) -> dict[str, float]:
        """Best values by name."""
        return {n: float(v) for n, v in zip(self.model.free, self.x)}

    @property
    def errors(self) -> dict[str, float]:
        """Standard deviations by name, scaled by √(reduced χ²) if that is above 1."""
        scale = max(1.0, self.reduced_chi2) ** 0.5
        return {n: scale * float(v) ** 0.5 for n, v in zip(self.model.free, self.covariance.diagonal())}


def fit_source(
    data: OpticalData,
    parts: Sequence[str],
    start: Mapping[str, float | Sequence[float]],
    *,
    fixed: Mapping[str, float] | None = None,
    systematic: tuple[float, float] = (0.0, 0.0),
    solver: LevenbergMarquardt | None = None,
) -> SourceFit:
    """Fit a source made of simple parts by least squares (Levenberg–Marquardt).

    A difference δ of closure phases enters as 2 sin(δ/2), whose square 2 - 2 cos δ has no jump at π. Several
    starting values form a grid, of which the best point is refined. A binary needs such a grid, as its χ² has
    many minima.

    Parameters
    ----------
    data : OpticalData
        Data, unflagged entries of which are fitted.
    parts : sequence of str
        Kinds of the parts, see `SourceModel`.
    start : mapping of str to float or sequence of float
        Starting values of the free parameters.
    fixed : mapping of str to float, optional
        Values of other parameters that differ from their defaults.
    systematic : (float, float)
        Errors of every squared visibility and closure phase (radians), added in quadrature.
    solver : LevenbergMarquardt, optional
        Solver with other settings.

    Returns
    -------
    SourceFit

    Raises
    ------
    ParameterError
        If no parameter is free, or the data do not determine all of them.

    References
    ----------
    A. Gallenne et al., "Robust high-contrast companion detection from interferometric observations", A&A 579
    (2015), for the grid of starting values.

    Examples
    --------
    >>> from invcore_radio import read_oifits
    >>> fit_source(read_oifits("star.fits"), ["disk"], {"0.diameter": 2.0})  # doctest: +SKIP
    SourceFit(disk: 0.diameter = 2.1 ± 0.01; χ² = 130 for 129 degrees of freedom)
    """
    if not start:
        raise ParameterError("fit_source: start names no parameter; nothing would be fitted")
    wide = data.to(torch.float64)
    model = wide.model(tuple(parts), tuple(start), tuple((fixed or {}).items()))
    residuals = _residuals(wide, model, systematic)
    axes = [v if isinstance(v, Sequence) else (v,) for v in start.values()]
    grid = torch.tensor(list(itertools.product(*axes)), dtype=torch.float64)
    values = torch.cat([residuals(x).square().sum(-1) for x in grid.split(32)])
    x0 = grid[int(values.nan_to_num(torch.inf).argmin())]

    columns = _jacobian(residuals, x0).square().sum(0).sqrt()
    scale = torch.where(columns > 0, 1 / torch.where(columns > 0, columns, 1), 1)
    operator = Operator.from_function(
        lambda z: residuals(x0 + scale * z), Space((len(x0),)), device=x0.device
    )
    solver = solver or LevenbergMarquardt(rtol=1e-9, inner_rtol=1e-8)
    zero = x0.new_zeros(operator.range.shape)  # type: ignore[union-attr]
    z = solver.solve(zero, Physics(operator), x0=torch.zeros_like(x0)).value
    x = x0 + scale * z
    J = _jacobian(residuals, x)
    size = J.square().sum(0).sqrt()
    scale = torch.where(size > 0, 1 / torch.where(size > 0, size, 1), 1)
    normal = (J * scale).mT @ (J * scale)
    if int(torch.linalg.matrix_rank(normal, hermitian=True)) < len(x):
        raise ParameterError(
            f"fit_source: the data do not determine all of {model.free}; fix some of them, or start elsewhere"
        )
    covariance = scale[:, None] * torch.linalg.inv(normal) * scale
    chi2 = float(residuals(x).square().sum())
    return SourceFit(model=model, x=x, covariance=covariance, chi2=chi2, count=len(zero))


def _residuals(
    data: OpticalData, model: SourceModel, systematic: tuple[float, float]
) -> Callable[[Tensor], Tensor]:
    """Return the function from parameters to residuals in units of their errors, (..., datum)."""
    A = data.quantities() @ model
    squared, phases = data.y
    errors = [n.sigma for n in data.noise(systematic=systematic).parts]  # type: ignore[attr-defined]

    def residuals(x: Tensor) -> Tensor:
        u, angle = A._apply(x)
        return torch.cat([(u - squared) / errors[0], 2 * torch.sin((angle - phases) / 2) / errors[1]], dim=-1)

    return residuals


def _jacobian(residuals: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Jacobian, (datum, parameter)."""
    columns: list[Tensor] = []
    for e in torch.eye(len(x), dtype=x.dtype, device=x.device):
        result = torch.func.jvp(residuals, (x,), (e,))
        columns.append(result[1])
    return torch.stack(columns, dim=-1)
