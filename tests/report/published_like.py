"""A metrics file whose runs have, but for a shift and noise, the published values of Table 5 (and 6, by lesion)."""

import numpy as np
import pandas as pd

from rfbench.published import PUBLISHED
from rfbench.report.reading import COLUMNS

LESIONS = ("EX", "HE", "SE", "MA")
NAMES = {"aupr11": ("mAUPR", "AUPR"), "f": ("mF", "F"), "iou": ("mIoU", "IoU"), "ap": ("mAUPR", "AUPR")}


def published_like(
    seeds: tuple[int, ...] = (0, 1, 2),
    shift: float = 0.0,
    sd: float = 0.02,
    states: dict[tuple[str, int], str] | None = None,
    **columns,
) -> pd.DataFrame:
    """Rows as `rfbench aggregate` writes them, for the twelve rows of Table 5 on real IDRiD.

    Args:
        seeds: of every row.
        shift: of all values, in points.
        sd: of one run, in points.
        states: of runs that are not done, by (row, seed).
        columns: other values of whole columns, such as deviations.
    """
    data = pd.read_csv(PUBLISHED, dtype={"table": str}).fillna({"lesion": ""})
    data = data[(data["source"] == "arxiv-v2") & data["table"].isin(["5", "6"])]
    values = {(row["name"], row["metric"], row["lesion"]): row["value"] for row in data.to_dict("records")}
    rng, rows = np.random.default_rng(0), []
    for name in data.loc[data["table"] == "5", "name"].unique():
        for seed in seeds:
            state = (states or {}).get((name, seed), "done")
            common = {**dict.fromkeys(COLUMNS, ""), "dataset": "IDRiD", "pair": name.lower().replace("/", "_"),
                      "seed": seed, "n": 27, "state": state, "synthetic": False, "kind": "idrid", "layout": "idrid",
                      "split": "test", "row": name, "commit": "0" * 40, "dirty": False, **columns}  # fmt: skip
            for metric, (mean, single) in NAMES.items():
                for lesion in ("mean", *LESIONS) if state == "done" else ("mean",):
                    value = values[name, mean, "mean"] if lesion == "mean" else values.get((name, single, lesion), 50.0)
                    noisy = (value + shift + rng.normal(0, sd)) / 100
                    rows.append(
                        {**common, "metric": metric, "lesion": lesion, "value": noisy if state == "done" else None}
                    )
    return pd.DataFrame(rows, columns=COLUMNS)
