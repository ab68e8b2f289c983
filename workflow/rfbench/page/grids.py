"""Tables of the page: a column is what can be sorted by and hidden, a group of rows what the selectors choose."""

from collections.abc import Sequence
from dataclasses import dataclass

from rfbench.page.measures import LESIONS, MEAN, NAMES, Line, Measure
from rfbench.report.lesions import SIZE_NAMES
from rfbench.report.ranking import Difference
from rfbench.report.tables import Cell

ROW = "operators or method"  # what a row of numbers is of


@dataclass(frozen=True)
class Column:
    """A column: its heading, what it means, whether it is hidden at first, whether it holds words."""

    label: str
    hint: str = ""
    hidden: bool = False
    words: bool = False


@dataclass(frozen=True)
class Entry:
    """A cell: its text, its mark (`best`, `second`) and letters, and the fragment that it leads to."""

    text: str
    mark: str = ""
    letters: str = ""
    link: str = ""


@dataclass(frozen=True)
class Group:
    """Rows under a heading of their own; `lesion` and `size` are what selectors find it by."""

    rows: tuple[tuple[Entry, ...], ...]
    label: str = ""
    lesion: str = ""
    size: str = ""


@dataclass(frozen=True)
class Grid:
    """A table of the page; the first cell of each row heads it."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    metric: str = ""


@dataclass(frozen=True)
class Hole:
    """Something that the page would show and cannot, and why."""

    reason: str


def plain(name: str, caption: str, columns: Sequence[Column], rows: Sequence[Sequence]) -> Grid:
    """A grid of one group; cells are texts or entries."""
    entries = tuple(tuple(cell if isinstance(cell, Entry) else Entry(str(cell)) for cell in row) for row in rows)
    return Grid(name, caption, tuple(columns), (Group(entries),))


def anchor(dataset: str, competitor: str, *rest: str) -> str:
    """The fragment of a competitor, or of one of its numbers: `IDRiD.m2mrf_c.mAUPR`."""
    return ".".join((dataset, competitor, *filter(None, rest))).replace(" ", "_")


def number(value: float, form: str = ".2f") -> str:
    """A number as text, a dash for none."""
    return "–" if value != value else format(value, form)


def p_value(value: float) -> str:
    """A p-value as text: three digits, `< 0.001` below, a dash for none."""
    return "< 0.001" if value < 0.001 else number(value, ".3f")


def span(low: float, high: float) -> str:
    """The ends of an interval of a difference, or a dash."""
    return "–" if low != low else f"{low:+.2f} to {high:+.2f}"


def headline(dataset: str, rows: list[dict], labels: dict[str, str], published: Sequence[str]) -> Grid:
    """The data set's main table: every row, configured or not, with the means over lesions and the costs.

    Args:
        dataset: its name.
        rows: as `tables.rows_of` makes them.
        labels: label by heading of the cells, in order.
        published: the headings that the papers print, for which there is a column beside ours.
    """
    columns = [Column(ROW, words=True), Column("n", "finished runs of those configured")]
    for heading, label in labels.items():
        columns.append(Column(label))
        if heading in published:
            columns.append(Column(f"{heading}, published", "the paper's mean of three runs", heading != "mAUPR"))
    lines = []
    for row in rows:
        there = bool(row["configured"])
        link = anchor(dataset, row["pair"]) if there else ""
        cells = [Entry(row["row"], link=link), Entry(f"{row['n']}/{row['configured']}" if there else "–")]
        for heading in labels:
            cell = row["cells"][heading]
            link = anchor(dataset, row["pair"], heading) if there and cell.n else ""
            cells.append(Entry(cell.text, cell.mark, cell.letters, link))
            if heading in published:
                cells.append(Entry(cell.published_text))
        lines.append(cells)
    caption = f"{dataset}: means over lesions, percent, mean ± SD over n runs; costs"
    return plain(f"{dataset}.table", caption, columns, lines)


MEASURED = (
    Column(ROW, words=True),
    Column("n", "finished runs of those configured"),
    Column("mean", "over the finished runs"),
    Column("SD", "sample standard deviation over n runs"),
    Column("− baseline", "difference to the baseline's mean, in points"),
    Column("retraining, 95 %", "what training again, with new seeds, on the same images would show"),
    Column("new patients too, 95 %", "with other images of the same kind as well"),
    Column("published", "the paper's mean of three runs", hidden=True),
    Column("each run", "by seed, in ascending order", hidden=True, words=True),
)


def measured(dataset: str, metric: str, group: list[Measure]) -> Grid:
    """The table of one metric: a group of rows for each lesion and size."""
    groups = []
    for measure in group:
        lines = tuple(_line(line) for line in measure.lines)
        groups.append(Group(lines, _label(measure), measure.lesion, measure.size))
    unit = "regions per image" if metric == "fp_per_image" else "percent"
    return Grid(f"{dataset}.{metric}", f"{dataset}: {NAMES[metric]}, {unit}", MEASURED, tuple(groups), metric)


def _label(measure: Measure) -> str:
    if measure.lesion == MEAN:
        return "mean of the lesions"
    if measure.metric not in LESIONS:
        return measure.lesion
    return f"{measure.lesion}, {SIZE_NAMES[measure.size]} px" if measure.size else f"{measure.lesion}, all sizes"


def _line(line: Line) -> tuple[Entry, ...]:
    mark, letters = (line.cell.mark, line.cell.letters) if isinstance(line.cell, Cell) else ("", "")
    gap = line.difference or Difference(float("nan"), float("nan"), float("nan"))
    return (
        Entry(line.row),  # the main table leads to its runs, and the page's script from here
        Entry(f"{line.n}/{line.configured}"),
        Entry(line.text, mark, letters),
        Entry(line.spread),
        Entry(number(gap.mean, "+.2f")),
        Entry(span(gap.low, gap.high)),
        Entry(span(gap.population_low, gap.population_high)),
        Entry(number(line.published)),
        Entry(", ".join(f"{value:.2f}" for _, value in line.values) or "–"),
    )
