"""Entry points of the kit: `check`, `iter_checks`, `check_component`, `parametrize_with_checks`. No torch."""

from __future__ import annotations

import functools
import importlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from .._errors import InvcoreError, MissingDependencyError, ParameterError
from ._checks import Check, CheckResult, ConformanceError, NotApplicable, Status, checks_of
from ._example import LossExample, ModelExample, ReaderExample, SamplerExample, SolverExample

if TYPE_CHECKING:
    from .._registry.registry import Registered

Examples = Literal["all", "first", "further"]
"""Which examples of a component are checked."""

_MODULES = {
    "operator": "_operators",
    "noise": "_noises",
    "fidelity": "_fidelities",
    "prior": "_priors",
    "solver": "_solvers",
    "denoiser": "_denoisers",
    "model": "_models",
    "sampler": "_samplers",
    "schedule": "_schedules",
    "integrator": "_integrators",
    "guidance": "_guidance",
    "loss": "_losses",
    "metric": "_metrics",
    "dataset": "_datasets",
    "transform": "_transforms",
    "generator": "_generators",
    "reader": "_readers",
}
"""Kind to the module with ``checks(obj)``; other kinds have only the checks of the record itself."""


def _sampler_of(example: SamplerExample) -> Any:
    """The sampler of an example, for the first known prior that it takes."""
    return importlib.import_module(f".{_MODULES['sampler']}", __package__).any_sampler(example)[1]


_HELD: dict[type, Callable[[Any], Any]] = {
    SolverExample: lambda example: example.solver,
    ModelExample: lambda example: example.model,
    LossExample: lambda example: example.loss,
    SamplerExample: _sampler_of,
}
"""What an example with a problem of its own is an example of."""


def iter_checks(obj: Any, *, kind: str | None = None) -> Iterator[Check]:
    """The checks that apply to an object.

    Parameters
    ----------
    obj : object
        An instance of a component: an operator, a noise, a solver...
    kind : str, optional
        One of `invcore.plugin.KINDS`, where the object does not show it (a loss, a generator, a transform).

    Yields
    ------
    Check
        Callable without arguments; raises `ConformanceError` if the clause does not hold.

    Raises
    ------
    ParameterError
        If the kind cannot be determined, or has no checks.

    Examples
    --------
    >>> from invcore.operators import Identity
    >>> next(check.name for check in iter_checks(Identity((1, 2, 3))))
    'declared_spaces'
    """
    kind = kind_of(obj) if kind is None else kind
    if kind not in _MODULES:
        raise ParameterError(f"the kit has no checks for kind {kind!r}; it has for {', '.join(_MODULES)}")
    module = importlib.import_module(f".{_MODULES[kind]}", __package__)
    yield from checks_of(module.checks(obj), obj)


def check(obj: Any, *, kind: str | None = None) -> None:
    """Run every check that applies to an object.

    Parameters
    ----------
    obj : object
        An instance of a component.
    kind : str, optional
        One of `invcore.plugin.KINDS`, where the object does not show it.

    Raises
    ------
    ConformanceError
        If a check fails; the message lists all that do.

    Examples
    --------
    >>> import torch
    >>> from invcore.operators import Matrix
    >>> check(Matrix(torch.tensor([[1.0, 2.0, 0.5], [0.0, 1.0, -1.0]])))
    """
    failures = []
    count = 0
    for clause in iter_checks(obj, kind=kind):
        count += 1
        status, message = clause.result()
        if status == "failed":
            failures.append(f"{clause.name}: {message}")
    if failures:
        text = "\n".join(f"  {line}" for line in failures)
        raise ConformanceError(f"{obj!r} fails {len(failures)} of {count} checks:\n{text}")


