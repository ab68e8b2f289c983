"""Feature-reassembly operators: one file per operator, found by being in this folder.

An operator file declares

- ``DOWN`` and/or ``UP``: its paths inside HRNet, keyed by the papers' name of the path. A path is built by
    ``down(in_channels, out_channels, steps, relu, **options) -> nn.Module``  scale 2^-steps; relu: at its end
    ``up(in_channels, out_channels, steps, **options) -> nn.Module``          scale 2^steps
  A path may miss its nominal size on odd maps; the fusion aligns it.
- A down path may return (y, records) instead of y: one record a step, highest resolution first, any structure. The
  up paths of a pair with a `guide` are called as ``up_path(x, records)`` with those that the guide names;
- ``OPTIONS`` (where it has any): option -> default; every path of the file takes all of them;
- ``PAIRS``: the benchmark rows it brings, each one down path and one up path;
- ``init_operator()``, a method of modules whose initialisation replaces HRNet's (Kaiming on every Conv2d).

Operator files import nothing from each other, so a pair depends on exactly the files that `files` names (and on
rfbench.reassembly, which counts as part of the network).
``import operators`` is light; the first look-up imports the operator files and with them torch.
"""

import difflib
import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from rfbench.errors import RFBenchError

Options = Mapping[str, Mapping[str, object]]  # {"m2mrf": {"patch_size": 4}}: operator file -> its options


@dataclass(frozen=True)
class Pair:
    """One row of the benchmark: a down path and an up path injected at every site of HRNetV2."""

    name: str  # as in configurations and file names
    down: str  # key of a DOWN path, spelled as in the papers' tables
    up: str  # key of an UP path, likewise
    params: int  # learnable parameters of HRNetV2-W48 + head, four outputs, default options
    confidence: str  # how sure we are that the setting is the published one
    label: str = ""  # only where the papers do not call the row "<down>/<up>"
    # Whose records an up path j -> i takes. "mirror": those of the same module's down path i -> j. "previous": those
    # of the previous module's; where it had no such path, those of the transitions that created branches i+1 … j.
    guide: str = ""

    @property
    def published_name(self) -> str:
        """The row's name in the papers (column `name` of the published results)."""
        return self.label or f"{self.down}/{self.up}"


def available() -> list[str]:
    """Names of all registered pairs, sorted."""
    return sorted(_pairs())


def get(name: str) -> Pair:
    """The pair of that name."""
    try:
        return _pairs()[name]
    except KeyError:
        raise RFBenchError(_unknown("operator pair", name, available())) from None


def files(name: str) -> list[Path]:
    """Source files of the operators that the pair uses: the ones whose change changes the pair's runs."""
    pair = get(name)
    modules = {_owner("DOWN", pair.down), _owner("UP", pair.up)}
    return sorted(Path(_modules()[module].__file__) for module in modules)


def builders(name: str, options: Options | None = None) -> tuple[Callable, Callable]:
    """The pair's builders (down, up) with the options bound; options of other operators are only checked."""
    pair, options = get(name), options or {}
    for operator, given in options.items():
        _check_options(operator, given or {})
    return _bound("DOWN", pair.down, options), _bound("UP", pair.up, options)


def options(name: str) -> dict[str, dict[str, object]]:
    """Defaults of the options of the pair's operators: operator file -> option -> default."""
    return {file.stem: dict(getattr(_modules()[file.stem], "OPTIONS", {})) for file in files(name)}


@functools.cache
def _modules() -> dict[str, ModuleType]:
    """Every operator file of this folder, imported."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names}


@functools.cache
def _pairs() -> dict[str, Pair]:
    pairs: dict[str, Pair] = {}
    for module_name, module in _modules().items():
        for pair in getattr(module, "PAIRS", ()):
            if pair.name in pairs:
                raise RFBenchError(f"operators/{module_name}.py: another file declares '{pair.name}' too.")
            _owner("DOWN", pair.down)
            _owner("UP", pair.up)
            pairs[pair.name] = pair
    return pairs


def _owner(kind: str, path: str) -> str:
    """Name of the operator file that declares this DOWN or UP path."""
    owners = [name for name, module in _modules().items() if path in getattr(module, kind, {})]
    if len(owners) != 1:
        found = f"declared by {', '.join(owners)}" if owners else "declared by no operator file"
        raise RFBenchError(f"{kind} path '{path}' is {found}; exactly one file must declare it.")
    return owners[0]


def _bound(kind: str, path: str, options: Options) -> Callable:
    """The path's builder with its operator's options."""
    owner = _owner(kind, path)
    return functools.partial(getattr(_modules()[owner], kind)[path], **(options.get(owner) or {}))


def _check_options(operator: str, given: Mapping[str, object]) -> None:
    if operator not in _modules():
        raise RFBenchError(_unknown("operator in operator_options", operator, list(_modules())))
    known = list(getattr(_modules()[operator], "OPTIONS", {}))
    for option in given:
        if option not in known:
            raise RFBenchError(_unknown(f"option of operator '{operator}'", option, known))


def _unknown(what: str, given: str, known: list[str]) -> str:
    close = difflib.get_close_matches(str(given), known, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return f"Unknown {what} '{given}'.{hint} Available: {', '.join(known) or 'none'}."
