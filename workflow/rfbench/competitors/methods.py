"""The whole methods that there are (`rfbench.methods`), found without importing one; `method` imports it, and torch."""

import ast
import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from rfbench.errors import RFBenchError
from rfbench.registry import NAME, imported, module_at, twice, unknown

if TYPE_CHECKING:
    from rfbench.competitors.method import Method

GROUP = "rfbench.methods"  # entry points of installed packages
DECLARED = "METHOD"  # what a method file names its declaration
PACKAGE, FOLDER = "rfbench.methods", Path(__file__).parents[1] / "methods"  # of this project's own


@dataclass(frozen=True)
class Source:
    """Where a method is declared: its name, the function that imports its module, and the place in words."""

    name: str
    load: Callable[[], ModuleType]
    origin: str
    module: str = ""  # its dotted name where it is one of ours


def available() -> list[str]:
    """Names of all methods, sorted; none of them is imported."""
    return sorted(_sources())


def published() -> list[str]:
    """Names of the methods that the papers compare, sorted."""
    return [name for name in available() if method(name).published]


def method(name: str) -> "Method":
    """The declaration of the method of that name.

    Raises:
        RFBenchError: there is none, its file cannot be imported, or declares none.
    """
    from rfbench.competitors.method import Method

    declared = getattr(_module(name), DECLARED, None)
    if not isinstance(declared, Method):
        raise RFBenchError(
            f"{origin(name)}: expected METHOD = Method(…) (rfbench.competitors.method), found "
            f"{'none' if declared is None else type(declared).__name__}. `rfbench new-method` writes such a file."
        )
    return declared


def row(name: str) -> str:
    """The method's row in tables: its label in the papers where they have one."""
    about = method(name)
    return about.published or about.label


def origin(name: str) -> str:
    """Where the method is declared, in words: `methods/pspnet.py`, or a package and its entry point."""
    return _source(name).origin


def module_of(name: str) -> str:
    """Dotted name of the method's module where it is one of this package's; empty for others."""
    return _source(name).module


def files(name: str) -> list[Path]:
    """Source files of a method of another package, or loaded by path: its module's, with those below a package's."""
    file = Path(_module(name).__file__)
    return sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]


def declares(path: str | Path) -> bool:
    """Whether a Python file names a METHOD; it is not imported. False for what is no readable Python."""
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    targets += [node.target for node in tree.body if isinstance(node, ast.AnnAssign)]
    return any(isinstance(target, ast.Name) and target.id == DECLARED for target in targets)


def load_file(path: str | Path) -> str:
    """Register a method file from anywhere for this process; its name.

    Raises:
        RFBenchError: no such file, it cannot be imported, or its name is taken.
    """
    path = Path(path).resolve()
    if path.parent == FOLDER and path.stem in _sources():
        return path.stem
    source = Source(path.stem, lambda: module_at(path), str(path))
    if source not in _loaded and not any(known.origin == source.origin for known in _loaded):
        _loaded.append(source)
        _forget()
        try:
            method(path.stem)
        except RFBenchError:
            _loaded.remove(source)
            _forget()
            raise
    return path.stem


_loaded: list[Source] = []  # by load_file


def _forget() -> None:
    """Look everything up anew."""
    _sources.cache_clear()
    _module.cache_clear()


@functools.cache
def _sources() -> dict[str, Source]:
    """Every method: this project's files, the installed packages' entry points, the files loaded by path."""
    names = sorted(module.name for module in pkgutil.iter_modules([str(FOLDER)]) if not module.ispkg)
    found = [_own(name) for name in names]
    found += [_outside(entry) for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name)]
    sources: dict[str, Source] = {}
    for source in [*found, *_loaded]:
        if not NAME.fullmatch(source.name):
            raise RFBenchError(
                f"{source.origin}: names of methods are small letters, digits and _, beginning with a letter; "
                f"found '{source.name}'. Rename it."
            )
        if source.name in sources:
            raise RFBenchError(twice("the method", source.name, sources[source.name].origin, source.origin))
        sources[source.name] = source
    return sources


def _own(name: str) -> Source:
    dotted = f"{PACKAGE}.{name}"
    return Source(name, functools.partial(importlib.import_module, dotted), f"methods/{name}.py", dotted)


def _outside(entry: EntryPoint) -> Source:
    """The method of an installed package."""
    return Source(entry.name, entry.load, f"package {entry.dist.name} (entry point '{entry.name}')")


def _source(name: str) -> Source:
    try:
        return _sources()[name]
    except KeyError:
        raise RFBenchError(unknown("method", name, available())) from None


@functools.cache
def _module(name: str) -> ModuleType:
    source = _source(name)
    return imported(source.load, "the method", source.origin, DECLARED)