def kind_of(obj: Any) -> str:
    """The kind of component that an object is."""
    from ..denoisers import Denoiser
    from ..fidelities import Fidelity
    from ..noises import Noise
    from ..operators import Operator
    from ..priors import Prior
    from ..samplers import Guidance, Integrator, Sampler, Schedule
    from ..solvers import Solver

    bases: dict[str, Any] = {
        "operator": Operator,
        "noise": Noise,
        "fidelity": Fidelity,
        "prior": Prior,
        "solver": (Solver, SolverExample),
        "denoiser": Denoiser,
        "model": ModelExample,
        "sampler": (Sampler, SamplerExample),
        "schedule": Schedule,
        "integrator": Integrator,
        "guidance": Guidance,
        "loss": LossExample,
        "reader": ReaderExample,
    }
    for kind, base in bases.items():
        if isinstance(obj, base):
            return kind
    if hasattr(obj, "higher_is_better"):
        return "metric"
    raise ParameterError(
        f"the kind of {type(obj).__name__} cannot be determined; name it: check(obj, kind='loss'). "
        f"Kinds: {', '.join(_MODULES)}."
    )


def component_checks(component: Registered, examples: Examples = "all") -> Iterator[tuple[str, Check]]:
    """Yield the checks of a component as ``(label of the example, check)``; no label: the record itself."""
    yield from _of_the_plugin(component)
    if not component.examples:
        yield (
            "",
            Check("target_can_be_imported", functools.partial(_import, component), _import.__doc__ or ""),
        )
        return
    loaded: dict[str, Any] = {}

    def load() -> None:
        """The component can be imported, and its examples are instances of it."""
        try:
            target = component.load()
            examples = component.load_examples()
        except MissingDependencyError as error:  # the registry knows it as not available here
            raise NotApplicable(str(error)) from error
        if not examples:
            raise ConformanceError(f"{component.examples} returns no example")
        for label, example in examples.items():
            held = _HELD.get(type(example), lambda whole: whole)(example)
            if isinstance(target, type) and component.kind != "reader" and not isinstance(held, target):
                raise ConformanceError(
                    f"example {label!r} is a {type(held).__name__}, not a {target.__name__}"
                )
        loaded.update(examples)

    first = Check("examples_are_instances", load, (load.__doc__ or ""))
    yield "", first
    try:
        if not loaded:
            load()
    except (InvcoreError, ImportError, TypeError, NotApplicable):  # reported by the check itself
        return
    yield from _of_the_plugin(component)
    if component.kind not in _MODULES:
        return
    first_of_all = next(iter(loaded))
    for label, example in loaded.items():
        if examples != "all" and (label == first_of_all) != (examples == "first"):
            continue
        obj = ReaderExample(_made(component.load()), example) if component.kind == "reader" else example
        for clause in iter_checks(obj, kind=component.kind):
            yield label, clause


def _import(component: Registered) -> None:
    """The component can be imported; it registers no examples to check."""
    try:
        component.load()
    except MissingDependencyError as error:
        raise NotApplicable(str(error)) from error


def _of_the_plugin(component: Registered) -> Iterator[tuple[str, Check]]:
    """Yield the check of the entry module, for a plugin that is installed."""
    from .._registry.lazy import heavy_imports
    from .._registry.registry import registry

    named = [entry for entry in registry().installed if entry.name == component.plugin and entry.installed]
    modules = [entry.module for entry in named]

    def lazy() -> None:
        """Listing is lazy: the entry module imports nothing heavy."""
        for module in modules:
            if heavy := heavy_imports(module):
                raise ConformanceError(
                    f"importing {module} imports {', '.join(heavy)}, for everybody who lists components: "
                    "keep the entry module, and the package's __init__, free of it"
                )

    if modules:
        yield "", Check("listing_is_lazy", lazy, lazy.__doc__ or "")


def _made(target: Any) -> Any:
    return target() if isinstance(target, type) else target


def check_component(
    component: Registered,
    *,
    expected_failures: Mapping[str, str] | None = None,
    examples: Examples = "all",
    select: Callable[[str], bool] = lambda name: True,
    limit: float | None = None,
    started: Callable[[str, str], None] = lambda example, name: None,
) -> Iterator[CheckResult]:
    """Check the examples of a registered component.

    Parameters
    ----------
    component : Registered
        As `invcore.components` gives it.
    expected_failures : mapping of str to str, optional
        Name of a check to the reason why it fails. Strict: if it passes, that is a failure.
    examples : {"all", "first", "further"}
        Which examples; the first is the smallest.
    select : callable
        Takes the name of a check; False leaves it out.
    limit : float, optional
        Seconds after which a check fails.
    started : callable
        Receives the label of the example and the name of the check before it runs.

    Yields
    ------
    CheckResult
        One for each example and check; none for a component that registers no examples.

    Examples
    --------
    >>> import invcore
    >>> results = check_component(invcore.components("metric")[0])
    >>> {result.status for result in results} <= {"passed", "skipped"}
    True
    """
    expected = dict(expected_failures or {})
    for label, clause in component_checks(component, examples):
        if not select(clause.name):
            continue
        started(label, clause.name)
        begun = time.perf_counter()
        status, message = clause.result(limit)
        seconds = time.perf_counter() - begun
        if clause.name in expected:
            status, message = _expected(status, message, expected[clause.name])
        yield CheckResult(component, label, clause.name, status, message, seconds)


