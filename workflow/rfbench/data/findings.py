"""What is wrong with a source, collected first and reported in one error."""

from collections.abc import Iterable
from dataclasses import dataclass

from rfbench.errors import DataError

SHOWN = 20  # further findings are counted only: the reader mends the first ones and looks again


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be: the file, what was expected, what was found, what to do."""

    file: str
    expected: str
    found: str
    advice: str

    def __str__(self) -> str:
        return f"{self.file}: expected {self.expected}, found {self.found}. {self.advice}"


def raise_findings(subject: str, findings: Iterable[Finding]) -> None:
    """Raise one DataError that lists every finding about `subject`; return quietly when there is none."""
    lines = list(dict.fromkeys(str(finding) for finding in findings))
    if not lines:
        return
    shown = [f"  - {line}" for line in lines[:SHOWN]]
    if len(lines) > SHOWN:
        shown.append(f"  - … and {len(lines) - SHOWN} more of the kind")
    noun = "problem" if len(lines) == 1 else "problems"
    raise DataError("\n".join([f"{subject}: {len(lines)} {noun}", *shown]))
