"""Sliding Frank–Wolfe: sparse measures off the grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError
from .._problem import Problem
from ..fidelities import Fidelity
from ..operators import MeasureSamples, Space
from ..priors import Prior
from ._base import Solver

_CHUNK = 2**22
"""Entries of atoms held at once."""
_NEWTON = 100
_SMALL, _NEAR = 1e-7, 0.1


class _State(NamedTuple):
    x: Tensor
    certificate: Tensor
    candidate: Tensor


class SlidingFrankWolfe(Solver):
    r"""Find a measure of few spikes anywhere in space: its amplitudes, positions and number (BLASSO) [1]_.

    .. math::
        \min_m \; f(Φm; y) + λ |m|, \qquad m = \sum_k a_k δ_{p_k}, \quad |m| = \sum_k |a_k|

    with Φ the operator `MeasureSamples`. Optimal is m if and only if :math:`η(p) = -⟨φ(p), ∇f(Φm)⟩/λ` is at
    most 1 everywhere (in magnitude, if ``signed``). Each step adds a spike where η is largest (on a grid of a
    quarter of the resolution, then by Newton steps), and moves amplitudes and positions of all spikes
    together down the objective, by damped Newton steps: they slide. Spikes that vanish leave; those closer
    than a tenth of the resolution become one. It all runs in double precision, sample by sample.

    The result is the list (spike, 1 + d), the largest amplitude first, and ``solution.state.certificate`` is
    the maximum of η: how close to 1 it is proves how close to optimal the list. Spikes of one sign are found
    however close in exact data; opposite ones that are closer than about a resolution are not.

    Parameters
    ----------
    weight : float or Tensor, shape (batch...)
        λ > 0. Amplitudes come out too small by about λσ²/‖φ‖².
    fidelity : Fidelity, optional
        f, smooth; by default the likelihood of the noise. With Poisson counts and a background > 0, too.
    signed : bool
        Allow negative amplitudes.
    max_steps : int
        Steps at most; each adds a spike, as long as the list has room.
    rtol : float
        Stop when the maximum of η is below 1 + rtol.

    References
    ----------
    .. [1] Q. Denoyelle, V. Duval, G. Peyré, E. Soubies, "The sliding Frank-Wolfe algorithm and its
       application to super-resolution microscopy", Inverse Problems 36 (2020).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import MeasureSamples
    >>> A = MeasureSamples(torch.linspace(0, 1, 101)[:, None], spikes=4, sigma=0.05)
    >>> y = A(torch.tensor([[1.0, 0.3], [0.8, 0.42], [0.0, 0.0], [0.0, 0.0]]))
    >>> SlidingFrankWolfe(weight=1e-4)(y, Physics(A))[:2].round(decimals=3)
    tensor([[1.0000, 0.3000],
            [0.8000, 0.4200]])
    """

    weight: float | Tensor
    fidelity: Fidelity | None = None
    signed: bool = False
    max_steps: int = 100
    rtol: float = 1e-4
    params = ("weight",)
    fidelity_by: ClassVar = "smooth"

    def __post_init__(self) -> None:
        if isinstance(self.weight, str) or not bool((torch.as_tensor(self.weight).detach() > 0).all()):
            raise ParameterError(f"SlidingFrankWolfe: weight must be positive, got {self.weight!r}")

    @property
    def prior(self) -> Prior:
        """The mass Σ|a|."""
        return Mass()

    @property
    def costly_objective(self) -> bool:
        return False

    def init(self, problem: Problem) -> _State:
        _measures(problem)
        x = problem.start()
        state = _State(x, x.new_full(x.shape[:-2], math.inf), torch.zeros_like(x[..., 0, :]))
        return self._each(problem, state, lambda one, x, _: one.kept(x))

    def step(self, problem: Problem, state: _State) -> _State:
        return self._each(problem, state, lambda one, x, candidate: one.slid(one.joined(x, candidate)))

    @torch.no_grad()
    def _each(
        self, problem: Problem, state: _State, move: Callable[[_Sample, Tensor, Tensor], Tensor]
    ) -> _State:
        """Move the spikes of each sample that is not done, and look for the next one."""
        A, space = _measures(problem), problem.A.range
        assert isinstance(space, Space)
        batch = state.certificate.shape
        data = problem.y.expand(*batch, *space.shape).reshape(-1, *space.shape)
        weights = torch.as_tensor(problem.weight, dtype=torch.float64).expand(batch).reshape(-1)
        lists = state.x.reshape(-1, *A.domain.shape)
        candidates = state.candidate.reshape(-1, A.domain.shape[-1])
        found = []
        for i, (x, y, top, candidate) in enumerate(
            zip(lists, data, state.certificate.reshape(-1), candidates)
        ):
            if float(top) <= 1 + self.rtol:
                found.append((x, top, candidate))
                continue
            one = _Sample(A, _of_sample(problem.fidelity, i, batch, space), y, weights[i], self.signed)
            moved = move(one, x.detach().double(), candidate.double())
            top, candidate = one.highest(moved)
            found.append((one.listed(moved).to(x), top.to(x), candidate.to(x)))
        if not found:
            return state
        xs, tops, candidates = (torch.stack(parts) for parts in zip(*found))
        return _State(
            xs.reshape(state.x.shape), tops.reshape(batch), candidates.reshape(state.candidate.shape)
        )

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.certificate <= 1 + self.rtol

    def implicit(self, problem: Problem, x: Any) -> Any:
        """Derivatives of the spikes at a minimum of the objective in amplitudes and positions."""
        A, space = _measures(problem), problem.A.range
        assert isinstance(space, Space)
        batch = x.shape[:-2]
        data = problem.y.expand(*batch, *space.shape).reshape(-1, *space.shape)
        weights = torch.as_tensor(problem.weight, dtype=torch.float64).expand(batch).reshape(-1)
        found = []
        for i, (one_x, y) in enumerate(zip(x.reshape(-1, *A.domain.shape), data)):
            one = _Sample(A, _of_sample(problem.fidelity, i, batch, space), y, weights[i], self.signed)
            found.append(one.listed(one.attached(one.kept(one_x.double()))).to(x))
        return torch.stack(found).reshape(x.shape) if found else x

    def change(self, problem: Problem, state: _State) -> Tensor:
        """How far the maximum of η is above 1."""
        return (state.certificate - 1).clamp_min(0)


class Mass(Prior):
    """The sum of the magnitudes of the amplitudes of a list of spikes (spike, 1 + d)."""

    def _value(self, x: Tensor, space: Any) -> Tensor:
        return x[..., 0].abs().sum(-1)


class _Sample:
    """The problem of one sample, in double precision; lists have as many rows as there are spikes."""

    def __init__(
        self, A: MeasureSamples, fidelity: Fidelity, y: Tensor, weight: Tensor, signed: bool
    ) -> None:
        self.A, self.f, self.weight, self.signed = A.to(torch.float64), fidelity, weight, signed
        self.y = y.to(torch.complex128 if y.is_complex() else torch.float64)
        self.length = A.resolution
        self.bounds = self.A.bounds.T
        self.places = self._grid()

    def kept(self, x: Tensor) -> Tensor:
        """The rows that are spikes."""
        return x[x[:, 0].abs() > 0]

    def listed(self, x: Tensor) -> Tensor:
        """The rows, the largest amplitude first, filled up with empty ones."""
        x = x[x[:, 0].abs().argsort(descending=True, stable=True)]
        return torch.cat([x, x.new_zeros(self.A.spikes - len(x), x.shape[1])])

    def data(self, x: Tensor) -> Tensor:
        """Φm."""
        atoms = self.A.atoms(x[:, 1:])
        return (x[:, 0].reshape(-1, *(1,) * (atoms.ndim - 1)) * atoms).sum(0)

    def objective(self, x: Tensor, signs: Tensor) -> Tensor:
        """f + λ Σ s a, which is the objective as long as the amplitudes have their signs."""
        return self.f.value(self.data(x), self.y, self.A.range) + self.weight * (signs * x[:, 0]).sum()

    def joined(self, x: Tensor, candidate: Tensor) -> Tensor:
        """The spikes with the candidate, of the size that suits it alone."""
        x = self.kept(x)
        if len(x) == self.A.spikes or not bool(candidate[0]):
            return x
        atom, before = candidate[0] * self.A.atoms(candidate[None, 1:])[0], self.data(x)

        def along(a: Tensor) -> Tensor:
            return self.f.value(before + a * atom, self.y, self.A.range) + self.weight * a

        slope = torch.func.grad(along)
        zero = x.new_zeros(())
        fall, bend = -slope(zero), torch.func.grad(slope)(zero)
        if not (float(fall) > 0 and float(bend) > 0):
            return x
        return torch.cat([x, torch.cat([(candidate[0] * fall / bend)[None], candidate[1:]])[None]])

    def slid(self, x: Tensor) -> Tensor:
        """The spikes at a minimum of the objective in amplitudes and positions, without those that vanish."""
        x = self._descended(x, amplitudes_only=True)
        while len(x):
            x = self._descended(x)
            keep = x[:, 0].abs() > _SMALL * x[:, 0].abs().max()
            if not self.signed:
                keep &= x[:, 0] > 0
            merged = self._merged(x[keep])
            if len(merged) == len(x):
                break
            x = merged
        return x

    def attached(self, x: Tensor) -> Tensor:
        """The spikes, a minimum, with the derivatives of a Newton step from there."""
        if not len(x):
            return x
        x = x.detach()
        slope = torch.func.grad(lambda v: self.objective(v.reshape(x.shape), x[:, 0].sign()))
        with torch.no_grad():
            bend = torch.func.jacfwd(slope)(x.reshape(-1))
        left: Any = slope(x.reshape(-1))
        return x - torch.linalg.solve(bend, left - left.detach()).reshape(x.shape)

    def _merged(self, x: Tensor) -> Tensor:
        """Spikes of one sign closer than a tenth of the resolution become one, at their center of mass."""
        out: list[Tensor] = []
        for row in x[x[:, 0].abs().argsort(descending=True)]:
            for i, other in enumerate(out):
                near = float((row[1:] - other[1:]).norm()) < _NEAR * self.length
                if near and float(row[0] * other[0]) > 0:
                    mass = row[0] + other[0]
                    center = (row[0] * row[1:] + other[0] * other[1:]) / mass
                    out[i] = torch.cat([mass[None], center])
                    break
            else:
                out.append(row)
        return torch.stack(out) if out else x

    def _descended(self, x: Tensor, amplitudes_only: bool = False) -> Tensor:
        """Newton steps damped until the objective falls; amplitudes that would change sign stop at zero."""
        if not len(x):
            return x
        signs = x[:, 0].sign()
        signs = torch.where(signs == 0, 1.0, signs)
        unit = torch.full_like(x, self.length)
        unit[:, 0] = x[:, 0].abs().max().clamp_min(1e-300)
        free = torch.ones_like(x, dtype=torch.bool)
        if amplitudes_only:
            free[:, 1:] = False

        def scaled(v: Tensor) -> Tensor:
            return self.objective((v * unit.reshape(-1)).reshape(x.shape), signs)

        v, mu = (x / unit).reshape(-1), 1e-3
        value, slope = scaled(v), torch.func.grad(scaled)
        first = float(slope(v).norm()) or 1.0
        for _ in range(_NEWTON):
            g = slope(v)
            open_ = free.reshape(-1) & ~self._held(v, g, signs, x.shape)
            g = torch.where(open_, g, 0)
            if float(g.norm()) <= 1e-12 * max(first, float(value.abs())):
                break
            chunk = max(1, _CHUNK // (len(x) * self.y.numel()))

            def bent(e: Tensor, v: Tensor = v) -> Any:
                return torch.func.jvp(slope, (v,), (e,))[1]

            eye = torch.eye(len(v), dtype=v.dtype, device=v.device)
            bend = torch.func.vmap(bent, chunk_size=chunk)(eye)
            both = open_[:, None] & open_[None, :]
            size = bend.diagonal().abs().clamp_min(1e-12 * float(bend.abs().max()))
            bend = torch.where(both, bend, 0)
            moved = False
            while mu < 1e12:
                damped = bend + torch.diag(torch.where(open_, mu * size, 1.0))
                factor, failed = torch.linalg.cholesky_ex(damped)
                if not int(failed):
                    new = self._inside(
                        v - torch.cholesky_solve(g[:, None], factor)[:, 0], unit, signs, x.shape
                    )
                    found = scaled(new)
                    if float(found) <= float(value) and bool((new != v).any()):
                        moved = True
                        break
                mu = 10 * mu
            if not moved:
                break
            still = float(found) == float(value)
            v, value, mu = new, found, max(mu / 30, 1e-14)
            if still:
                break
        return (v * unit.reshape(-1)).reshape(x.shape)

    def _held(self, v: Tensor, g: Tensor, signs: Tensor, shape: torch.Size) -> Tensor:
        """Amplitudes at zero that would go beyond."""
        v, g = v.reshape(shape), g.reshape(shape)
        held = torch.zeros_like(v, dtype=torch.bool)
        held[:, 0] = (v[:, 0] == 0) & (signs * g[:, 0] > 0)
        return held.reshape(-1)

    def _inside(self, v: Tensor, unit: Tensor, signs: Tensor, shape: torch.Size) -> Tensor:
        """Amplitudes of their sign, and positions within the bounds."""
        v = v.reshape(shape)
        amplitudes = signs * (signs * v[:, 0]).clamp_min(0)
        low, high = self.bounds / unit[0, 1:]
        return torch.cat([amplitudes[:, None], v[:, 1:].clamp(low, high)], 1).reshape(-1)

    def highest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The maximum of η (of |η|, if signed), and (its sign, its place)."""
        slope = -self.f.grad(self.data(x), self.y, self.A.range) / self.weight

        def eta(p: Tensor) -> Tensor:
            return (self.A.atoms(p[None])[0].conj() * slope).real.sum()

        def eta_of_many(p: Tensor) -> Tensor:
            chunk = max(1, _CHUNK // self.y.numel())
            parts = [self.A.atoms(part).conj().flatten(1) @ slope.flatten() for part in p.split(chunk)]
            return torch.cat(parts).real

        on_grid = eta_of_many(self.places)
        best = int((on_grid.abs() if self.signed else on_grid).argmax())
        sign = on_grid[best].sign() if self.signed else on_grid.new_tensor(1.0)
        p, top = self.places[best], sign * on_grid[best]
        low, high = self.bounds
        for _ in range(20):
            g, H = torch.func.grad(eta)(p), torch.func.hessian(eta)(p)
            values, vectors = torch.linalg.eigh(-sign * H)
            step = vectors @ ((vectors.T @ (sign * g)) / values.abs().clamp_min(1e-12 * values.abs().max()))
            new = (p + step).clamp(low, high)
            value = sign * eta(new)
            if not float(value) > float(top):
                break
            p, top = new, value
        return top, torch.cat([sign[None], p])

    def _grid(self) -> Tensor:
        """Points a quarter of the resolution apart."""
        axes = []
        for low, high in self.bounds.T.tolist():
            count = 1 + math.ceil((high - low) / (self.length / 4))
            axes.append(torch.linspace(low, high, count, dtype=torch.float64, device=self.y.device))
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))


def _measures(problem: Problem) -> MeasureSamples:
    A = problem.A
    if not isinstance(A, MeasureSamples):
        raise ParameterError(
            f"SlidingFrankWolfe finds spikes off the grid in what 'measure_samples' measures, not "
            f"{type(A).__name__}: use 'fista' with L1 for images"
        )
    if isinstance(A.sigma, Tensor) and A.sigma.ndim:
        raise ParameterError("SlidingFrankWolfe: one width for all samples, sigma a number; solve them apart")
    return A


def _of_sample(fidelity: Fidelity, i: int, batch: torch.Size, space: Space) -> Fidelity:
    """The fidelity in double precision, with the parameters of sample ``i``."""
    own = {}
    for name, value in fidelity.parameters().items():
        shape = space.shape if name in fidelity.maps else ()
        if value.ndim > len(shape):
            own[name] = value.expand(*batch, *shape).reshape(-1, *shape)[i]
    return fidelity.bind(**own).to(torch.float64)