def _expected(status: Status, message: str, reason: str) -> tuple[Status, str]:
    if status == "passed":
        return "failed", f"expected to fail ({reason}) but passed: take it off the list of expected failures"
    return ("xfailed", f"{reason}: {message}") if status == "failed" else (status, message)


def parametrize_with_checks(
    components: str | Iterable[str | Registered],
    *,
    expected_failures: Mapping[str, Mapping[str, str]] | None = None,
    examples: Examples = "all",
) -> Any:
    """Decorate a pytest function so that it runs once for each component, on all its examples and checks.

    A failure lists every example and check that failed. Examples are made when the test runs, not when it is
    collected. ``invcore check NAME -v`` shows each check with its time, ``-k`` selects among them.

    Parameters
    ----------
    components : str or iterable
        The name of a plugin's distribution, or components, or names of components.
    expected_failures : mapping, optional
        Component name to name of a check to the reason why it fails. Strict: an unexpected success fails, and
        so does a check that the component does not undergo (among all examples).
    examples : {"all", "first", "further"}
        Which examples; two tests may share the work, the one of the further ones marked as slow.

    Returns
    -------
    decorator
        For a function with one argument named ``check``, to be called without arguments.

    Raises
    ------
    ParameterError
        If an expected failure names a component that is not among them, or there is nothing to check.

    Examples
    --------
    >>> @parametrize_with_checks("invcore")
    ... def test_conformance(check):
    ...     check()
    """
    import pytest

    chosen = [component for component in _resolved(components) if component.examples]
    if not chosen:
        raise ParameterError(
            f"{components!r} registers no component with examples: there is nothing to check"
        )
    expected = dict(expected_failures or {})
    if unmatched := sorted(set(expected) - {component.name for component in chosen}):
        raise ParameterError(f"expected failures of components that are not checked: {unmatched}")
    kinds = Counter(component.name for component in chosen)
    parameters = [
        pytest.param(
            _Runner(component, expected.get(component.name, {}), examples),
            id=component.name if kinds[component.name] == 1 else f"{component.kind}-{component.name}",
        )
        for component in chosen
    ]
    return pytest.mark.parametrize("check", parameters)


@dataclass(frozen=True)
class _Runner:
    """All checks of a component as a pytest function calls them."""

    component: Registered
    expected_failures: Mapping[str, str]
    examples: Examples

    def __call__(self) -> None:
        import pytest

        __tracebackhide__ = True
        with _one_thread():
            checked = check_component(
                self.component, expected_failures=self.expected_failures, examples=self.examples
            )
            results = list(checked)
        if len(results) == 1 and results[0].status == "skipped":
            pytest.skip(results[0].message)
        failed = [
            f"{r.example or 'examples'}: {r.name}: {r.message}" for r in results if r.status == "failed"
        ]
        expected = set(self.expected_failures) if self.examples == "all" else set()
        absent = sorted(expected - {r.name for r in results})
        failed += [f"{name} is expected to fail, but there is no such check" for name in absent]
        if failed:
            text = "\n".join(f"  {line}" for line in failed)
            head = f"{self.component.kind} {self.component.name} fails {len(failed)} of {len(results)} checks"
            raise ConformanceError(f"{head}:\n{text}")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread: the examples are tiny, and threads would only wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _resolved(components: str | Iterable[str | Registered]) -> Iterator[Registered]:
    from .._registry.registry import Registered, registry

    known = registry()
    for entry in [components] if isinstance(components, str) else components:
        if isinstance(entry, Registered):
            yield entry
            continue
        yield from known.components(name=entry) or known.components(plugin=entry)
