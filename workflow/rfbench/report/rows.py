"""In which order tables and figures show operators and lesions."""

import pandas as pd

from rfbench.names import LESIONS
from rfbench.published import read_published


def order(metrics: pd.DataFrame) -> list[str]:
    """Rows in the order of the paper's tables, then our own in the configuration's."""
    own = metrics["row"].unique()
    return [row for row in read_published()["row"].unique() if row in own] + [
        row for row in own if row not in set(read_published()["row"])
    ]


def lesions(metrics: pd.DataFrame) -> list[str]:
    """The lesions of the finished runs: the papers' four in their order, then others."""
    found = metrics.loc[(metrics["state"] == "done") & (metrics["lesion"] != "mean"), "lesion"].unique()
    return [lesion for lesion in LESIONS if lesion in found] + [lesion for lesion in found if lesion not in LESIONS]
