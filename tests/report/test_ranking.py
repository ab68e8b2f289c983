"""What the rows of a table claim: letters and marks by resolved differences, intervals in the wording of the docs."""

import itertools
import math
from argparse import Namespace

import numpy as np
import pandas as pd
import pytest

from rfbench.commands import tables as command
from rfbench.names import BASELINE_ROW
from rfbench.published import TABLES
from rfbench.report import ranking, tables
from rfbench.statistics import resolved, retraining

from .published_like import published_like

PAIRS = 12


def rows_of(metrics: pd.DataFrame, differences: pd.DataFrame | None = None) -> dict[str, dict]:
    """Rows of Table 5 by name."""
    rows = tables.rows_of(metrics, TABLES["table5"], None, differences)
    assert len(rows) == PAIRS
    return {row["row"]: row for row in rows}


def scores(metrics: pd.DataFrame, metric: str = "aupr11") -> np.ndarray:
    """(pairs, seeds) in percent."""
    own = metrics[(metrics["metric"] == metric) & (metrics["lesion"] == "mean")]
    return 100 * own["value"].to_numpy(float).reshape(PAIRS, -1)


@pytest.mark.parametrize("sd", [0.05, 0.4, 3.0])
def test_rows_share_a_letter_exactly_if_tukey_does_not_tell_them_apart(sd):
    metrics = published_like(sd=sd)
    apart, cells = resolved(scores(metrics)), [row["cells"]["mAUPR"] for row in rows_of(metrics).values()]
    for one, other in itertools.combinations(range(PAIRS), 2):
        assert bool(set(cells[one].letters) & set(cells[other].letters)) != apart[one, other]


def test_best_and_second_only_where_the_next_is_told_apart():
    """M2MRF-C is .58 above M2MRF-D, which is .18 above M2MRF-A."""
    marks = {sd: {name: row["cells"]["mAUPR"].mark for name, row in rows_of(published_like(sd=sd)).items()}
             for sd in (0.005, 0.08, 3.0)}  # fmt: skip
    assert {name: mark for name, mark in marks[0.005].items() if mark} == {"M2MRF-C": "best", "M2MRF-D": "second"}
    assert {name: mark for name, mark in marks[0.08].items() if mark} == {"M2MRF-C": "best"}
    assert not any(marks[3.0].values()), "the largest of twelve means of noise is nobody's best"


def test_a_second_without_a_best_is_none():
    metrics = published_like(sd=0.01)
    for row, value in (("M2MRF-C", 0.70), ("M2MRF-D", 0.70), ("M2MRF-A", 0.60), ("M2MRF-B", 0.50)):
        chosen = (metrics["row"] == row) & (metrics["metric"] == "aupr11") & (metrics["lesion"] == "mean")
        metrics.loc[chosen, "value"] = [value, value + 0.0001, value - 0.0001]
    marks = [row["cells"]["mAUPR"].mark for row in rows_of(metrics).values()]
    assert not any(marks)


def test_metrics_that_were_not_chosen_have_no_marks():
    for row in rows_of(published_like(sd=0.005)).values():
        assert row["cells"]["mF"].mark == row["cells"]["mIoU"].mark == ""
        assert row["cells"]["mF"].letters == row["cells"]["mIoU"].letters == ""
        assert row["cells"]["mAP"].letters


def test_a_row_with_a_hole_is_no_competitor_but_has_its_difference():
    rows = rows_of(published_like(sd=0.005, states={("M2MRF-C", 1): "diverged"}))
    assert rows["M2MRF-C"]["cells"]["mAUPR"].mark == rows["M2MRF-C"]["cells"]["mAUPR"].letters == ""
    assert rows["M2MRF-D"]["cells"]["mAUPR"].mark == "best"
    difference = rows["M2MRF-C"]["differences"]["mAUPR"]
    assert difference.mean == pytest.approx(2.23, abs=0.05)
    assert difference.low < difference.mean, "two runs, and more than ten degrees of freedom from the others"


def test_synthetic_data_show_intervals_and_rank_nothing(tmp_path):
    metrics = published_like(sd=0.05, synthetic=True, dataset="SYN-IDRiD")
    for name, row in rows_of(metrics).items():
        assert not row["ranked"]
        assert not any(cell.mark or cell.letters for cell in row["cells"].values())
        if name != BASELINE_ROW:
            assert row["differences"]["mAP"].low < row["differences"]["mAP"].high
    text = written(tmp_path, metrics)
    assert "+2.2" in text
    assert "**" not in text.split("| Difference")[0].split("## ")[1]
    assert "share a letter" not in text


def test_differences_are_those_of_retraining():
    metrics = published_like(sd=0.5)
    rows, got = rows_of(metrics), retraining(scores(metrics))
    assert rows[BASELINE_ROW]["differences"] == {}
    for place, row in enumerate(rows.values()):
        if place:
            own = row["differences"]["mAUPR"]
            assert (own.mean, own.low, own.high) == pytest.approx(
                (got.difference[place], got.low[place], got.high[place])
            )


