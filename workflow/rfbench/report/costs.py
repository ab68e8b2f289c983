"""What each pair and method costs, from profile.json: a table and a figure with the published speed beside ours.

Of a record of `rfbench gpu`, the same for each of its profiles, and the loss curves of its trainings. Needs neither
torch nor the networks. Speeds are ratios to the baseline, ours to ours and the published to theirs.
"""

import sys
from pathlib import Path

import pandas as pd

from rfbench import provenance
from rfbench.errors import print_lines
from rfbench.names import BASELINE_ROW
from rfbench.published import published_costs, read_published
from rfbench.report.plotting import ACCENT, CONTRAST, MM, WIDTH, entitle, legend, plt, save
from rfbench.report.tables import conditions

# Column of profile.csv: heading in profile.md, decimals there, divisor there.
COLUMNS = {
    "params": ("parameters, M", 2, 1e6),
    "params_w48": ("W48 parameters, M", 2, 1e6),
    "params_published": ("published", 2, 1e6),
    "flops": ("GFLOPs", 2, 1e9),
    "flops_w48": ("W48 GFLOPs", 1, 1e9),
    "memory": ("memory, MB", 1, 1e6),
    "memory_w48": ("W48 memory, MB", 0, 1e6),
    "fps": ("frames/s", 2, 1),
    "fps_ratio": ("speed, × baseline", 2, 1),
    "fps_ratio_published": ("published", 2, 1),
    "fused_fps_ratio": ("fused, × baseline", 2, 1),
    "fused_own_ratio": ("fused / own", 2, 1),
    "compiled_fps_ratio": ("compiled, × baseline", 2, 1),
}
RATIOS = [column for column in COLUMNS if column.endswith("_ratio")]


def costs(profile: dict) -> pd.DataFrame:
    """One row a competitor, in the papers' order: pair, row, COLUMNS measured or published, the ratios' min and max."""
    published, rows = published_costs(), []
    for competitor, record in profile["pairs"].items():
        name, line = record["row"], {"pair": competitor, **record}
        for form in ("fused", "compiled"):
            line |= {f"{form}_{key}": value for key, value in record.get(form, {}).items()}
        if (name, "fps") in published:
            line["fps_ratio_published"] = published[name, "fps"] / published[BASELINE_ROW, "fps"]
        if (name, "params_M") in published:
            line["params_published"] = round(1e6 * published[name, "params_M"])
        rows.append(line)
    printed = {row: place for place, row in enumerate(read_published()["row"].unique())}
    frame = pd.DataFrame(rows).sort_values("row", kind="stable", key=lambda names: names.map(printed))
    wanted = ["pair", "row"]
    for column in COLUMNS:
        wanted += [column, f"{column}_min", f"{column}_max"] if column in RATIOS else [column]
    return frame[[column for column in wanted if column in frame]]


def to_markdown(frame: pd.DataFrame, profile: dict) -> str:
    """The table for a reader, with what its columns mean."""
    shown = [column for column in COLUMNS if column in frame and frame[column].notna().any()]
    lines = [
        "| pair or method | " + " | ".join(COLUMNS[column][0] for column in shown) + " |",
        "|---|" + "---:|" * len(shown),
        *(
            f"| {row['row']} | " + " | ".join(cell_text(row, column) for column in shown) + " |"
            for _, row in frame.iterrows()
        ),
    ]
    parts = ["# Costs of operator pairs and methods", conditions(profile), "\n".join(lines), _notes(profile)]
    return "\n\n".join(parts)


def cell_text(row: pd.Series, column: str) -> str:
    """A value as text; ratios with the smallest and largest of a round."""
    _, decimals, divisor = COLUMNS[column]
    if pd.isna(row[column]):
        return "–"
    text = f"{row[column] / divisor:.{decimals}f}"
    return f"{text} ({row[f'{column}_min']:.2f}–{row[f'{column}_max']:.2f})" if column in RATIOS else text


