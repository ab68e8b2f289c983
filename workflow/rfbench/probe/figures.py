"""The probe's figures: AP against size by pair, tiny against large, tiny against what the paper printed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rfbench.files import write_changed
from rfbench.probe import controls
from rfbench.probe.analysis import External, Outcome, Scores, estimate
from rfbench.probe.groups import Group
from rfbench.probe.protocol import Protocol, departures
from rfbench.probe.report import correlation, row_name, state
from rfbench.report.plotting import ACCENT, GREY, MM, STYLE, WIDTH, as_svg, entitle, legend, plt, save, signs

SIZES, TRADEOFF, EXTERNAL = NAMES = ("probe_sizes", "probe_tradeoff", "probe_external")
_COLUMNS, _ABREAST = 3, 6  # panels beside each other, in the figure and in the picture of half a page
_LONGEST = 20  # letters of a row that a panel has place for


def draw_all(
    folder: Path, table: pd.DataFrame, outcome: Outcome, protocol: Protocol, pairs: Sequence[str]
) -> list[Path]:
    """Draw every figure; arguments as of `report.write`."""
    scores, written, head = Scores(table, protocol), [], _head(outcome, protocol)
    pairs = [pair for pair in pairs if len(scores.of(Group("fusion", pair), protocol.analysis.tiny))]
    folder.mkdir(parents=True, exist_ok=True)
    with plt.rc_context(STYLE):
        written += save(draw_sizes(scores, pairs, head), folder, SIZES)
        written += save(draw_tradeoff(scores, pairs, head), folder, TRADEOFF)
        written += save(draw_external(outcome.external, head), folder, EXTERNAL)
    return written


def picture(path: Path, table: pd.DataFrame, outcome: Outcome, protocol: Protocol, pairs: Sequence[str]) -> None:
    """Write the figure of sizes as one wide SVG; arguments as of `draw_all`."""
    scores, head = Scores(table, protocol), _head(outcome, protocol)
    shown = [pair for pair in pairs if len(scores.of(Group("fusion", pair), protocol.analysis.tiny))]
    if len(shown) < len(pairs):
        head[0] += f"; preliminary: {len(shown)} of {len(pairs)} operator pairs"
    with plt.rc_context(STYLE):
        figure = draw_sizes(scores, shown, head, columns=max(1, min(len(shown) - 1, _ABREAST)), width=160 * MM)
        write_changed(path, as_svg(figure))


def _head(outcome: Outcome, protocol: Protocol) -> list[str]:
    head = [f"The probe, arm fusion, synthetic images. {state(outcome)}"]
    return [*head, "Not the registered experiment"] if departures(protocol) else head


def draw_sizes(
    scores: Scores, pairs: Sequence[str], head: list[str], columns: int = _COLUMNS, width: float = WIDTH
) -> plt.Figure:
    """AP against the lesion's cells, a panel a pair, the reference behind each."""
    analysis, sizes = scores.protocol.analysis, scores.protocol.images.sizes
    others = [pair for pair in pairs if pair != analysis.reference] or list(pairs)
    lines = -(-len(others) // columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(width, (8 + 26 * lines) * MM), sharex=True, sharey=True, squeeze=False
    )
    handles = {}
    for axes in grid.flat[len(others) :]:
        axes.set_visible(False)
    for axes, pair in zip(grid.flat, others, strict=False):
        for network, style in ((analysis.reference, {"color": GREY}), (pair, {"color": ACCENT})):
            found = [estimate(scores.of(Group("fusion", network), (cells,)), analysis.level) for cells in sizes]
            mean = np.array([each.mean for each in found])
            spread = np.array([[each.mean - each.low, each.high - each.mean] for each in found]).T
            name = row_name(network) if network == analysis.reference else "the pair above the panel"
            handles[name] = axes.errorbar(range(len(sizes)), 100 * mean, yerr=100 * spread, fmt="o-", ms=2, capsize=1.5,
                                          lw=0.8, elinewidth=0.7, **style)  # fmt: skip
        name = row_name(pair)
        axes.set_title(name if len(name) <= _LONGEST else name.replace("/", "/\n"), size=5.5)
        axes.annotate(f"n={found[0].n}", (0.04, 0.88), xycoords="axes fraction", size=5.5)
        axes.set_xticks(range(len(sizes)), sizes)
        axes.set_ylim(0, 100)
        axes.tick_params(labelbottom=True)
    for axes in grid[:, 0]:
        axes.set_ylabel("AP, %")
    for axes in grid.flat[: len(others)][-grid.shape[1] :]:  # the last of each column
        axes.set_xlabel("cells of the lesion")
    entitle(figure, [*head, f"AP against background, mean and {100 * analysis.level:g} % interval over n seeds"])
    legend(figure, handles)
    return figure


def draw_tradeoff(scores: Scores, pairs: Sequence[str], head: list[str]) -> plt.Figure:
    """Tiny against large AP, pairs and controls."""
    analysis = scores.protocol.analysis
    figure, axes = plt.subplots(figsize=(WIDTH, 70 * MM))
    marks = signs(pd.DataFrame({"row": [row_name(pair) for pair in pairs]}))
    styles = {pair: marks[row_name(pair)] for pair in pairs}
    styles |= {name: {"color": GREY, "marker": mark, "mfc": "none"}
               for name, mark in zip(controls.NETWORKS["fusion"], ("X", "P"), strict=True)}  # fmt: skip
    handles = {}
    for network, style in styles.items():
        group = Group("fusion", network)
        tiny, large = (estimate(scores.of(group, sizes), analysis.level) for sizes in (analysis.tiny, analysis.large))
        if not tiny.n:
            continue
        bars = {
            axis: [[100 * (each.mean - each.low)], [100 * (each.high - each.mean)]]
            for axis, each in (("xerr", large), ("yerr", tiny))
        }
        handles[f"{row_name(network)} ({tiny.n})"] = axes.errorbar(
            100 * large.mean, 100 * tiny.mean, ls="", elinewidth=0.5, ecolor=GREY, **bars, **style
        )[0]
    axes.set(xlabel=f"AP of {' and '.join(map(str, analysis.large))} cells, %",
             ylabel=f"AP of {' and '.join(map(str, analysis.tiny))} cells, %")  # fmt: skip
    entitle(figure, [*head, f"mean and {100 * analysis.level:g} % interval over n seeds"])
    legend(figure, handles, name="operator pairs and controls (n seeds)")
    return figure


def draw_external(found: Sequence[External], head: list[str]) -> plt.Figure:
    """Tiny AP against the published mAUPR, a panel a data set."""
    shown = [each for each in found if not each.without_m2mrf]
    figure, panels = plt.subplots(1, len(shown), figsize=(WIDTH, 50 * MM), sharey=True, squeeze=False)
    marks = signs(pd.DataFrame({"row": [row_name(pair) for each in reversed(shown) for pair in each.pairs]}))
    handles, notes = {}, []
    for axes, each in zip(panels[0], shown, strict=True):
        for pair, x, y in zip(each.pairs, each.published, each.tiny, strict=True):
            row = row_name(pair)
            (handles[row],) = axes.plot(x, 100 * y, ls="", **marks[row])
        axes.set_title(f"{each.dataset}, {len(each.pairs)} pairs")
        axes.set_xlabel("published mAUPR, %")
        notes.append(f"{each.dataset}: Spearman's ρ {correlation(each)}")
    panels[0, 0].set_ylabel("AP of tiny lesions in the probe, %")
    entitle(figure, [*head, "; ".join(notes)])
    legend(figure, handles)
    return figure
