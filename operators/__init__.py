"""Feature-reassembly operators: one file per operator, found by being in this folder.

What an operator receives and returns is the contract of operators/README.md, which `rfbench check` puts to the test.
In short, an operator file declares

- ``DOWN`` and/or ``UP``: its paths inside HRNet, keyed by the papers' name of the path. A path is built by
    ``down(in_channels, out_channels, steps, relu, **options) -> nn.Module``  scale 2^-steps; relu: at its end
    ``up(in_channels, out_channels, steps, **options) -> nn.Module``          scale 2^steps
  A path may miss its nominal size on odd maps; the fusion aligns it.
- A down path may return (y, records) instead of y: one record a step, highest resolution first, any structure. The
  up paths of a pair with a `guide` are called as ``up_path(x, records)`` with the records that the guide names;
- ``OPTIONS`` (where it has any): option -> default, e.g. `options_of(Module)`; every path of the file takes all;
- ``PAIRS``: the benchmark rows it brings, each one down path and one up path;
- ``OF_HRNET``: those of its paths that are HRNet's own, module for module, so that ImageNet's weights belong in them;
- ``init_operator()``, a method of modules whose initialisation replaces HRNet's (Kaiming on every Conv2d);
- ``fused()``, a method of modules that have a shorter form for inference; it returns that form, a module, which may
  have a method ``fold(norm)`` that absorbs the batch norm behind it.

An installed package brings operators of its own through the entry-point group ``rfbench.operators``: the entry point
names the operator and loads a module with the same declarations.

Operator files import nothing from each other, so a pair depends on exactly the files that `files` names (and on
rfbench.reassembly, .guided and .official, which count as part of the network).
``import operators`` is light; the first look-up imports the operator files and with them torch.
"""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from rfbench.errors import RFBenchError
from rfbench.registry import NAME, imported, module_at, twice, unknown

GROUP = "rfbench.operators"  # entry points of installed packages

Options = Mapping[str, Mapping[str, object]]  # {"m2mrf": {"patch_size": 4}}: operator file -> its options


@dataclass(frozen=True)
class Pair:
    """One row of the benchmark: a down path and an up path injected at every site of HRNetV2."""

    name: str  # as in configurations and file names; small letters, digits and _
    down: str  # key of a DOWN path, spelled as in the papers' tables
    up: str  # key of an UP path, likewise
    # Learnable parameters of HRNetV2-W48 + head, four outputs, default options; None: not published, so counted.
    params: int | None = None
    confidence: str = "own"  # how sure we are that the setting is the published one; own: nobody published it
    label: str = ""  # only where the papers do not call the row "<down>/<up>"
    # Whose records an up path j -> i takes. "mirror": those of the same module's down path i -> j. "previous": those
    # of the previous module's; where it had no such path, those of the transitions that created branches i+1 … j.
    guide: str = ""
    # Where the operator was published, for a row that the papers' comparison does not have, and what was followed where
    # authors' paper and code differ; "control" for a control. Such rows have a table of their own.
    since: str = ""

    @property
    def published_name(self) -> str:
        """The row's name in the papers (column `name` of the published results)."""
        return self.label or f"{self.down}/{self.up}"


def available() -> list[str]:
    """Names of all registered pairs, sorted."""
    return sorted(_pairs())


def published() -> list[str]:
    """Names of the registered pairs that a paper compares, sorted: those whose setting is not `own`."""
    return sorted(name for name, pair in _pairs().items() if pair.confidence != "own")


def get(name: str) -> Pair:
    """The pair of that name."""
    try:
        return _pairs()[name]
    except KeyError:
        raise RFBenchError(unknown("operator pair", name, available())) from None


def files(name: str) -> list[Path]:
    """Source files of the operators that the pair uses: the ones whose change changes the pair's runs."""
    found = []
    for operator in operators_of(name):
        file = Path(_sources()[operator].module.__file__)
        found += file.parent.rglob("*.py") if file.name == "__init__.py" else [file]
    return sorted(found)


def operators_of(name: str) -> list[str]:
    """The operators of the pair's two paths, as `operator_options` names them."""
    pair = get(name)
    return sorted({_owner("DOWN", pair.down), _owner("UP", pair.up)})


def pairs_of(operator: str) -> list[str]:
    """The pairs that use an operator, sorted; none for what is no operator's name."""
    return [name for name in available() if operator in operators_of(name)]


def origin(name: str) -> str:
    """Where the pair is declared: `operators/lip.py`, or a package and its entry point."""
    return next(source.origin for source in _sources().values() if name in {pair.name for pair in source.pairs})


def builders(name: str, options: Options | None = None) -> tuple[Callable, Callable]:
    """The pair's builders (down, up) with the options bound; options of other operators are only checked."""
    pair, options = get(name), options or {}
    for operator, given in options.items():
        _check_options(operator, given or {})
    return _bound("DOWN", pair.down, options), _bound("UP", pair.up, options)


def defaults(operator: str) -> Mapping[str, object]:
    """The operator's options with their defaults."""
    return getattr(_sources()[operator].module, "OPTIONS", {})


def is_of_hrnet(path: str) -> bool:
    """Whether a DOWN or UP path is HRNet's own, module for module."""
    return any(path in getattr(source.module, "OF_HRNET", ()) for source in _sources().values())


