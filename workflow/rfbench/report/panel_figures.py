"""The paper's Figures 5 to 8 with our runs: a row a lesion, a column a network, the examples those of the blind set."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from rfbench.files import write_whole
from rfbench.names import OUTLINE_COLOURS, lesion_colour
from rfbench.published import METHOD_TABLES, SAME_ROW, TABLES, published_means, published_methods
from rfbench.report.outlines import MISSED, TRUE, WRONG
from rfbench.report.panels import Case, Panels
from rfbench.report.plotting import MM, STYLE, plt, save

LIST = "panels.txt"
FIGURES = {  # name: title, the paper's figure, the table whose rows it shows
    "panels_downsampling": ("Downsampling operators", "Figure 5", "table2_ds"),
    "panels_upsampling": ("Upsampling operators", "Figure 6", "table2_us"),
    "panels_pairs": ("Operator pairs on DDR", "Figure 7", "table3"),
    "panels_networks": ("Networks on IDRiD", "Figure 8", "table5"),
}
NETWORKS = "table5"  # whose figure shows whole methods, too
TILE, STEP, LABEL = 19 * MM, 22 * MM, 15 * MM  # a crop's side, from row to row, the room of a row's label
DASHES = {TRUE: "solid", WRONG: (0, (2.2, 1.4)), MISSED: (0, (0.1, 1.7))}
GROUND = "#171310"


def draw_all(gathered: Sequence[Panels], folder: Path, digest: str) -> list[Path]:
    """Draw each figure for each data set in its layout that has rows of it; returns the files, panels.txt last.

    Args:
        gathered: of each data set.
        folder: where the figures go.
        digest: SHA-256 of the list of examples.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written, said = [], []
    for name, (title, paper, table) in FIGURES.items():
        of_layout = [one for one in gathered if one.layout == TABLES[table].layout]
        for panels in of_layout:
            competitors = rows_of(panels, table)
            own = f"{panels.name}_{name}"
            if len(competitors) < 2 or not (cases := chosen(panels)):
                said.append(f"{own}: not drawn, fewer than two of its rows have finished")
                continue
            with plt.rc_context(STYLE | {"figure.constrained_layout.use": False}):
                figure = draw(panels, competitors, cases, f"{title} (as in the paper's {paper})", digest)
                written += save(figure, folder, own)
            said.append(f"{own}: {', '.join(panels.rows[competitor] for competitor in competitors)}")
        if not of_layout:
            said.append(f"{name}: not drawn, no data set in the layout of {TABLES[table].dataset}")
    write_whole(folder / LIST, "".join(f"{line}\n" for line in said).encode())
    return [*written, folder / LIST]


def rows_of(panels: Panels, table: str) -> list[str]:
    """The finished competitors of a data set that a table of the paper has, in its order.

    Where whole methods compete, M2MRF stands beside them in place of the other pairs, as in the paper's Figure 8.
    """
    printed = list(dict.fromkeys(row for row, _ in published_means(TABLES[table])))
    if table == NETWORKS and panels.methods:
        printed = [SAME_ROW.get(name, name) for name in published_methods(METHOD_TABLES["table6"])]
        printed += [panels.rows[name] for name in panels.methods if panels.rows[name] not in printed]
    there = {row: competitor for competitor, row in panels.rows.items() if competitor not in panels.missing}
    return [there[row] for row in printed if row in there]


def chosen(panels: Panels) -> list[Case]:
    """Of each lesion the region of smallest digest in the blind set."""
    found: dict[str, Case] = {}
    for case in sorted((one for one in panels.cases if one.example.set == "blind"), key=lambda one: one.example.digest):
        found.setdefault(case.example.lesion, case)
    return [found[lesion] for lesion in panels.lesions if lesion in found]


