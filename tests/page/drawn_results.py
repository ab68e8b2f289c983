"""A results folder of drawn numbers, of any size: what a page is tested on without training anything."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from rfbench import names
from rfbench.lesions.counts import FROC_THRESHOLDS
from rfbench.lesions.lesion_metrics import SIZES
from rfbench.names import LESIONS, METRICS
from rfbench.published import read_published
from rfbench.report.reading import COLUMNS
from rfbench.runs import run_folder
from rfbench.statistics.differences import differences

from ..recorded import ORIGIN

COUNTS = {"lesions": 40.0, "regions": 50.0, "regions_false": 20.0}
LAYOUTS = {"IDRiD": "idrid", "DDR": "ddr"}


def rows_of_paper(count: int) -> list[str]:
    """So many rows of the papers' tables, the baseline first."""
    return [names.BASELINE_ROW, *(row for row in read_published()["row"].unique() if row != names.BASELINE_ROW)][:count]


def pair_of(row: str) -> str:
    """A name of a pair for a row."""
    return row.lower().replace("/", "_").replace("-", "_").replace("+", "p").replace(" ", "_")


def draw(
    folder: Path,
    *,
    pairs: int = 4,
    datasets: tuple[str, ...] = ("IDRiD",),
    seeds: int = 3,
    synthetic: bool = False,
    states: dict[tuple[str, int], tuple[str, str]] | None = None,
    points: int = 200,
    population: bool = True,
    deviations: str = "",
) -> pd.DataFrame:
    """Write metrics.csv, profile.json, differences.csv, and curves and records of every run that is done.

    Args:
        folder: the results folder.
        pairs, datasets, seeds: how many runs. Data sets are named as in LAYOUTS.
        synthetic: whether the images count as drawn; the data sets' names then begin with SYN-.
        states: (state, reason) of runs that are not done, by (row, seed).
        points: of each precision-recall curve.
        population: whether the differences have intervals for new patients; their ends are drawn, too.
        deviations: from the published protocol.
    """
    rng, lines = np.random.default_rng(7), []
    for name in datasets:
        dataset = f"SYN-{name}" if synthetic else name
        for place, row in enumerate(rows_of_paper(pairs)):
            for seed in range(seeds):
                state, reason = (states or {}).get((row, seed), ("done", ""))
                common = {**dict.fromkeys(COLUMNS, ""), "dataset": dataset, "pair": pair_of(row), "seed": seed,
                          "n": 27 if state == "done" else 0, "state": state, "reason": reason,
                          "kind": "synthetic" if synthetic else LAYOUTS[name], "layout": LAYOUTS[name],
                          "split": "test", "eval_size": "native", "synthetic": synthetic, "row": row,
                          "downsample": "down", "upsample": "up", "backbone": "hrnetv2_w48", "recipe": "published",
                          "deviations": deviations, "settings": "0123456789ab", "manifest": "ba9876543210",
                          "commit": "c0ffee" * 6, "dirty": False, "torch": "2.13.0", "device": "cpu"}  # fmt: skip
                if state != "done":
                    lines += [{**common, "metric": metric, "lesion": "mean", "value": None} for metric in names.METRICS]
                    continue
                lines += [{**common, **line} for line in _run(rng, place)]
                leave(run_folder(folder, dataset, common["pair"], seed), rng, points, seed)
    metrics = pd.DataFrame(lines, columns=COLUMNS)
    metrics.to_csv(folder / "metrics.csv", index=False)
    found, _ = differences(metrics, folder, names.BASELINE_ROW)
    if population:
        found["population_low"], found["population_high"] = found["low"] - 1.25, found["high"] + 1.25
        found["n_eff"] = 8.5
    found.to_csv(folder / "differences.csv", index=False)
    (folder / "profile.json").write_text(json.dumps(_profile(rng, pairs)))
    return metrics


