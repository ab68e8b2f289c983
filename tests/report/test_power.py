"""The table of power and break-even SDs."""

import math

import pandas as pd
import pytest

from rfbench.names import BASELINE_ROW
from rfbench.report import power as report
from rfbench.statistics import power, spread

from .published_like import published_like


def test_our_spread_is_pooled_over_pairs_in_points():
    metrics = published_like(sd=0.7)
    ours = report.spreads(metrics).set_index("metric")
    values = metrics.query("metric == 'aupr11' and lesion == 'mean'")["value"].to_numpy().reshape(12, 3)
    s, df = spread(100 * values)
    row = ours.loc["mAUPR"]
    assert (row["sd"], row["df"], row["pairs"]) == pytest.approx((s, df, 12))
    assert (row["sd_low"], row["sd_high"]) == pytest.approx(power.sd_interval(s, df))
    assert list(ours.index) == ["mAUPR", "mF", "mIoU", "mAP"]


@pytest.mark.parametrize("metrics", [published_like(synthetic=True), published_like(seeds=(0,))])
def test_synthetic_data_and_single_seeds_have_no_spread(metrics):
    assert report.spreads(metrics).empty
    assert report.detectable(report.spreads(metrics)) == []


def test_what_seeds_detect_and_cost():
    ours = report.spreads(published_like(sd=0.7))
    rows = pd.DataFrame(report.detectable(ours)).query("metric == 'mAUPR'")
    s = ours["sd"].iloc[0]
    by_n = rows.dropna(subset="n").set_index("n")
    assert list(by_n.index) == [3, 5, 10, 20]
    assert by_n.loc[3, "detectable"] == pytest.approx(s * power.detectable(3, 12))
    assert by_n.loc[3, "detectable_holm"] == pytest.approx(s * power.detectable(3, 12, alpha=0.05 / 11))
    seeds = rows[rows["kind"] == "seeds"].iloc[0]
    assert seeds["seeds"] == power.seeds_for(1, s, 12)
    assert seeds["seeds_low"] <= seeds["seeds"] <= seeds["seeds_high"]


def test_every_published_pair_of_rows_has_a_break_even_sd():
    rows = pd.DataFrame(report.comparisons(report.spreads(published_like(seeds=(0,)))))
    own = rows[(rows["source"] == "arxiv-v2") & (rows["table"] == "5") & (rows["metric"] == "mAUPR")]
    assert len(own) == 66
    headline = own[(own["row"] == "M2MRF-C") & (own["other"] == BASELINE_ROW)].iloc[0]
    assert (headline["difference"], headline["rows"]) == (pytest.approx(2.23), 12)
    assert (headline["break_even"], headline["break_even_any"]) == pytest.approx((1.39, 0.84), abs=0.005)
    assert (rows["difference"] >= 0).all()
    ablation = rows[(rows["source"] == "arxiv-v2") & (rows["table"] == "1") & (rows["metric"] == "mF")]
    assert len(ablation) == 21, "seven settings, one of which the paper prints three times"
    assert set(rows["standing"]) == {"open"}, "without runs of ours"


@pytest.mark.parametrize(("sd", "expected"), [(0.1, "stands"), (6.0, "falls"), (1.3, "open")])
def test_our_spread_decides_what_stands(sd, expected):
    rows = pd.DataFrame(report.comparisons(report.spreads(published_like(sd=sd))))
    own = rows[(rows["source"] == "arxiv-v2") & (rows["table"] == "5") & (rows["metric"] == "mAUPR")]
    assert own[(own["row"] == "M2MRF-C") & (own["other"] == BASELINE_ROW)]["standing"].item() == expected
    assert set(rows.loc[rows["dataset"] == "DDR", "standing"]) == {"open"}, "no runs of ours there"


def test_the_authors_sd_by_their_best_of_three():
    found = {row["dataset"]: (row["sd"], row["low"], row["high"]) for row in report.sensitivity()}
    assert found["IDRiD"] == pytest.approx((0.69, 0.43, 1.36), abs=0.01)
    assert found["DDR"] == pytest.approx((0.37, 0.23, 0.72), abs=0.01)


def test_the_files_say_it_in_words(tmp_path):
    report.write(tmp_path, published_like(sd=0.7, deviations="no ImageNet weights"))
    text, table = (tmp_path / "power.md").read_text(), pd.read_csv(tmp_path / "power.csv")
    assert list(table.columns) == report.COLUMNS
    ours = report.spreads(published_like(sd=0.7)).iloc[0]
    noise = power.retraining_noise(ours["sd"], ours["df"])
    interval = f"{ours['sd']:.2f} [{ours['sd_low']:.2f}, {ours['sd_high']:.2f}]"
    assert (f"If the authors' runs vary as ours on IDRiD in mAUPR (SD {interval}), differences below {noise:.2f} of "
            "3-run means cannot be told from retraining noise.") in text  # fmt: skip
    assert "deviate from the published protocol" in text
    lines = text.splitlines()
    head = next(place for place, line in enumerate(lines) if line.startswith("| data set"))
    assert lines[head + 1].startswith("|---")
    assert lines[head + 2].startswith("| IDRiD | mAUPR")
    assert len({line.count("|") for line in lines[head : head + 6]}) == 1
    assert set(table["kind"]) == {"detectable", "seeds", "published"}


def test_without_runs_the_units_are_the_sd(tmp_path):
    report.write(tmp_path, published_like(synthetic=True))
    text = (tmp_path / "power.md").read_text()
    units = [f"{power.detectable(n, 18):.2f} ({power.detectable(n, 18, alpha=0.05 / 17):.2f})" for n in (3, 5, 10, 20)]
    assert f"| {' | '.join(units)} |" in text
    assert "no spread of ours" in text
    assert math.isnan(pd.read_csv(tmp_path / "power.csv")["sd"].max())
