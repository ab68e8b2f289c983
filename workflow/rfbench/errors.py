"""Errors whose message is written for the user; the command line prints them without a traceback."""

from collections.abc import Iterable
from typing import TextIO

LONGEST = 1500  # characters of a line of a message; a damaged archive's names alone may have 65,535


def printable(text: object) -> str:
    """One line without anything that a terminal would obey: control, format and undecodable characters are escaped.

    A file, a column or a key may be named by anyone, so whatever is printed and was not written here goes through
    this function: `a\x1b[2J.jpg` is shown as it would stand in a Python literal.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))


def print_lines(lines: Iterable[object], file: TextIO | None = None) -> None:
    """Print lines that hold names from outside, each made `printable`; to standard output if no file is given."""
    for line in lines:
        print(printable(line), file=file)


class RFBenchError(Exception):
    """A problem the user can act on: the file or key, what was expected, what was found, what to do.

    Every argument is a line of its message, made `printable`; of one without end, beginning and end are kept.
    """

    def __str__(self) -> str:
        return "\n".join(_bounded(printable(line)) for line in self.args)


def _bounded(line: str) -> str:
    """A line of at most LONGEST characters: the middle goes, as what is wrong stands first and what to do last."""
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 501]}…{line[-500:]}"


class DataError(RFBenchError):
    """A source archive or a prepared data set that is missing, damaged or not what it should be."""
