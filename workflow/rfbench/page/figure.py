"""What a figure of the page is made of: panels as Vega-Lite specifications, signs, a table.

Panels are single views, so that they stand below each other on a phone. The signs are a legend in HTML, and every
figure has a table of what it draws, since Vega's marks cannot be reached by keyboard. Colours and marks of the rows
are those of the printed figures.
"""

from dataclasses import dataclass

import pandas as pd

from rfbench.page.grids import Grid
from rfbench.report import plotting

WIDTH, HEIGHT = 420, 260  # px of a static chart; in the page its width is that of its place
SHAPES = {
    "o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down", "P": "cross",
    "X": "M-.7,-1L0,-.3L.7,-1L1,-.7L.3,0L1,.7L.7,1L0,.3L-.7,1L-1,.7L-.3,0L-1,-.7Z", "<": "triangle-left",
}  # fmt: skip
GREY = "#8a8f98"


@dataclass(frozen=True)
class Sign:
    """A row's place in a legend: colour and Vega's shape; for a line none, but the lengths of its dashes, if any."""

    row: str
    colour: str
    shape: str = ""
    dash: tuple[float, ...] = ()


@dataclass(frozen=True)
class Panel:
    """One view: its name, its title, what selectors find it by (a lesion, or none) and its specification.

    `still` is the specification of its picture for readers without JavaScript, where it is another.
    """

    name: str
    title: str
    spec: dict
    lesion: str = ""
    still: dict | None = None


@dataclass(frozen=True)
class Figure:
    """Panels with a title, what they show in a sentence or two, their legend and their table.

    Where there are `choices`, they are the data of its panels by measure (`Measure.key`), and the panels' own are the
    first of them.
    """

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]
    legend: tuple[Sign, ...]
    table: Grid
    choices: dict[str, list[dict]] | None = None


def signs(metrics: pd.DataFrame) -> dict[str, Sign]:
    """Each row's sign."""
    return {row: Sign(row, sign["color"], SHAPES[sign["marker"]]) for row, sign in plotting.signs(metrics).items()}


def view(values: list[dict], *layers: dict) -> dict:
    """A specification without the layers of intervals that no value has: Vega warns of them."""
    known = set().union(*values)
    drawn = [
        layer for layer in layers if "data" in layer or known >= {layer["encoding"][axis]["field"] for axis in "xy"}
    ]
    return {"width": "container", "height": HEIGHT, "data": {"name": "values", "values": values},
            "autosize": {"type": "fit", "contains": "padding"}, "layer": drawn}  # fmt: skip


def quantity(field: str, title: str, **scale) -> dict:
    return {"field": field, "type": "quantitative", "title": title, "axis": {"tickCount": 6},
            "scale": {"zero": False, "nice": True, **scale}}  # fmt: skip


def told(*fields: tuple[str, str]) -> list[dict]:
    return [{"field": field, "title": title} for field, title in fields]


def coloured(shown: dict[str, Sign]) -> dict:
    rows_of, colours = list(shown), [sign.colour for sign in shown.values()]
    return {"field": "row", "type": "nominal", "legend": None, "scale": {"domain": rows_of, "range": colours}}


def shaped(shown: dict[str, Sign]) -> dict:
    rows_of, shapes = list(shown), [sign.shape for sign in shown.values()]
    return {"field": "row", "type": "nominal", "legend": None, "scale": {"domain": rows_of, "range": shapes}}


def short(value):
    return float(f"{value:.5g}") if isinstance(value, float) else value
