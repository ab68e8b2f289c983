"""Charts of the measures: against costs, by size, against the published values."""

import math

from rfbench.lesions.lesion_metrics import FEWEST_IMAGES, FEWEST_LESIONS
from rfbench.names import BASELINE_ROW
from rfbench.page.figure import GREY, Figure, Panel, Sign, coloured, quantity, shaped, short, told, view
from rfbench.page.grids import ROW, Column, Entry, Grid, Group, plain
from rfbench.page.measures import MEAN, Line, Measure
from rfbench.report import charts
from rfbench.report.lesions import SIZE_NAMES

COSTS = {
    "params": ("parameters", "parameters at published size, millions"),
    "fps": ("speed", f"frames per second, ratio to {BASELINE_ROW}"),
}


def tradeoff(
    dataset: str, measures: dict[str, Measure], profile: dict | None, shown: dict[str, Sign], *, ranked: bool
) -> Figure | None:
    """A metric, by choice, against parameters and against speed; None where nothing that is done is profiled.

    Args:
        dataset, measures: its name and measures.
        profile: content of profile.json.
        shown: each row's sign.
        ranked: whether there is a Pareto front, which synthetic data have not.
    """
    costs = (profile or {"pairs": {}})["pairs"]
    profiled = {
        key: [line for line in one.lines if line.values and line.pair in costs] for key, one in measures.items()
    }
    data = {key: _points(measures[key], lines, costs, ranked) for key, lines in profiled.items() if lines}
    if not data:
        return None
    key = next(iter(data))
    panels = [
        Panel(f"{dataset}.{cost}", word, _tradeoff_spec(cost, data[key], measures[key].name, title, shown, ranked))
        for cost, (word, title) in COSTS.items()
    ]
    caption = (
        "Mean over seeds with its 95 % t interval (three runs or more), for the metric and lesion chosen above; speed: "
        f"median, smallest and largest round.{' Dashed: the Pareto front.' if ranked else ''} The table shows the "
        "first of the metrics."
    )
    legend = tuple(sign for row, sign in shown.items() if any(row == line.row for line in profiled[key]))
    table = _tradeoff_table(dataset, measures[key].name, profiled[key], data[key], costs, ranked)
    title = "Metric against parameters and speed"
    return Figure(f"{dataset}.tradeoff", title, caption, tuple(panels), legend, table, data)


def _tradeoff_table(dataset: str, name: str, lines: list[Line], points: list[dict], costs: dict, ranked: bool) -> Grid:
    columns = [Column(ROW, words=True), Column("parameters, M"), Column("speed, × baseline"),
               Column(f"{name}, %"), Column("95 % t interval, ±")]  # fmt: skip
    if ranked:
        hint = "no other row is at least as good in both, and better in one"
        columns.append(Column("on a front", hint, words=True))
    rows = []
    for line, point in zip(lines, points, strict=True):
        own = costs[line.pair]
        speed = f"{own['fps_ratio']:.2f} ({own['fps_ratio_min']:.2f}–{own['fps_ratio_max']:.2f})"
        half = f"{line.half:.2f}" if line.half else "–"
        on = ", ".join(word for cost, (word, _) in COSTS.items() if point[f"{cost}_front"]) or "–"
        rows.append([line.row, f"{own['params_w48'] / 1e6:.2f}", speed, line.text, half, *([on] if ranked else [])])
    return plain(f"{dataset}.tradeoff.table", f"{dataset}: {name} beside the costs", columns, rows)


