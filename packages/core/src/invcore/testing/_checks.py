"""`Check`, `CheckResult`, and the exceptions for failure and for what does not apply. Imports no torch."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from .._errors import InvcoreError

Status = Literal["passed", "failed", "skipped", "xfailed"]


class ConformanceError(InvcoreError, AssertionError):
    """A component breaks its contract; the message lists every check that failed and what is wrong.

    Examples
    --------
    >>> issubclass(ConformanceError, AssertionError)
    True
    """


class NotApplicable(Exception):
    """Raised inside a check that has nothing to test on this object; the check is then skipped."""


@dataclass(frozen=True)
class Check:
    """One clause of a contract on one object.

    Attributes
    ----------
    name : str
        As it appears in test ids and in lists of expected failures, such as ``"adjoint_matches_dense"``.
    run : callable
        Takes nothing; raises `ConformanceError` if the clause does not hold.
    doc : str
        The clause in words.
    """

    name: str
    run: Callable[[], None]
    doc: str = ""

    def __call__(self) -> None:
        self.run()

    def result(self, limit: float | None = None) -> tuple[Status, str]:
        """Run the check; return its status and, unless it passed, the reason.

        Parameters
        ----------
        limit : float, optional
            Seconds after which the check fails. It is then left running in a thread of its own, which ends
            with the process.
        """
        if limit is None:
            return self._outcome()
        outcomes: list[tuple[Status, str]] = []
        worker = threading.Thread(
            target=lambda: outcomes.append(self._outcome()), daemon=True, name=f"check {self.name}"
        )
        worker.start()
        worker.join(limit)
        return outcomes[0] if outcomes else ("failed", f"not finished after {limit:g} s")

    def _outcome(self) -> tuple[Status, str]:
        try:
            self.run()
        except NotApplicable as reason:
            return "skipped", str(reason)
        except ConformanceError as error:
            return "failed", str(error)
        except Exception as error:  # the component itself failed
            return "failed", f"unexpected {type(error).__name__}: {error}"
        return "passed", ""


@dataclass(frozen=True)
class CheckResult:
    """Outcome of one check on one example of a component.

    Attributes
    ----------
    component : object
        The registered component.
    example : str
        The label of the example; empty if the examples themselves could not be made.
    name : str
        The name of the check.
    status : {"passed", "failed", "skipped", "xfailed"}
    message : str
        What is wrong, or why the check was skipped; empty if it passed.
    seconds : float
        How long it took.
    """

    component: Any
    example: str
    name: str
    status: Status
    message: str = ""
    seconds: float = 0.0


def checks_of(functions: Iterable[Callable[[Any], None]], obj: Any) -> list[Check]:
    """Turn ``check_xxx(obj)`` functions into checks named ``xxx``."""
    return [
        Check(f.__name__.removeprefix("check_"), _bound(f, obj), (inspect.getdoc(f) or "").partition("\n")[0])
        for f in functions
    ]


def _bound(function: Callable[[Any], None], obj: Any) -> Callable[[], None]:
    return lambda: function(obj)


def fail(message: str) -> NoReturn:
    """Say that the clause under test does not hold."""
    raise ConformanceError(message)


def skip(reason: str) -> NoReturn:
    """Say that the clause under test has nothing to test here."""
    raise NotApplicable(reason)


def require_refused(what: str, kinds: tuple[type[Exception], ...], call: Callable[[], Any]) -> Exception:
    """Fail unless the call raises an error of one of these kinds; return the error."""
    names = " or ".join(k.__name__ for k in kinds)
    try:
        call()
    except kinds as error:
        return error
    except Exception as error:
        fail(f"{what} raises {type(error).__name__} instead of {names}: {error}")
    fail(f"{what} is accepted in silence; it should raise {names}")
