"""CSV that came from outside, read by one set of rules: UTF-8, every column once, every line of equal length."""

import csv
import io
from collections import Counter
from collections.abc import Iterator


def read_rows(content: bytes) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """The columns of a CSV file, and an iterator over its rows with the line that each ends on.

    Empty lines are passed over, as is a byte order mark. Raises ValueError, from the iterator too, in words that
    follow "found": no UTF-8, a column named twice, another number of fields than of columns, quotes that do not close.
    """
    reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error
    twice = [column for column, count in Counter(header).items() if count > 1]
    if twice:
        raise ValueError(f"the column {twice[0]} {Counter(header)[twice[0]]} times")
    return header, _rows(reader, header)


def _rows(reader, header: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        for row in reader:
            if row and len(row) != len(header):
                raise ValueError(f"{len(row)} fields in line {reader.line_num} and {len(header)} columns")
            if row:
                yield reader.line_num, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error