def _notes(profile: dict) -> str:
    about, kind = profile["provenance"], profile["memory_kind"]
    memory = {
        "saved for backward": "bytes of the tensors that a training step keeps for backward, parameters excluded",
        "max_memory_allocated": "most bytes that the GPU held in a training step, weights and gradients included",
    }[kind]
    paper = profile["paper"]
    w48 = (
        "- W48: the paper's network, HRNetV2-W48, and methods at their published size, counted at "
        f"{paper['size'][0]}x{paper['size'][1]}, batch "
        f"{paper['batch']}, {paper['dtype']}; memory is what is saved for backward.\n"
        if paper
        else ""
    )
    return (
        f"- speed: frames per second as a ratio to {profile['baseline']} in the same process, evaluation mode, eager; "
        f"median (smallest–largest) of {profile['rounds']} interleaved rounds.\n"
        "- fused: `rfbench.fuse(model)`, to the unfused baseline; fused / own: to the pair's own unfused form.\n"
        f"- published: the M2MRF paper (arXiv:2111.00193v2) with HRNetV2-W48, its frames per second divided by its "
        f"baseline's ({published_costs()[BASELINE_ROW, 'fps']}), measured once on the authors' machine.\n"
        "- FLOPs of a forward pass, a multiply-add counted as two: convolutions, matrix products and the weighted sums "
        "of reassembly (accumulated and averaged windows, bilinear interpolation); no other element-wise work.\n"
        f"- memory: {memory}.\n{w48}"
        f"- commit {about['commit'][:12]}{' with uncommitted changes' if about['dirty'] else ''}, "
        f"torch {about['versions']['torch']}.\n"
    )


def draw_speed(frame: pd.DataFrame, profile: dict) -> plt.Figure:
    """Speed of every competitor, ours and published, each as a ratio to its own baseline."""
    figure, axes = plt.subplots(figsize=(WIDTH, (12 + 4.4 * len(frame)) * MM))
    places, handles = range(len(frame)), {}
    forms = {  # of ours: column, marker, colour, shift of the row
        "ours": ("fps_ratio", "o", ACCENT, 0),
        "ours, fused": ("fused_fps_ratio", "s", "#009e73", 0.25),
        "ours, compiled": ("compiled_fps_ratio", "^", "#cc79a7", -0.25),
    }
    for label, (column, marker, colour, shift) in forms.items():
        if column in frame:
            middle = frame[column]
            spread = [middle - frame[f"{column}_min"], frame[f"{column}_max"] - middle]
            handles[label] = axes.errorbar(
                middle, [place + shift for place in places], xerr=spread, fmt=marker, ms=3, lw=0.7, color=colour
            )
    if "fps_ratio_published" in frame:
        (handles["published, HRNetV2-W48"],) = axes.plot(
            frame["fps_ratio_published"], places, "D", ms=4, mfc="none", color=CONTRAST
        )
    axes.axvline(1, color="0.6", lw=0.8, ls=":")
    axes.set_yticks(places, frame["row"])
    axes.set(xlim=(0, None), ylim=(len(frame) - 0.4, -0.6), xlabel=f"FPS, ratio to {BASELINE_ROW}")
    entitle(figure, [f"ours: median, smallest to largest of {profile['rounds']} rounds", conditions(profile)])
    legend(figure, handles)
    return figure


def draw_losses(trainings: dict[str, dict], record: dict) -> plt.Figure:
    """Loss of every step by its number, stock's and ours, a panel for each training."""
    figure, panels = plt.subplots(
        len(trainings), figsize=(WIDTH, 0.6 + 1.5 * len(trainings)), sharex=True, squeeze=False
    )
    for panel, block in zip(panels[:, 0], trainings.values(), strict=True):
        for name, label, colour in (("stock", "stock, float32", CONTRAST), ("ours", "ours", ACCENT)):
            panel.plot(block[name]["losses"], lw=0.7, color=colour, label=label)
        judged = "within" if block["within_noise"] else "NOT within"
        panel.set_title(f"{block['pair']}: ours {block['ratio']:.2f} times as fast, losses {judged} noise")
        panel.set_ylabel("Dice loss")
    panels[-1, 0].set_xlabel("step")
    panels[0, 0].legend(loc="upper right")
    suite = record["suite"]
    width, height = suite["crop"]
    images = f"synthetic images, {width}x{height}, batch {suite['batch']}"
    figure.suptitle(f"{suite['backbone']}, {images},\n{record['provenance']['device']}", fontsize="medium")
    return figure


def render(profile: dict, suffix: str, tables: Path, figures: Path) -> None:
    """Write a profile's tables and figure."""
    frame = costs(profile)
    provenance.write_text(tables / f"profile{suffix}.csv", frame.to_csv(index=False, lineterminator="\n"))
    provenance.write_text(tables / f"profile{suffix}.md", to_markdown(frame, profile))
    save(draw_speed(frame, profile), figures, f"profile_speed{suffix}")
    written = f"{tables}/profile{suffix}.csv, .md; {figures}/profile_speed{suffix}.png, .pdf"
    print_lines([f"{written}: {len(frame)} rows"], file=sys.stderr)