def options_of(module: type) -> dict[str, object]:
    """The keyword arguments of a module's constructor with their defaults, for OPTIONS: each is written once."""
    parameters = inspect.signature(module).parameters.values()
    return {each.name: each.default for each in parameters if each.default is not each.empty}


def taken(operator: str, pair: str, path: str) -> str:
    """Which of these names is registered already and where, in words; empty if all are free."""
    for source in _sources().values():
        paths = {*getattr(source.module, "DOWN", {}), *getattr(source.module, "UP", {})}
        for what, free in (
            (f"the operator '{operator}'", operator != source.name),
            (f"the pair '{pair}'", pair not in {declared.name for declared in source.pairs}),
            (f"the path '{path}'", path.lower() not in {declared.lower() for declared in paths}),
        ):
            if not free:
                return f"{source.origin} declares {what}"
    return ""


def load_file(path: str | Path) -> list[str]:
    """Register an operator file from anywhere for this process; the names of its pairs.

    Raises:
        RFBenchError: no such file, it cannot be imported, or its names are taken.
    """
    path = Path(path).resolve()
    known = [source for source in _sources().values() if Path(source.module.__file__).resolve() == path]
    if not known:
        source = Source(path.stem, _imported(lambda: module_at(path), str(path)), str(path))
        _loaded.append(source)
        _forget()
        try:
            _pairs()
        except RFBenchError:
            _loaded.remove(source)
            _forget()
            raise
        known = [source]
    return [pair.name for pair in known[0].pairs]


@dataclass(frozen=True)
class Source:
    """One operator: its name in `operator_options`, its module, and where it comes from, in words."""

    name: str
    module: ModuleType
    origin: str

    @property
    def pairs(self) -> tuple[Pair, ...]:
        pairs = getattr(self.module, "PAIRS", ())
        if not isinstance(pairs, (tuple, list)) or not all(isinstance(pair, Pair) for pair in pairs):
            raise RFBenchError(
                f"{self.origin}: PAIRS must be a tuple of Pair(…), one alone with a comma behind it; found {pairs!r}."
            )
        return tuple(pairs)


_loaded: list[Source] = []  # by load_file


def _forget() -> None:
    """Look everything up anew."""
    _sources.cache_clear()
    _pairs.cache_clear()


@functools.cache
def _sources() -> dict[str, Source]:
    """Every operator: the files of this folder, the installed packages' entry points, the files loaded by path."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found = [Source(name, importlib.import_module(f"{__name__}.{name}"), f"operators/{name}.py") for name in names]
    found += [_outside(entry) for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name)]
    sources: dict[str, Source] = {}
    for source in [*found, *_loaded]:
        if source.name in sources:
            raise RFBenchError(twice("the operator", source.name, sources[source.name].origin, source.origin))
        sources[source.name] = source
    return sources


def _outside(entry: EntryPoint) -> Source:
    """The operator of an installed package."""
    origin = f"package {entry.dist.name} (entry point '{entry.name}')"
    return Source(entry.name, _imported(entry.load, origin), origin)


def _imported(load: Callable[[], ModuleType], origin: str) -> ModuleType:
    return imported(load, "its operators", origin, "PAIRS, DOWN and UP")


@functools.cache
def _pairs() -> dict[str, Pair]:
    pairs: dict[str, tuple[Pair, Source]] = {}
    rows: dict[str, Source] = {}
    for source in _sources().values():
        for pair in source.pairs:
            if pair.name in pairs:
                raise RFBenchError(twice("the pair", pair.name, pairs[pair.name][1].origin, source.origin))
            if pair.published_name in rows:
                first = rows[pair.published_name].origin
                raise RFBenchError(twice("the row", pair.published_name, first, source.origin))
            if not NAME.fullmatch(pair.name):
                raise RFBenchError(
                    f"{source.origin}: pair names are small letters, digits and _, beginning with a letter; "
                    f"found '{pair.name}'."
                )
            _owner("DOWN", pair.down, source)
            _owner("UP", pair.up, source)
            pairs[pair.name], rows[pair.published_name] = (pair, source), source
    return {name: pair for name, (pair, _) in pairs.items()}


def _owner(kind: str, path: str, asking: Source | None = None) -> str:
    """Name of the operator that declares this DOWN or UP path; `asking` declares a pair with it."""
    owners = [source for source in _sources().values() if path in getattr(source.module, kind, {})]
    if len(owners) != 1:
        found = f"declared by {' and '.join(o.origin for o in owners)}" if owners else "declared by no operator"
        asker = f"{asking.origin}: " if asking else ""
        raise RFBenchError(f"{asker}{kind} path '{path}' is {found}; exactly one must declare it.")
    return owners[0].name


def _bound(kind: str, path: str, options: Options) -> Callable:
    """The path's builder with its operator's options."""
    owner = _owner(kind, path)
    return functools.partial(getattr(_sources()[owner].module, kind)[path], **(options.get(owner) or {}))


def _check_options(operator: str, given: Mapping[str, object]) -> None:
    if operator not in _sources():
        raise RFBenchError(unknown("operator in operator_options", operator, _sources()))
    known = list(defaults(operator))
    for option in given:
        if option not in known:
            raise RFBenchError(unknown(f"option of operator '{operator}'", option, known))
