"""What finds operators and methods alike: files imported by their path, and what is said of names. Light; no torch."""

import difflib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

from rfbench.errors import RFBenchError

NAME = re.compile(r"[a-z][a-z0-9_]*")  # of a pair or method, since file names and Snakemake's wildcards hold it


def module_at(path: Path) -> ModuleType:
    """Import a Python file outside every package.

    Raises:
        Exception: there is none, or whatever the file raises; `imported` makes a sentence of it.
    """
    if not path.is_file():
        raise FileNotFoundError("no such file")
    name = f"rfbench_loaded_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise ImportError("no Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def imported(load: Callable[[], ModuleType], what: str, origin: str, declares: str) -> ModuleType:
    """load().

    Args:
        what: comes from there, in words ("its operators").
        declares: what a module of its kind declares, in words.

    Raises:
        RFBenchError: whatever foreign code raises, in one sentence that names its origin; what it names is no module.
    """
    try:
        module = load()
    except Exception as error:
        raise RFBenchError(
            f"{origin}: {what} cannot be imported ({type(error).__name__}: {error}). Repair or remove it."
        ) from error
    if not isinstance(module, ModuleType):
        raise RFBenchError(f"{origin}: must name a module that declares {declares}, not a {type(module).__name__}.")
    return module


def unknown(what: str, given: object, known: Iterable[str]) -> str:
    """That a name is not known, with the one that was probably meant and all that there are."""
    known = list(known)
    close = difflib.get_close_matches(str(given), known, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return f"Unknown {what} '{given}'.{hint} Available: {', '.join(known) or 'none'}."


def twice(what: str, name: str, first: str, second: str) -> str:
    """That two origins declare the same name."""
    return f"{first} and {second} both declare {what} '{name}'. Rename one, or remove its package."
