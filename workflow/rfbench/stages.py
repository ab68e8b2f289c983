"""What runs again after a change of code: a stage's digest covers the modules that it is made of, as syntax trees.

A stage names its entry modules; the modules of ours that they import, directly or not, belong to it, less those that
NEUTRAL lists. Comments, docstrings and formatting are no part of a tree. An operator pair's own files count for its
runs alone (`operators.files`), as does a method's with what it imports.
"""

import ast
import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import operators
from rfbench import competitors
from rfbench.competitors import methods
from rfbench.provenance import digest

SHARED = {f"rfbench.{name}" for name in ("reassembly", "guided", "official", "wavelets")}  # by operator files
FOLDERS = {"rfbench": Path(__file__).parent, "operators": Path(operators.__file__).parent}
PACKAGES = ("rfbench", "rfbench.methods", "rfbench.competitors")  # neutral themselves, not what is in them
# Why a change in these modules, or in what only they import, changes no result of a stage.
NEUTRAL = {
    "rfbench": "names what is imported on first use",
    "rfbench.errors": "sentences for the user",
    "rfbench.files": "how a file is written, not what",
    "rfbench.flocks": "who may write",
    "rfbench.competitors": "tells pairs and methods apart",
    "rfbench.competitors.methods": "finds the methods; each counts for its own runs",
    "rfbench.methods": "says what the package holds",
    "rfbench.registry": "finds operators and methods; each counts for its own runs",
    "rfbench.stages": "decides what runs again",
    "rfbench.devices": "which device computes; a record's provenance names it",
    "rfbench.gpus": "which GPUs there are",
    "rfbench.provenance": "describes a result",
    "rfbench.settings": "a run's settings have a digest of their own",
    "rfbench.data.progress": "shows how far a preparation is",
    "rfbench.training.watchdog": "ends a training that takes too long, changes none of its numbers",
}


@dataclass(frozen=True)
class Stage:
    """Entry modules below `rfbench`, and the data files (patterns) that they read beside the code."""

    entries: tuple[str, ...]
    data: tuple[str, ...] = ()


_TEMPLATES, _PUBLISHED, _SINCE = "report/templates/*", "published/results.csv", "published/later.csv"
STAGES = {
    "prepare": Stage(("data.prepare",), ("data/*.txt",)),
    "train": Stage(("training.train",)),
    "lesions": Stage(("evaluation.ground_truth",)),
    "evaluate": Stage(("evaluation.run",)),
    "profile": Stage(("profiling.profile",)),
    "aggregate": Stage(("report.aggregate",)),
    "statistics": Stage(("statistics.differences",)),
    "tables": Stage(
        ("report.tables", "report.lesions", "report.methods", "report.rendering"), (_TEMPLATES, _PUBLISHED, _SINCE)
    ),
    "verdicts": Stage(
        ("report.verdicts", "report.power"),
        (_PUBLISHED, "report/templates/verdicts.*", "report/templates/power.*", "statistics/margins.yaml"),
    ),
    "costs": Stage(("report.costs",), (_PUBLISHED,)),
    "figures": Stage(("report.figures",), (_PUBLISHED,)),
    "probe": Stage(("probe.run",)),
    "probe-report": Stage(("probe.report", "probe.figures", "probe.records"), (_PUBLISHED, "report/templates/probe.*")),
    "panels": Stage(("page.panels", "report.panel_figures"), (_PUBLISHED, "page/templates/*")),
    "page": Stage(("page.model", "page.render"), (_PUBLISHED, _SINCE, "page/templates/*", "statistics/margins.yaml")),
    "ablation": Stage(("report.ablation",), (_TEMPLATES, _PUBLISHED)),
}


@functools.cache
def modules(stage: str, competitor: str | None = None) -> tuple[str, ...]:
    """The modules that a stage is made of, sorted; with those that a competitor brings.

    Of a pair these are what its operators import, without themselves; of a method its own module, if it is one of ours,
    and what that imports.
    """
    graph, found = _imports(), set()
    waiting = {f"rfbench.{entry}" for entry in STAGES[stage].entries}
    if competitor and competitors.is_method(competitor):
        waiting |= {methods.module_of(competitor)} - {""}
    elif competitor:
        waiting |= _imported_by_operators(graph, competitor)
    while waiting:
        name = waiting.pop()
        found.add(name)
        package = name.rpartition(".")[0]  # importing a module runs the packages around it, too
        waiting |= {name for name in {*graph.find_modules_directly_imported_by(name), package} if _counts(name)} - found
    return tuple(sorted(found))


