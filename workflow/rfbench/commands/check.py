"""`rfbench check`: an operator pair, or a method, against its contract."""

import argparse
import json

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

import operators
from rfbench import competitors
from rfbench.competitors import methods
from rfbench.contract.check import contract_of, examine
from rfbench.errors import RFBenchError
from rfbench.registry import unknown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "name",
        metavar="NAME",
        help="operator pair (`rfbench operators` lists them, those of installed packages too), operator (all its "
        "pairs), operator file, or FILE.py:PAIR; a method, or a method's file",
    )
    parser.add_argument("--only", nargs="+", metavar="CLAUSE", help="these clauses only, e.g. gradient 'every size'")
    parser.add_argument("--fast", action="store_true", help="leave out the slow clauses (marked below the table)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.epilog = "Exit status 0 if every clause is kept. The contract, clause by clause: operators/README.md; " + (
        "of methods: docs/methods.md."
    )


def run(args: argparse.Namespace) -> int:
    """Print a table of clauses; 1 if one is broken."""
    pairs = _pairs(args.name)
    results = {pair: examine(pair, _chosen(pair, args.only, args.fast)) for pair in pairs}
    if args.json:
        print(json.dumps(results, indent=1))
    else:
        for pair, rows in results.items():
            _print(pair, rows, left_out=args.fast and not args.only)
    return int(any(row["state"] == "broken" for rows in results.values() for row in rows))


def _pairs(name: str) -> list[str]:
    """The pairs that a pair's or an operator's name, a file or file:pair stands for; or a method."""
    path, _, pair = name.partition(":")
    if not path.endswith(".py"):
        if competitors.is_method(name):
            return [name]
        return operators.pairs_of(name) or [operators.get(name).name]
    if methods.declares(path):
        return [methods.load_file(path)]
    declared = operators.load_file(path)
    if pair and pair not in declared:
        raise RFBenchError(f"{path}: expected the pair '{pair}' in PAIRS, found {', '.join(declared) or 'none'}.")
    if not declared:
        raise RFBenchError(f"{path}: expected PAIRS with a pair to check, found none.")
    return [pair] if pair else declared


def _chosen(pair: str, only: list[str] | None, fast: bool) -> list[str]:
    clauses, _ = contract_of(pair)
    for name in only or ():
        if name not in clauses:
            raise RFBenchError(f"--only: {unknown('clause', name, clauses)}")
    return [name for name, clause in clauses.items() if name in (only or clauses) and not (fast and clause.slow)]


def _print(pair: str, rows: list[dict], left_out: bool) -> None:
    origin = methods.origin(pair) if competitors.is_method(pair) else operators.origin(pair)
    table = Table("clause", "", "what is promised", title=f"{pair} ({origin})", box=SIMPLE)
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    for row in rows:
        about = Text(row["expected"] + (f" – {row['found']}" if row["found"] else ""))
        if row["state"] == "broken":
            about = Text.assemble(("expected ", "bold"), row["expected"], ("\nfound ", "bold"), row["found"])
        state = Text(row["state"], "green" if row["state"] == "kept" else "bold red")
        table.add_row(row["clause"] + (" (slow)" if row["slow"] else ""), state, about)
    console = Console()
    console.print(table)
    broken = sum(row["state"] == "broken" for row in rows)
    slow = "; the slow clauses were left out (--fast)" if left_out else ""
    console.print(f"{len(rows) - broken} of {len(rows)} clauses kept{slow}", highlight=False)