def test_without_the_baseline_there_are_no_differences_but_letters():
    metrics = published_like(sd=0.5)
    rows = rows_of(metrics[metrics["row"] != BASELINE_ROW])
    assert all(row["differences"] == {} for row in rows.values())
    assert rows["M2MRF-C"]["cells"]["mAUPR"].letters


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((1.4, 0.2, 2.6, -0.9, 3.7), "+1.40 (retraining, 95 %: +0.20 to +2.60; new patients too: -0.90 to +3.70)"),
        ((1.4, 0.2, 2.6), "+1.40 (retraining, 95 %: +0.20 to +2.60)"),
        ((-1.4, math.nan, math.nan), "-1.40 (too few runs for an interval)"),
        ((math.nan, math.nan, math.nan), "–"),
    ],
)
def test_wording(values, text):
    assert ranking.Difference(*values).text == text


def stored(metrics: pd.DataFrame, **changes) -> pd.DataFrame:
    """differences.csv of the same metrics."""
    got, names = retraining(scores(metrics)), list(metrics["pair"].unique())
    line = {"dataset": "IDRiD", "metric": "aupr11", "lesion": "mean", "reference": names[0], "population_low": -5.0,
            "population_high": 7.0}  # fmt: skip
    return pd.DataFrame([{**line, "pair": name, "difference": got.difference[place], **changes}
                         for place, name in enumerate(names) if place])  # fmt: skip


def test_intervals_for_new_patients_come_from_differences_csv_if_they_are_of_these_metrics():
    metrics = published_like(sd=0.5)
    own = rows_of(metrics, stored(metrics))["M2MRF-C"]["differences"]
    assert (own["mAUPR"].population_low, own["mAUPR"].population_high) == (-5.0, 7.0)
    assert math.isnan(own["mAP"].population_low), "differences.csv has no line of it"
    for changes in ({"difference": 1.0}, {"reference": "m2mrf-a"}, {"dataset": "DDR"}, {"lesion": "EX"}):
        own = rows_of(metrics, stored(metrics, **changes))["M2MRF-C"]["differences"]
        assert math.isnan(own["mAUPR"].population_low), changes


def written(folder, metrics: pd.DataFrame, differences: pd.DataFrame | None = None) -> str:
    """table5.md, as the command writes it."""
    metrics.to_csv(folder / "metrics.csv", index=False)
    if differences is not None:
        differences.to_csv(folder / "differences.csv", index=False)
    command.run(Namespace(metrics=folder / "metrics.csv", results=None, output=folder / "out"))
    return (folder / "out" / "table5.md").read_text()


def test_the_tables_of_some_runs_take_the_differences_of_those_runs(tmp_path):
    """`snakemake partial` writes both below results/partial; the results folder's own may be of other runs."""
    metrics, folder = published_like(sd=0.5), tmp_path / "partial"
    folder.mkdir()
    metrics.to_csv(folder / "metrics.csv", index=False)
    stored(metrics).to_csv(folder / "differences.csv", index=False)
    stored(metrics, population_low=-99.0).to_csv(tmp_path / "differences.csv", index=False)
    command.run(Namespace(metrics=folder / "metrics.csv", results=tmp_path, output=folder / "out"))
    text = (folder / "out" / "table5.md").read_text()
    assert "new patients too: -5.00 to +7.00" in text
    assert "-99" not in text


def test_the_words_are_under_the_table(tmp_path):
    metrics = published_like(sd=0.05)
    text = written(tmp_path, metrics, stored(metrics))
    difference = rows_of(metrics, stored(metrics))["M2MRF-C"]["differences"]["mAUPR"].text
    assert f"| M2MRF-C | {difference} |" in text
    assert "mean ± SD over n runs" in text
    assert "Rows that share a letter cannot be told apart" in text
    assert "only where the difference to the next row is resolved" in text
    table = pd.read_csv(tmp_path / "out" / "table5.csv").set_index("row")
    assert table.loc["M2MRF-C", "mAUPR_difference"] == pytest.approx(2.23, abs=0.1)
    assert table.loc["M2MRF-C", "mAUPR_difference_population_high"] == 7
    assert table.loc["M2MRF-C", "mAUPR_letters"].startswith("a")
    assert table.loc[[BASELINE_ROW], "mAUPR_difference"].isna().all()


def test_the_tables_of_a_data_set_never_disagree():
    """Two rows are told apart among all pairs of the data set, whichever table shows them."""
    metrics = published_like(sd=0.3, layout="ddr", dataset="DDR")
    renamed = {"A2U/A2U": "CARAFE++/Bilinear", "M2MRF-A": "M2MRF one-step/Bilinear"}
    metrics["row"] = metrics["row"].replace(renamed)
    found = [
        {
            row["row"]: row["differences"]["mAUPR"].low
            for row in tables.rows_of(metrics, TABLES[name])
            if row["differences"]
        }
        for name in ("table2_ds", "table2_us", "table3")
    ]
    for one, other in itertools.combinations(found, 2):
        assert all(one[row] == other[row] for row in one.keys() & other.keys())
    apart = resolved(scores(metrics))
    names = list(metrics["row"].unique())
    for name in ("table2_ds", "table3"):
        rows = [row for row in tables.rows_of(metrics, TABLES[name]) if row["configured"]]
        for one, other in itertools.combinations(rows, 2):
            shared = set(one["cells"]["mAUPR"].letters) & set(other["cells"]["mAUPR"].letters)
            assert bool(shared) != apart[names.index(one["row"]), names.index(other["row"])]