def _imported_by_operators(graph, pair: str) -> set[str]:
    """The modules that a pair's operators import."""
    found = set()
    for operator in operators.operators_of(pair):
        name = f"operators.{operator}"
        # What an installed package imports of ours nobody has drawn: the contract lets it be these.
        own = graph.find_modules_directly_imported_by(name) if name in graph.modules else SHARED
        found |= {name for name in own if _counts(name)}
    return found


@functools.cache
def _imports():
    """The graph of what imports what."""
    import grimp

    return grimp.build_graph(*FOLDERS, cache_dir=None, exclude_type_checking_imports=True)


def _counts(name: str) -> bool:
    """Whether a module counts for the stages that import it: not the neutral ones, nor a pair's own operator files."""
    neutral = name in NEUTRAL or any(name.startswith(f"{room}.") for room in NEUTRAL if room not in PACKAGES)
    return bool(name) and not neutral and not name.startswith("operators.")


@functools.cache
def code_digest(stage: str, competitor: str | None = None) -> str:
    """Short digest of a stage's code, for a run with its competitor's files."""
    return digest(parts(stage, competitor))


def parts(stage: str, competitor: str | None = None) -> dict[str, str]:
    """Digest of every piece of a stage's code: functions and classes by `file:name`, the rest of a file by its name."""
    named = {_shown(file): file for file in map(_file, modules(stage, competitor))}
    if competitor is not None:
        named |= {_shown(file): file for file in _own_files(competitor)}
    found = {}
    for shown, file in named.items():
        found |= {f"{shown}{piece}": value for piece, value in _pieces(file).items()}
    root = Path(__file__).parent
    for pattern in STAGES[stage].data:
        for file in sorted(root.glob(pattern)):
            found[f"rfbench/{file.relative_to(root)}"] = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    return found


def _own_files(competitor: str) -> list[Path]:
    """Files of a pair's operators; of a method those of another package, since one of ours is a module."""
    if competitors.is_method(competitor):
        return [] if methods.module_of(competitor) else methods.files(competitor)
    return operators.files(competitor)


def _file(name: str) -> Path:
    """A module's file, found without importing the packages around it."""
    root, *rest = name.split(".")
    path = FOLDERS[root].joinpath(*rest)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _shown(file: Path) -> str:
    """A file as a person looks for it, such as rfbench/training/train.py; of an installed package, package/file."""
    for root, folder in FOLDERS.items():
        if file.is_relative_to(folder):
            return f"{root}/{file.relative_to(folder)}"
    return f"{file.parent.name}/{file.name}"


@functools.cache
def _pieces(file: Path) -> dict[str, str]:
    """Digest of each top-level function and class of a file, ":name", and of everything else, ""."""
    tree = ast.parse(file.read_bytes())
    own = {node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    rest = [node for node in _without_docstring(tree.body) if getattr(node, "name", None) not in own]
    trees = {f":{name}": _plain(node) for name, node in own.items()} | {"": [_plain(node) for node in rest]}
    return {name: digest(value) for name, value in trees.items()}


def _plain(node: object) -> object:
    """A syntax tree as nested lists, without docstrings, places in the file, and fields that are empty.

    `ast.dump` would do, but what it says of empty fields differs between versions of Python.
    """
    if isinstance(node, ast.AST):
        return [type(node).__name__, *([name, _plain(value)] for name, value in _fields(node))]
    if isinstance(node, list):
        return [_plain(item) for item in node]
    return repr(node)


def _fields(node: ast.AST) -> Iterator[tuple[str, object]]:
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(value, list):
            value = _without_docstring(value)
        if value not in (None, []) and name not in ("kind", "type_comment"):
            yield name, value


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    """Statements without the texts that stand alone among them."""
    return [
        node
        for node in body
        if not (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        )
    ]


def changed(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """The pieces that two `parts` of the same stage differ in, those gone or new among them."""
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
