"""`rfbench check`: put an operator pair, or a method, to its contract (operators/README.md, docs/methods.md)."""

import warnings

from rich.console import Console
from rich.progress import track

from rfbench import competitors


def contract_of(name: str):
    """The contract that a pair or a method is put to, and what it is put to it as: (clauses by name, subject)."""
    if competitors.is_method(name):
        from rfbench.contract import method_conformance

        return method_conformance.CLAUSES, method_conformance.MethodSubject(name)
    from rfbench.contract import conformance

    return conformance.CLAUSES, conformance.Subject(name)


def examine(name: str, chosen: list[str]) -> list[dict]:
    """Put a pair or a method to these clauses; rows of clause, slow, state (kept or broken), expected, found.

    `found` of a clause that is kept: what it measured, where it measures something.
    """
    from rfbench.contract.clauses import ConformanceError

    (clauses, subject), rows, console = contract_of(name), [], Console(stderr=True)
    for each in track(chosen, f"checking {name}", console=console, disable=not console.is_terminal):
        clause = clauses[each]
        row = {"clause": each, "slow": clause.slow, "state": "kept", "expected": clause.promise, "found": ""}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's own, about its own deprecations
                row["found"] = clause.check(subject)
        except ConformanceError as error:
            row |= {"state": "broken", "expected": error.expected, "found": error.found}
        rows.append(row)
    return rows