def _run(rng: np.random.Generator, place: int) -> list[dict]:
    """The metrics of one run, as `rfbench aggregate` writes them."""
    lines = []
    for metric in names.METRICS:
        values = {lesion: float(np.clip(0.5 + 0.01 * place + rng.normal(0, 0.01), 0, 1)) for lesion in LESIONS}
        values["mean"] = float(np.mean(list(values.values())))
        lines += [{"metric": metric, "lesion": lesion, "value": value} for lesion, value in values.items()]
    for lesion in LESIONS:
        own = {"ap_error": 1e-6, "aupr11_artefact": 0.0, **COUNTS, "lesions_hit": 30.0,
               **{f"lesion_{name}": float(rng.uniform(0.3, 0.9)) for name in ("recall", "precision", "f1")},
               "cpm": float(rng.uniform(0, 1)), "fp_per_image": float(rng.uniform(0, 20))}  # fmt: skip
        for size in SIZES:
            few = lesion == "SE" and size == "lt74"
            own |= {f"lesions_{size}": 4.0 if few else 36.0, f"lesions_hit_{size}": 3.0 if few else 27.0,
                    f"lesion_recall_{size}": np.nan if few else float(rng.uniform(0.3, 0.9))}  # fmt: skip
        own |= {f"lesions_covered_{share}": 0.5 for share in ("any", "10", "20", "50")}
        for threshold in FROC_THRESHOLDS:
            own |= {f"froc_recall_{threshold:.5g}": 1 - threshold, f"froc_fp_{threshold:.5g}": 10 * (1 - threshold)}
        lines += [{"metric": metric, "lesion": lesion, "value": value} for metric, value in own.items()]
    return lines


def leave(folder: Path, rng: np.random.Generator, points: int, seed: int) -> None:
    """Curves and record of a run."""
    folder.mkdir(parents=True)
    recall = np.linspace(0, 1, points)
    curves = []
    for lesion in LESIONS:
        precision = np.clip(1 - recall ** rng.uniform(1, 5) + rng.normal(0, 0.01, points), 0, 1)
        for name, own in (("exact", slice(None)), ("aupr11", slice(None, None, max(1, points // 10)))):
            curves.append(
                pd.DataFrame({"lesion": lesion, "curve": name, "recall": recall[own], "precision": precision[own]})
            )
    pd.concat(curves).to_csv(folder / "pr_curves.csv", index=False)
    steps = np.arange(20, 4001, 20)
    losses = pd.DataFrame({"iteration": steps, "loss": 0.4 + np.exp(-steps / 900), "lr": 0.01})
    losses.to_csv(folder / "curve.csv", index=False)
    images = pd.DataFrame(
        [{"stem": f"image_{k:02}", "lesion": lesion, "tp": int(rng.integers(0, 50)), "predicted": 60,
          "positives": 0 if k % 9 == 0 else 80} for k in range(27) for lesion in LESIONS]
    )  # fmt: skip
    images.to_csv(folder / "per_image.csv", index=False)
    identity = {"settings": "5e7", "code": "c0dec0dec0de", "manifest": "ba9876543210" + 52 * "0"}
    record = {
        "checkpoint_sha256": f"{seed:064x}", "state": "done", "reason": None, "settings": {}, "identity": identity,
        "provenance": ORIGIN, "training_provenance": ORIGIN, "evaluation": {}, "n_images": 27, "details": {},
        "metrics": {metric: {} for metric in METRICS},
    }  # fmt: skip
    (folder / "evaluation.json").write_text(json.dumps(record))
    times = {"seconds": 60.0, "finished": f"2026-03-{seed + 1:02}T12:00:00+00:00"}
    (folder / "evaluation_times.json").write_text(json.dumps(times))


def _profile(rng: np.random.Generator, pairs: int) -> dict:
    """The content of profile.json, as far as tables and page read it."""
    found = {}
    for row in rows_of_paper(pairs):
        ratio = float(rng.uniform(0.2, 1.2))
        found[pair_of(row)] = {"row": row, "params": 300_000, "params_w48": int(rng.uniform(6e7, 8e7)), "flops": 2e9,
                               "memory": 1e8, "fps": 10.0, "fps_ratio": ratio, "fps_ratio_min": 0.9 * ratio,
                               "fps_ratio_max": 1.1 * ratio}  # fmt: skip
    return {"backbone": "hrnetv2_w48", "size": [512, 512], "batch": 1, "dtype": "float32", "channels_last": False,
            "threads": 1, "rounds": 3, "baseline": names.BASELINE_PAIR, "memory_kind": "saved for backward",
            "paper": None, "pairs": found,
            "provenance": {"device": "cpu", "commit": "0" * 40, "dirty": False, "python": "3.11",
                           "versions": {"torch": "2.13.0"}},
            }  # fmt: skip
