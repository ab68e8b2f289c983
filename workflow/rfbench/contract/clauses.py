"""What a contract is made of: promises that are put to the test one by one, and how a broken one is told."""

import functools
import inspect
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rfbench.errors import RFBenchError


class ConformanceError(RFBenchError):
    """A subject that breaks a clause; the message names it, the clause, what was expected and what was found."""

    def __init__(self, name: str, clause: str, expected: str, found: str) -> None:
        super().__init__(f"{name} breaks '{clause}': expected {expected}, found {found}.")
        self.name, self.clause, self.expected, self.found = name, clause, expected, found


class Broken(Exception):
    """Raised by a clause: what was expected, what was found."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(expected, found)
        self.expected, self.found = expected, found


class Subject(Protocol):
    """What is put to a contract: a pair or a method."""

    name: str
    files: frozenset[str]  # its own, whose lines an error names


@dataclass(frozen=True)
class Clause:
    """One promise. `slow`: takes more than a few seconds."""

    name: str
    promise: str
    function: Callable[[Any], str | None]
    slow: bool

    def check(self, subject: Subject) -> str:
        """Raise ConformanceError if the subject breaks it, also by an exception of its own; else what it measured."""
        torch.manual_seed(0)
        try:
            return self.function(subject) or ""
        except Broken as broken:
            raise ConformanceError(subject.name, self.name, broken.expected, broken.found) from None
        except Exception as error:  # whatever a subject raises is a finding
            raise ConformanceError(subject.name, self.name, self.promise, told(error, subject)) from error


class Contract(dict[str, Clause]):
    """Clauses by name, in the order of their declaration."""

    def clause(self, function: Callable[[Any], str | None] | None = None, *, slow: bool = False):
        """Declare a clause; its name is the function's, with spaces."""
        if function is None:
            return functools.partial(self.clause, slow=slow)
        name = function.__name__.replace("_", " ")
        promise = inspect.getdoc(function).partition(".\n")[0].rstrip(".")
        lowered = promise[0].lower() + promise[1:] if promise[1].islower() or promise[1] == " " else promise
        self[name] = Clause(name, lowered, function, slow)
        return function


def told(error: Exception, subject: Subject) -> str:
    """An exception in a sentence, with the subject's own line that raised it where there is one."""
    text = " ".join(str(error).split())
    text = text if len(text) <= 300 else f"{text[:300]}…"
    words = f"{type(error).__name__}: {text}"
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in subject.files]
    return f"{words} ({Path(lines[-1].filename).name}, line {lines[-1].lineno})" if lines else words


def expect(fulfilled: bool, expected: str, found: object) -> None:
    if not fulfilled:
        raise Broken(expected, str(found))


def expect_finite(tensor: Tensor, what: str) -> None:
    share = 1 - tensor.isfinite().double().mean().item()
    expect(share == 0, f"finite {what}", f"{100 * share:.3g} % NaN or infinite")


def expect_close(got: Tensor, expected: Tensor, what: str, rtol: float, atol: float) -> None:
    worst = (got - expected).abs().max().item()
    close = torch.allclose(got, expected, rtol=rtol, atol=atol)
    expect(close, f"{what} (rtol {rtol:g}, atol {atol:g})", f"a difference of {worst:.3g}")


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@contextmanager
def deterministic() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
