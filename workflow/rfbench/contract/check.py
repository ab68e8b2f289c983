"""`rfbench check`: put one operator pair to every clause of the contract (operators/README.md)."""

import warnings

from rich.console import Console
from rich.progress import track


def examine(pair: str, clauses: list[str]) -> list[dict]:
    """Put a pair to these clauses; rows of clause, slow, state (kept or broken), expected, found.

    `found` of a clause that is kept: what it measured, where it measures something.
    """
    from rfbench.contract.conformance import CLAUSES, ConformanceError, Subject

    subject, rows, console = Subject(pair), [], Console(stderr=True)
    for name in track(clauses, f"checking {pair}", console=console, disable=not console.is_terminal):
        clause = CLAUSES[name]
        row = {"clause": name, "slow": clause.slow, "state": "kept", "expected": clause.promise, "found": ""}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's own, about its own deprecations
                row["found"] = clause.check(subject)
        except ConformanceError as error:
            row |= {"state": "broken", "expected": error.expected, "found": error.found}
        rows.append(row)
    return rows