def _points(measure: Measure, lines: list[Line], costs: dict, ranked: bool) -> list[dict]:
    """Each row's mean with its interval, its costs, and whether it is on the Pareto front of each of them."""
    points = []
    for line in lines:
        own = costs[line.pair]
        points.append({"row": line.row, "n": line.n, "y": line.cell.mean, **_bars(line),
                       "params": own["params_w48"] / 1e6, "fps": own["fps_ratio"],
                       "left": own["fps_ratio_min"], "right": own["fps_ratio_max"]})  # fmt: skip
    high = -1 if measure.metric == "fp_per_image" else 1
    for cost, better in (("params", -1), ("fps", 1)):
        front = set(charts.pareto([(better * point[cost], high * point["y"]) for point in points]))
        for point in points:
            point[f"{cost}_front"] = int(ranked and (better * point[cost], high * point["y"]) in front)
    return [{key: short(value) for key, value in point.items()} for point in points]


def _bars(line: Line) -> dict[str, float]:
    """The ends of a mean's interval, where it has one."""
    return {"low": short(line.cell.mean - line.half), "high": short(line.cell.mean + line.half)} if line.half else {}


def _tradeoff_spec(cost: str, points: list[dict], name: str, title: str, shown: dict[str, Sign], ranked: bool) -> dict:
    x, y = quantity(cost, title), quantity("y", f"{name}, %")
    tooltip = told(("row", ROW), ("y", "mean"), ("low", "from"), ("high", "to"), (cost, title), ("n", "runs"))
    front = {"transform": [{"filter": f"datum.{cost}_front === 1"}],
             "mark": {"type": "line", "strokeDash": [4, 3], "color": GREY},
             "encoding": {"x": x, "y": y, "order": {"field": cost}}}  # fmt: skip
    speed = {"mark": {"type": "rule", "color": GREY},
             "encoding": {"x": {**x, "field": "left"}, "x2": {"field": "right"}, "y": y}}  # fmt: skip
    interval = {"mark": {"type": "rule", "color": GREY},
                "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}}}  # fmt: skip
    signed = {"x": x, "y": y, "color": coloured(shown), "shape": shaped(shown), "tooltip": tooltip}
    signs = {"mark": {"type": "point", "filled": True, "size": 80, "opacity": 1}, "encoding": signed}
    return view(points, *([front] if ranked else []), *([speed] if cost == "fps" else []), interval, signs)


def sizes(
    dataset: str, measures: dict[str, Measure], numbers: dict[str, dict], shown: dict[str, Sign]
) -> Figure | None:
    """Lesions found by size, a panel a lesion; None where no run counted lesions.

    Args:
        dataset: its name.
        measures: of the data set.
        numbers: of lesions, by lesion and heading of a size.
        shown: each row's sign.
    """
    panels, groups, few = [], [], []
    for lesion in numbers:
        by_size = {size: measures[f"lesion_recall|{lesion}|{size}"] for size in SIZE_NAMES}
        points = [
            {"row": line.row, "size": _size_name(size, numbers[lesion]), "y": short(line.cell.mean), "n": line.n}
            | _bars(line)
            for size, measure in by_size.items() for line in measure.lines if line.values
        ]  # fmt: skip
        names = [_size_name(size, numbers[lesion]) for size in SIZE_NAMES]
        if points:
            panels.append(Panel(f"{dataset}.sizes.{lesion}", lesion, _sizes_spec(points, names, shown), lesion))
        else:
            few.append(lesion)
        lines = zip(*(measure.lines for measure in by_size.values()), strict=True)
        groups.append(Group(tuple(
            (Entry(line[0].row), Entry(f"{line[0].n}/{line[0].configured}"), *(Entry(one.cell.text) for one in line))
            for line in lines), lesion, lesion))  # fmt: skip
    if not groups:
        return None
    columns = (Column(ROW, words=True), Column("n"), *(Column(f"{name} px") for name in SIZE_NAMES.values()))
    table = Grid(
        f"{dataset}.sizes.table", f"{dataset}: lesions found at 0.5, percent, mean ± SD", columns, tuple(groups)
    )
    caption = (
        "Share of the lesions that are hit at 0.5, by their area at IDRiD's native size; in brackets, how many there "
        "are. Mean over seeds with its 95 % t interval (three runs or more). Where they are too few for a share (under "
        f"{FEWEST_LESIONS} lesions, or in under {FEWEST_IMAGES} images), only the counts are given, in the table"
        f"{': so for ' + ', '.join(few) if few else ''}."
    )
    legend = tuple(shown.values()) if panels else ()
    return Figure(f"{dataset}.sizes", "Lesions found, by size", caption, tuple(panels), legend, table)


def _size_name(size: str, numbers: dict[str, int]) -> str:
    return f"{SIZE_NAMES[size]} ({numbers[SIZE_NAMES[size]]})"


def _sizes_spec(points: list[dict], names: list[str], shown: dict[str, Sign]) -> dict:
    x = {"field": "size", "type": "ordinal", "title": "area in px (lesions)", "sort": names,
         "scale": {"domain": names}, "axis": {"labelAngle": 0}}  # fmt: skip
    beside = {"field": "row", "sort": list(shown)}
    y = quantity("y", "lesions found, %", domain=[0, 100])
    tooltip = told(("row", ROW), ("size", "area"), ("y", "found, %"), ("low", "from"), ("high", "to"))
    return view(
        points,
        {"mark": {"type": "rule", "color": GREY, "clip": True},
         "encoding": {"x": x, "xOffset": beside, "y": {**y, "field": "low"}, "y2": {"field": "high"}}},
        {"mark": {"type": "point", "filled": True, "size": 45, "opacity": 1},
         "encoding": {"x": x, "xOffset": beside, "y": y, "color": coloured(shown), "shape": shaped(shown),
                      "tooltip": tooltip}},
    )  # fmt: skip


def published(dataset: str, measures: dict[str, Measure], shown: dict[str, Sign]) -> Figure | None:
    """Our mean mAUPR against the published one; None where there is nothing to compare."""
    measure = measures.get(f"aupr11|{MEAN}")
    lines = [line for line in (measure.lines if measure else ()) if line.values and not math.isnan(line.published)]
    if not lines:
        return None
    points = [
        {"row": line.row, "x": line.published, "y": short(line.cell.mean), "n": line.n} | _bars(line) for line in lines
    ]
    ends = [
        min(min(p["x"], p.get("low", p["y"])) for p in points),
        max(max(p["x"], p.get("high", p["y"])) for p in points),
    ]
    domain = [math.floor(ends[0] - 1), math.ceil(ends[1] + 1)]
    x = quantity("x", "published mAUPR, % (mean of 3)", domain=domain, nice=False)
    y = quantity("y", "our mAUPR, %", domain=domain, nice=False)
    tooltip = told(("row", ROW), ("x", "published"), ("y", "ours"), ("low", "from"), ("high", "to"), ("n", "runs"))
    spec = view(
        points,
        {"data": {"values": [{"x": end, "y": end} for end in domain]},
         "mark": {"type": "line", "color": GREY, "strokeDash": [2, 3]}, "encoding": {"x": x, "y": y}},
        {"mark": {"type": "rule", "color": GREY},
         "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}}},
        {"mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
         "encoding": {"x": x, "y": y, "color": coloured(shown), "shape": shaped(shown), "tooltip": tooltip}},
    )  # fmt: skip
    table = plain(
        f"{dataset}.published.table", f"{dataset}: mAUPR, ours and published, percent",
        [Column(ROW, words=True), Column("published"), Column("ours"), Column("n")],
        [(line.row, f"{line.published:.2f}", line.cell.text, f"{line.n}/{line.configured}") for line in lines],
    )  # fmt: skip
    caption = "Ours: mean over seeds with its 95 % t interval (three runs or more). On the dotted line both are equal."
    legend = tuple(sign for row, sign in shown.items() if any(row == line.row for line in lines))
    return Figure(f"{dataset}.published", "Ours against the published mAUPR", caption,
                  (Panel(f"{dataset}.published.mAUPR", "mAUPR", spec),), legend, table)  # fmt: skip