def draw(panels: Panels, competitors: Sequence[str], cases: Sequence[Case], title: str, digest: str) -> plt.Figure:
    """One figure: photograph with the crop's box, ground truth, a column a competitor."""
    names = ["photograph", "ground truth", *(panels.rows[competitor].replace("/", "/\n") for competitor in competitors)]
    width = LABEL + len(names) * TILE
    above, below = _texts(panels, title, digest, width)
    signs = _signs(panels.lesions)
    columns = max(n for n in range(1, len(signs) + 1) if n == 1 or 17 * MM * n <= width)
    head = (2 + 2.7 * len(above) + 6) * MM
    foot = (3 + 2.1 * len(below) + 3 * -(-len(signs) // columns)) * MM
    height = head + foot + len(cases) * STEP
    figure = plt.figure(figsize=(width, height))
    for line, case in enumerate(cases):
        bottom = foot + (len(cases) - line) * STEP - TILE
        for column, name in enumerate(names):
            left = LABEL + column * TILE
            axes = figure.add_axes([left / width, bottom / height, 0.97 * TILE / width, TILE / height])
            if line == 0:
                axes.set_title(name, size=4.8, pad=2)
            note = _fill(axes, panels, case, column, competitors)
            axes.text(0.5, -0.02, note, size=4.2, ha="center", va="top", transform=axes.transAxes)
        one, stem = case.example, "\n".join(textwrap.wrap(case.example.stem, 13))
        label = f"{one.lesion}\n{stem}\n{one.area} px\nrank {one.rank} of {one.of}"
        figure.text(MM / width, (bottom + TILE / 2) / height, label, size=4.6, va="center")
    figure.text(MM / width, 1 - 1.5 * MM / height, "\n".join(above), size=6, va="top", linespacing=1.25)
    figure.text(MM / width, 1.5 * MM / height, "\n".join(below), size=4.6, linespacing=1.25)
    legend = (0, (2 + 2.1 * len(below)) * MM / height)
    figure.legend(signs.values(), signs.keys(), loc="lower left", bbox_to_anchor=legend,
                  ncols=columns, fontsize=4.8, columnspacing=1.2, handlelength=2.2, borderaxespad=0.3)  # fmt: skip
    return figure


def _texts(panels: Panels, title: str, digest: str, width: float) -> tuple[list[str], list[str]]:
    """Lines above and below: what it is; the rule, and what may be done with the figure."""
    synthetic = " – SYN: synthetic images, no ranking of operators" if panels.synthetic else ""
    about = f"{panels.name}{synthetic}. {title}; seed {panels.seed}, threshold 0.5"
    rule = (
        "Chosen by rule: of each lesion the region of smallest SHA-256 over manifest digest | image | lesion | box "
        f"(blind set of panels.csv, SHA-256 {digest[:16]}…). F: of the lesion in the whole image."
    )
    note = {
        "local": "For local use: photographs not to be passed on.",
        "never": "Photographs are not shown.",
        "publish": "" if panels.synthetic else f"Photographs: {panels.credit}.",
    }[panels.photographs]
    return _wrapped([about], width, 6), _wrapped([rule, note], width, 4.6)


def _wrapped(texts: Sequence[str], width: float, size: float) -> list[str]:
    """Texts as lines that a figure of this width (inches) holds; a letter is 0.6 of its size wide."""
    letters = int(72 * (width - 2 * MM) / (0.6 * size))
    return [line for text in texts for line in textwrap.wrap(text, letters)]


def _signs(lesions: tuple[str, ...]) -> dict[str, Line2D]:
    """The legend: colours of lesions, lines of kinds."""
    found = {name: Line2D([], [], color=OUTLINE_COLOURS.get(name) or lesion_colour(name, lesions)) for name in lesions}
    words = {TRUE: "region that is a lesion", WRONG: "wrong region", MISSED: "lesion missed (tinted)"}
    for kind, style in DASHES.items():
        found[words[kind]] = Line2D([], [], color="0.3", ls=style, dash_capstyle="round")
    return found


def _fill(axes: plt.Axes, panels: Panels, case: Case, column: int, competitors: Sequence[str]) -> str:
    """Draw one cell; returns its note."""
    axes.set(xticks=[], yticks=[], facecolor=GROUND)
    one, visible = case.example, panels.photographs != "never"
    for spine in axes.spines.values():
        spine.set_linewidth(0)
    if column == 0:
        image, scale = case.whole
        axes.imshow(_rgb(image) if visible else np.zeros_like(image), aspect="equal")
        box = (scale * one.crop_left, scale * one.crop_top)
        axes.add_patch(Rectangle(box, *[scale * one.crop_side] * 2, fill=False, ec="white", lw=0.7))
        return ""
    side = one.crop_side
    axes.imshow(_rgb(case.crop) if visible else np.zeros_like(case.crop), extent=(0, side, side, 0))
    axes.set(xlim=(0, side), ylim=(side, 0))
    if column == 1:
        _outline(axes, {(lesion, TRUE): lines for lesion, lines in case.truth.items()}, panels.lesions)
        return f"crop {side} px"
    seen = case.seen[competitors[column - 2]]
    _outline(axes, seen.tile.lines, panels.lesions)
    return "F –" if seen.f != seen.f else f"F {seen.f:.1f} %"


def _outline(axes: plt.Axes, lines: dict[tuple[str, str], list[np.ndarray]], lesions: tuple[str, ...]) -> None:
    for (lesion, kind), polygons in lines.items():
        colour = OUTLINE_COLOURS.get(lesion) or lesion_colour(lesion, lesions)
        if kind == MISSED:  # tinted: of a tiny lesion one would not see the dots
            axes.add_collection(PolyCollection(polygons, facecolors=colour, alpha=0.3, linewidths=0))
        closed = [np.vstack([polygon, polygon[:1]]) for polygon in polygons]
        axes.add_collection(LineCollection(closed, colors=colour, linewidths=0.6 if kind != MISSED else 0.8,
                                           linestyles=[DASHES[kind]], capstyle="round"))  # fmt: skip


def _rgb(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
