"""``rfbench operators``: the registered operator pairs, their parameters and how sure their setting is."""

import argparse
import csv
import json
import sys

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

import operators
from rfbench.report.tables import published_costs


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


def table_rows(count: bool = False) -> list[dict]:
    """One row a pair: parameters of HRNetV2-W48 and head, the published ones in millions (None: not published).

    `params` is what the pair declares; where it declares none, they are counted.
    """
    published = published_costs()
    rows = []
    for name in operators.available():
        pair = operators.get(name)
        row = {
            "pair": name,
            "downsample": pair.down,
            "upsample": pair.up,
            "params": counted(name) if pair.params is None else pair.params,
            "published_params_M": published.get((pair.published_name, "params_M")),
            "confidence": pair.confidence,
            "source": operators.origin(name),
        }
        rows.append(row | {"counted": counted(name)} if count else row)
    return rows


def counted(pair: str) -> int:
    """Learnable parameters of the pair's HRNetV2-W48 with head, counted without allocating them."""
    import torch

    from rfbench.models import assemble, count_parameters

    with torch.device("meta"):
        return count_parameters(assemble(pair))


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
