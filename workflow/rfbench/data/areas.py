"""Sizes of lesions: the table of the summary and its histogram.

The papers mark 74, 256 and 1920 px, the 10, 50 and 90 % quantiles of IDRiD's lesions at its native size
(docs/datasets.md).
"""

import io
from collections.abc import Mapping

import numpy as np

from rfbench.names import lesion_colour

NAME = "areas.png"
MARKS = (74, 256, 1920)


def table(areas: Mapping[str, np.ndarray]) -> list[str]:
    """Markdown lines: per lesion and for all, quantiles of the region areas (px) and shares about MARKS."""
    shares = [f"< {MARKS[0]} px %", f"< {MARKS[1]} px %", f"> {MARKS[2]} px %"]
    heads = ["lesion", "regions", "smallest", "10 %", "50 %", "90 %", "largest", *shares]
    every = {**areas, "all": np.concatenate([*areas.values(), np.zeros(0)])}
    return [
        f"| {' | '.join(heads)} |",
        f"|---|{'---:|' * (len(heads) - 1)}",
        *(f"| {lesion} | {' | '.join(_cells(values))} |" for lesion, values in every.items()),
    ]


def _cells(values: np.ndarray) -> list[str]:
    if not len(values):
        return ["0", *["–"] * 8]
    quantiles = np.quantile(values, (0, 0.1, 0.5, 0.9, 1), method="inverted_cdf")  # areas that occur
    shares = [(values < MARKS[0]).mean(), (values < MARKS[1]).mean(), (values > MARKS[2]).mean()]
    return [str(len(values)), *(f"{value:.0f}" for value in quantiles), *(f"{100 * share:.1f}" for share in shares)]


def draw(areas: Mapping[str, np.ndarray], unit: str) -> bytes:
    """Histograms of the region areas over a logarithmic axis, one panel per lesion, MARKS dashed; PNG bytes.

    The same areas give the same bytes: the file holds no time.
    """
    # Here, since every training and evaluation imports this module by way of the manifest and none draws.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lesions = tuple(areas)
    height = 1.25 * len(lesions) + 0.9
    figure = Figure(figsize=(7.2, height), dpi=120)
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(lesions), squeeze=False)[:, 0]
    figure.subplots_adjust(0.08, 0.5 / height, 0.98, 1 - 0.3 / height, hspace=0.18)
    largest = max((values.max() for values in areas.values() if len(values)), default=10)
    edges = np.linspace(0, max(np.log10(largest) + 0.05, 4.2), 64)  # log10: matplotlib's log scale is ten times slower
    for panel, lesion in zip(panels, lesions, strict=True):
        counts, _ = np.histogram(np.log10(np.maximum(areas[lesion], 1)), edges)
        panel.stairs(counts, edges, fill=True, color=lesion_colour(lesion, lesions), alpha=0.85)
        for mark in MARKS:
            panel.axvline(np.log10(mark), color="black", linewidth=0.8, linestyle=(0, (4, 3)))
        panel.set_xlim(0, edges[-1])
        panel.set_xticks(range(int(edges[-1]) + 1), [])
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
        panel.text(0.99, 0.9, f"{lesion}, {len(areas[lesion])} regions", transform=panel.transAxes, ha="right",
                   va="top", fontsize=9)  # fmt: skip
    for mark in MARKS:
        panels[0].text(np.log10(mark), 1.03, f"{mark}", transform=panels[0].get_xaxis_transform(), fontsize=8,
                       ha="center")  # fmt: skip
    ticks = range(int(edges[-1]) + 1)
    panels[-1].set_xticks(ticks, [f"{10**tick}" for tick in ticks])
    panels[-1].set_xlabel(f"area of a region ({unit})", fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
