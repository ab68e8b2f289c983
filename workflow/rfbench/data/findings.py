"""What is wrong with a source, collected first and reported in one error."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rfbench.errors import DataError, printable
from rfbench.files import write_changed

SHOWN = 20  # the others stand in the report only
REPORT = "findings.txt"


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be: the file, what was expected, what was found, what to do."""

    file: str
    expected: str
    found: str
    advice: str

    def __str__(self) -> str:
        return printable(f"{self.file}: expected {self.expected}, found {self.found}. {self.advice}")


def raise_findings(subject: str, findings: Iterable[Finding], output: Path) -> None:
    """Raise one DataError about `subject` with every finding, and leave them all in `output`/findings.txt.

    Without a finding it returns quietly, and removes the report of an earlier run.
    """
    lines = list(dict.fromkeys(str(finding) for finding in findings))
    if not lines:
        (output / REPORT).unlink(missing_ok=True)
        return
    heading = printable(subject) + f": {len(lines)} {'problem' if len(lines) == 1 else 'problems'}"
    write_changed(output / REPORT, "\n".join([heading, *(f"- {line}" for line in lines), ""]).encode())
    shown = [f"  - {line}" for line in lines[:SHOWN]]
    if len(lines) > SHOWN:
        shown.append(f"  - … and {len(lines) - SHOWN} more, all of them in {output / REPORT}")
    raise DataError(heading, *shown)
