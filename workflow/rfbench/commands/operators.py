"""`rfbench operators`: the registered operator pairs."""

import argparse
import csv
import json
import sys

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from rfbench.contract.operators_table import table_rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", action="store_true", help="build every HRNetV2-W48 and count its parameters")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print CSV")


def run(args: argparse.Namespace) -> int:
    """Print the table; 1 when a count differs from the declared one."""
    rows = table_rows(count=args.count)
    if args.json:
        print(json.dumps(rows, indent=2))
    elif args.csv:
        writer = csv.DictWriter(sys.stdout, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        Console().print(_rich(rows))
    return int(any(row.get("counted", row["params"]) != row["params"] for row in rows))


def _rich(rows: list[dict]) -> Table:
    table = Table(
        "pair", "down\nup", title="Operator pairs in HRNetV2-W48 with four outputs", box=SIMPLE, pad_edge=False
    )
    table.add_column("parameters\npublished", justify="right")
    for column in table.columns:
        column.no_wrap = True
    table.add_column("confidence")
    for row in rows:
        published = "–" if row["published_params_M"] is None else f"{row['published_params_M']:.2f} M"
        paths = f"{row['downsample']}\n{row['upsample']}"
        table.add_row(row["pair"], paths, f"{_params(row)}\n{published}", row["confidence"])
    return table


def _params(row: dict) -> str:
    if "counted" not in row:
        return f"{row['params']:,}"
    return (
        f"{row['params']:,} ✓" if row["counted"] == row["params"] else f"{row['params']:,}\ncounted {row['counted']:,}"
    )
